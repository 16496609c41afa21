//! BatchGetItem: many items, of several tables, in one call.

use std::collections::{HashMap, HashSet};
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use super::Manner;
use super::content::Item;
use super::key::KeyValue;
use crate::decode::DecodeError;
use crate::error::ErrorKind;
use crate::freshness;
use crate::sources::FetchError;
use crate::sources::aws::culprits::CallError;
use crate::sources::aws::failure;

/// How many items a call takes.
pub(super) const LIMIT: usize = 100;
/// After how many calls in a row that processed nothing what is left counts as throttled.
const PATIENCE: u32 = 4;

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

    fn key_values(&self) -> Vec<KeyValue> {
        self.key.iter().map(|(_, value)| value.clone()).collect()
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

/// Why a call was refused. That a table is missing is said of all its items.
fn refused(error: SdkError<BatchGetItemError>, wishes: &[&Wish]) -> CallError {
    let is_one_table = wishes.iter().all(|wish| wish.table == wishes[0].table);
    match error.code() {
        Some("ResourceNotFoundException") if is_one_table => CallError::AllItems(failure(error)),
        _ => CallError::new(error),
    }
}

/// What became of a wish: its item, if there is one.
pub(super) type Looked = Result<Option<Item>, FetchError>;

/// The items of one call, in the order they were asked for. What the service leaves unprocessed is
/// asked for again, after a pause; what it will not process is the failure of those items alone.
pub(super) async fn get(client: &Client, wishes: &[Wish]) -> Result<Vec<Looked>, CallError> {
    let mut looked: HashMap<&Wish, Looked> = HashMap::with_capacity(wishes.len());
    let mut left: Vec<&Wish> = wishes.iter().collect();
    let mut in_vain = 0;
    while !left.is_empty() {
        let failure = match ask(client, &left).await {
            Ok((processed, unprocessed)) => {
                in_vain = if processed.is_empty() { in_vain + 1 } else { 0 };
                looked.extend(processed.into_iter().map(|(wish, item)| (wish, Ok(item))));
                left = unprocessed;
                if in_vain < PATIENCE {
                    if !left.is_empty() {
                        let jitter = fastrand::f64();
                        tokio::time::sleep(freshness::back_off(in_vain, jitter)).await;
                    }
                    continue;
                }
                unprocessed_too_often()
            }
            Err(error) if looked.is_empty() => return Err(error),
            Err(error) => error.into_failure(),
        };
        looked.extend(left.drain(..).map(|wish| (wish, Err(failure.clone()))));
    }
    Ok(wishes.iter().filter_map(|wish| looked.get(wish).cloned()).collect())
}

/// DynamoDB's own error, which it gives as a list of keys only.
fn unprocessed_too_often() -> FetchError {
    let error = ProvisionedThroughputExceededException::builder();
    let error = error.message(format!("left unprocessed by {PATIENCE} calls in a row")).build();
    FetchError::new(ErrorKind::Throttled, error)
}

/// Those that a call processed, and those that it did not.
type Asked<'a> = (Vec<(&'a Wish, Option<Item>)>, Vec<&'a Wish>);

async fn ask<'a>(client: &Client, wishes: &[&'a Wish]) -> Result<Asked<'a>, CallError> {
    let call = client.batch_get_item().set_request_items(Some(tables(wishes)));
    let answer = call.send().await.map_err(|error| refused(error, wishes))?;
    let unusable = |error| CallError::AnyCall(FetchError::new(ErrorKind::Source, error));
    sort_out(answer, wishes).map_err(unusable)
}

/// Which of its wishes an answer is about.
///
/// That an item does not exist is said by silence. So what is said must be understood: an item that
/// nobody seems to have asked for may be one that somebody did.
fn sort_out<'a>(answer: BatchGetItemOutput, wishes: &[&'a Wish]) -> Result<Asked<'a>, DecodeError> {
    let by_key: HashMap<(&str, Vec<KeyValue>), &'a Wish> =
        wishes.iter().map(|&wish| ((wish.table.as_str(), wish.key_values()), wish)).collect();
    let find = |table: &str, item: &Item| {
        let of_table = wishes.iter().find(|wish| wish.table == table);
        let key = of_table.and_then(|wish| item.key(wish.key_names()));
        let wish = key.and_then(|key| by_key.get(&(table, key)).copied());
        wish.ok_or_else(|| DecodeError::new("the answer has an item that was not asked for"))
    };
    let Some(responses) = answer.responses else {
        return Err(DecodeError::new("the answer does not say which items there are"));
    };
    let mut items = HashMap::new();
    for (table, found) in responses {
        for item in found.into_iter().map(Item::new) {
            let wish = find(&table, &item)?;
            items.insert(wish, unasked(wish).fold(item, Item::without));
        }
    }
    let mut left = HashSet::new();
    for (table, asked) in answer.unprocessed_keys.unwrap_or_default() {
        for key in asked.keys.into_iter().map(Item::new) {
            left.insert(find(&table, &key)?);
        }
    }
    let (unprocessed, processed): (Vec<&Wish>, Vec<&Wish>) =
        wishes.iter().partition(|wish| left.contains(*wish));
    Ok((processed.into_iter().map(|wish| (wish, items.remove(wish))).collect(), unprocessed))
}

/// The key's attributes that are no part of the projection.
fn unasked(wish: &Wish) -> impl Iterator<Item = &str> {
    let projection = &wish.manner.projection;
    let unasked = |name: &&str| !projection.is_empty() && !projection.iter().any(|it| it == name);
    wish.key_names().filter(unasked)
}

/// What is asked of each table.
fn tables(wishes: &[&Wish]) -> HashMap<String, KeysAndAttributes> {
    let mut by_table: HashMap<&str, Vec<&Wish>> = HashMap::new();
    for &wish in wishes {
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
