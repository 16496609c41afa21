//! Items by key, for a memo.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::get_items::ItemRequest;
use super::item::{Item, Payload};
use super::key::{self, KeyAttribute, KeyValue};
use super::table::{Table, in_table};
use super::{DynamoDb, Kind, Request};
use crate::decode::DecodeError;
use crate::error::Error;
use crate::sources::aws::{invalid, place_options};
use crate::sources::{ByKey, Connections, Place};

/// The items of a table by key, for [`Cache::memo_from`](crate::Cache::memo_from): keys that are
/// missed or due together share BatchGetItem calls.
///
/// Name the key's attribute, and the type of its values, with [`Items::key`]. A missing item is an
/// error of kind [`NotFound`](crate::ErrorKind::NotFound), which is not kept; with
/// [`optional`](Items::optional) or `.deserialize::<Option<T>>()` it is a `None`, which is.
///
/// ```no_run
/// # #[derive(serde::Deserialize)] struct Account { name: String }
/// # async fn doc(cache: lambda_cache::Cache) -> Result<(), lambda_cache::Error> {
/// use lambda_cache::sources::dynamodb;
///
/// let accounts = dynamodb::items("accounts").key::<String>("id").deserialize::<Account>();
/// let accounts = cache.memo_from("accounts", accounts).max_entries(1000).build()?;
/// let account = accounts.get("42".to_owned()).await?;
/// # Ok(()) }
/// ```
pub fn items(table: impl Into<String>) -> Items<(), Item> {
    Items {
        table: Table::new(table.into()),
        attributes: Vec::new(),
        values: |()| Vec::new(),
        place: Place::default(),
        decode: Arc::new(|payload| payload.item().cloned()),
    }
}

type Decode<T> = Arc<dyn Fn(&Payload) -> Result<T, DecodeError> + Send + Sync>;

/// Made by [`items`]: the items of a table by keys of type `K`, as values of type `T`.
#[must_use = "items are fetched only through a memo"]
pub struct Items<K, T> {
    table: Table,
    /// The names of the key's attributes.
    attributes: Vec<String>,
    /// Their values.
    values: fn(&K) -> Vec<KeyValue>,
    place: Place,
    decode: Decode<T>,
}

impl<T> Items<(), T> {
    /// The partition key: the attribute's name, and the type of its values.
    pub fn key<K: KeyAttribute>(self, name: impl Into<String>) -> Items<K, T> {
        self.keyed(name.into(), |key| vec![key.key_value()])
    }
}

impl<K: KeyAttribute, T> Items<K, T> {
    /// The sort key, where the table has one: the attribute's name, and the type of its values. The
    /// memo's keys are then pairs.
    pub fn sort_key<S: KeyAttribute>(self, name: impl Into<String>) -> Items<(K, S), T> {
        self.keyed(name.into(), |(key, sort)| vec![key.key_value(), sort.key_value()])
    }
}

impl<K, T> Items<K, T> {
    fn keyed<L>(mut self, name: String, values: fn(&L) -> Vec<KeyValue>) -> Items<L, T> {
        self.attributes.push(name);
        let Self { table, attributes, place, decode, .. } = self;
        Items { table, attributes, values, place, decode }
    }

    fn decode_with<U>(
        self,
        decode: impl Fn(&Payload) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Items<K, U> {
        let Self { table, attributes, values, place, .. } = self;
        Items { table, attributes, values, place, decode: Arc::new(decode) }
    }

    /// Strongly consistent reads, which cost twice as much.
    pub fn consistent(mut self) -> Self {
        self.table.set_consistent();
        self
    }

    /// Only these attributes; a dot leads into a map.
    pub fn projection(mut self, attributes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.table.set_projection(attributes);
        self
    }

    place_options!(self => self.place);
}

impl<K> Items<K, Item> {
    /// Values of type `T`, whose fields have the names of an item's attributes. If `T` is an `Option`,
    /// a missing item is `None`.
    pub fn deserialize<T: DeserializeOwned>(self) -> Items<K, T> {
        self.decode_with(|payload| payload.deserialize())
    }

    /// Items, or `None` for keys without one.
    pub fn optional(self) -> Items<K, Option<Item>> {
        self.decode_with(|payload| Ok(payload.optional()?.cloned()))
    }
}

impl<K: 'static, T: 'static> ByKey for Items<K, T> {
    type Key = K;
    type Value = T;
    type Source = DynamoDb;

    fn source(&self, connections: &mut Connections) -> Result<Arc<DynamoDb>, Error> {
        let check = || {
            self.table.check()?;
            match self.attributes.is_empty() {
                true => Err("items need a `.key::<K>(name)`".to_owned()),
                false => key::check_names(self.attributes.iter()),
            }
        };
        in_table(&self.table.name, check).map_err(invalid)?;
        connections.at(self.place.clone()).map_err(invalid)
    }

    fn request(&self, key: &K) -> Request {
        let key = self.attributes.iter().cloned().zip((self.values)(key)).collect();
        Request(Kind::Item(ItemRequest { table: self.table.clone(), key }))
    }

    fn decode(&self, payload: &Payload) -> Result<T, DecodeError> {
        (self.decode)(payload)
    }

    fn describe(&self) -> String {
        format!("dynamodb:GetItem {} by {}", self.table.name, self.attributes.join(", "))
    }
}

impl<K, T> fmt::Debug for Items<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("table", &self.table.name)
            .field("key", &self.attributes)
            .finish_non_exhaustive()
    }
}
