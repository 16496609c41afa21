//! BatchGetItem: many items, of several tables, in one call.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use super::Manner;
use super::content::Item;
use super::key::KeyValue;
use crate::sources::FetchError;
use crate::sources::aws::failure;

/// How many items a call takes.
const LIMIT: usize = 100;
/// The pause before what the service left unprocessed is asked for again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An item that is asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) table: String,
    /// The key's attributes: one, or two of which the second sorts.
    pub(super) key: Vec<(String, KeyValue)>,
    pub(super) manner: Manner,
}

impl Wish {
    pub(super) fn key_attributes(&self) -> HashMap<String, AttributeValue> {
        self.key.iter().map(|(name, value)| (name.clone(), value.attribute())).collect()
    }

    fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|(name, _)| name.as_str())
    }
}

/// The table and the names of the key's attributes.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.key_names().collect();
        write!(f, "{} by {}", self.table, names.join(", "))
    }
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wish({self})")
    }
}

/// Splits items into calls. A call reads each table in one manner only, so those of a second manner
/// go into other calls; what remains is packed across tables.
pub(super) fn plan(wishes: Vec<Wish>) -> Vec<Vec<Wish>> {
    let mut manners: HashMap<String, Vec<(Manner, Vec<String>)>> = HashMap::new();
    let mut layers: Vec<Vec<Wish>> = Vec::new();
    for wish in wishes {
        let manner = (wish.manner.clone(), wish.key_names().map(str::to_owned).collect());
        let of_table = manners.entry(wish.table.clone()).or_default();
        let layer = of_table.iter().position(|known| *known == manner).unwrap_or_else(|| {
            of_table.push(manner);
            of_table.len() - 1
        });
        layers.resize_with(layers.len().max(layer + 1), Vec::new);
        layers[layer].push(wish);
    }
    layers.iter().flat_map(|layer| layer.chunks(LIMIT).map(<[Wish]>::to_vec)).collect()
}

/// A call that failed.
pub(super) struct Refused {
    pub(super) failure: FetchError,
    /// Whether that may be for what is wrong with one of the items: a key that is not the table's, a
    /// table that is missing or closed to us.
    pub(super) may_concern_one: bool,
}

impl Refused {
    fn new(error: SdkError<BatchGetItemError>) -> Self {
        let code = error.code().unwrap_or_default();
        let may_concern_one = matches!(
            code,
            "ValidationException" | "ResourceNotFoundException" | "AccessDeniedException"
        );
        Self { may_concern_one, failure: failure(error) }
    }
}

/// The items of one call, in the order they were asked for; `None` where there is none. What the
/// service leaves unprocessed is asked for again until it has come, or the fetch's time is over.
pub(super) async fn get(client: &Client, wishes: &[Wish]) -> Result<Vec<Option<Item>>, Refused> {
    let mut found: HashMap<(String, Vec<KeyValue>), Item> = HashMap::new();
    let mut asked = tables(wishes);
    let mut pause = FIRST_PAUSE;
    loop {
        let call = client.batch_get_item().set_request_items(Some(asked));
        let answer = call.send().await.map_err(Refused::new)?;
        for (table, items) in answer.responses.unwrap_or_default() {
            let names = wishes.iter().find(|wish| wish.table == table);
            for item in items.into_iter().map(Item::new) {
                let key = names.and_then(|wish| item.key(wish.key_names()));
                if let Some(key) = key {
                    found.insert((table.clone(), key), item);
                }
            }
        }
        asked = answer.unprocessed_keys.unwrap_or_default();
        asked.retain(|_, left| !left.keys.is_empty());
        if asked.is_empty() {
            break;
        }
        tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let item = |wish: &Wish| {
        let key = wish.key.iter().map(|(_, value)| value.clone()).collect();
        let item = found.get(&(wish.table.clone(), key))?.clone();
        Some(unasked(wish).fold(item, Item::without))
    };
    Ok(wishes.iter().map(item).collect())
}

/// The key's attributes that are no part of the projection.
fn unasked(wish: &Wish) -> impl Iterator<Item = &str> {
    let projection = &wish.manner.projection;
    let unasked = |name: &&str| !projection.is_empty() && !projection.iter().any(|it| it == name);
    wish.key_names().filter(unasked)
}

/// What is asked of each table.
fn tables(wishes: &[Wish]) -> HashMap<String, KeysAndAttributes> {
    let mut by_table: HashMap<&str, Vec<&Wish>> = HashMap::new();
    for wish in wishes {
        by_table.entry(&wish.table).or_default().push(wish);
    }
    let asked = |(table, wishes): (&str, Vec<&Wish>)| {
        let manner = &wishes[0].manner;
        // Without its key an item could not be told from another.
        let extra = unasked(wishes[0]).map(str::to_owned);
        let (projection, names) =
            projection(&manner.projection.iter().cloned().chain(extra).collect::<Vec<_>>());
        let keys = wishes.iter().map(|wish| wish.key_attributes()).collect();
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(manner.is_consistent())
            .set_projection_expression(projection)
            .set_expression_attribute_names(names)
            .build();
        // What its builder demands are the keys, and they are there.
        Some((table.to_owned(), asked.ok()?))
    };
    by_table.into_iter().filter_map(asked).collect()
}

/// Names for an expression, each by a name of its own, since many words are reserved.
type Names = HashMap<String, String>;

/// The expression for a projection, if there is one. A dot leads into a map, as in a document path.
pub(super) fn projection(attributes: &[String]) -> (Option<String>, Option<Names>) {
    if attributes.is_empty() {
        return (None, None);
    }
    let mut names = Names::new();
    let mut placeholder = |name: &str| {
        let next = format!("#p{}", names.len());
        match names.iter().find(|(_, known)| *known == name) {
            Some((known, _)) => known.clone(),
            None => {
                names.insert(next.clone(), name.to_owned());
                next
            }
        }
    };
    let paths: Vec<String> = attributes
        .iter()
        .map(|path| path.split('.').map(&mut placeholder).collect::<Vec<_>>().join("."))
        .collect();
    (Some(paths.join(", ")), Some(names))
}

#[cfg(test)]
mod tests {
    use super::super::Consistency;
    use super::*;

    fn wish(table: &str, id: u32, consistency: Consistency) -> Wish {
        let manner = Manner { consistency, projection: Vec::new() };
        Wish { table: table.to_owned(), key: vec![("id".to_owned(), id.into())], manner }
    }

    #[test]
    fn two_hundred_and_fifty_items_of_several_tables_are_three_calls() {
        let wishes =
            (0..250).map(|id| wish(["a", "b", "c"][id as usize % 3], id, Consistency::Eventual));
        let calls = plan(wishes.collect());
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    }

    #[test]
    fn a_table_that_is_read_in_two_manners_takes_two_calls() {
        let wishes = vec![
            wish("a", 1, Consistency::Eventual),
            wish("a", 1, Consistency::Strong),
            wish("b", 1, Consistency::Strong),
            wish("a", 2, Consistency::Eventual),
        ];
        let calls = plan(wishes);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn a_projection_names_each_attribute_once() {
        let (expression, names) =
            projection(&["name".to_owned(), "size.width".to_owned(), "size.height".to_owned()]);
        assert_eq!(expression.as_deref(), Some("#p0, #p1.#p2, #p1.#p3"));
        assert_eq!(names.expect("names").len(), 4);
    }
}
