//! Items by key, for a memo.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::check::{check_names, check_projection, check_table, invalid};
use crate::decode::DecodeError;
use crate::error::Error;
use crate::sources::dynamodb::batch::Wish;
use crate::sources::dynamodb::content::{Item, Payload};
use crate::sources::dynamodb::key::{KeyAttribute, KeyValue};
use crate::sources::dynamodb::{Consistency, DynamoDb, Kind, Manner, Request};
use crate::sources::{ByKey, Connections, Place, Role};

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
        table: table.into(),
        attributes: Vec::new(),
        values: |()| Vec::new(),
        manner: Manner::default(),
        place: Place::default(),
        decode: Arc::new(|payload| payload.item().cloned()),
        holds: PhantomData,
    }
}

type Decode<T> = Arc<dyn Fn(&Payload) -> Result<T, DecodeError> + Send + Sync>;

/// What [`items`] gives: the items of a table by keys of type `K`, as values of type `T`.
pub struct Items<K, T> {
    table: String,
    /// The names of the key's attributes.
    attributes: Vec<String>,
    /// Their values.
    values: fn(&K) -> Vec<KeyValue>,
    manner: Manner,
    place: Place,
    decode: Decode<T>,
    holds: PhantomData<fn() -> T>,
}

impl<T> Items<(), T> {
    /// The partition key: the attribute's name, and the type of its values.
    pub fn key<K: KeyAttribute>(self, name: impl Into<String>) -> Items<K, T> {
        self.keyed(name.into(), |key| vec![key.key_value()])
    }
}

impl<K: KeyAttribute, T> Items<K, T> {
    /// The sort key, where the table has one: the attribute's name, and the type of its values. The
    /// memo's keys are pairs then.
    pub fn sort_key<S: KeyAttribute>(self, name: impl Into<String>) -> Items<(K, S), T> {
        self.keyed(name.into(), |(key, sort)| vec![key.key_value(), sort.key_value()])
    }
}

impl<K, T> Items<K, T> {
    fn keyed<L>(mut self, name: String, values: fn(&L) -> Vec<KeyValue>) -> Items<L, T> {
        self.attributes.push(name);
        let Self { table, attributes, manner, place, decode, holds, .. } = self;
        Items { table, attributes, values, manner, place, decode, holds }
    }

    fn decoded<U>(
        self,
        decode: impl Fn(&Payload) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Items<K, U> {
        let Self { table, attributes, values, manner, place, .. } = self;
        let decode: Decode<U> = Arc::new(decode);
        Items { table, attributes, values, manner, place, decode, holds: PhantomData }
    }

    /// Strongly consistent reads, which cost twice as much.
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.manner.consistency = Consistency::Strong;
        self
    }

    /// Only these attributes; a dot leads into a map.
    #[must_use]
    pub fn projection(mut self, attributes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.manner.project(attributes);
        self
    }

    /// The region of the table, if it is not that of the configuration.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.place.set_region(region.into());
        self
    }

    /// Ask with the rights of this role: as [`Entry::assume_role`](crate::sources::Entry::assume_role).
    #[must_use]
    pub fn assume_role(mut self, role: impl Into<Role>) -> Self {
        self.place.set_role(role.into());
        self
    }
}

impl<K> Items<K, Item> {
    /// Values of type `T`, whose fields are called as an item's attributes. If `T` is an `Option`, a
    /// missing item is `None`.
    pub fn deserialize<T: DeserializeOwned>(self) -> Items<K, T> {
        self.decoded(|payload| payload.deserialize())
    }

    /// Items, or `None` for keys that have none.
    pub fn optional(self) -> Items<K, Option<Item>> {
        self.decoded(|payload| Ok(payload.optional()?.cloned()))
    }
}

impl<K, T> fmt::Debug for Items<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("table", &self.table)
            .field("key", &self.attributes)
            .finish_non_exhaustive()
    }
}

impl<K: 'static, T: 'static> ByKey for Items<K, T> {
    type Key = K;
    type Value = T;
    type Source = DynamoDb;

    fn source(&self, connections: &mut Connections) -> Result<Arc<DynamoDb>, Error> {
        check_table(&self.table)?;
        if self.attributes.is_empty() {
            return Err(invalid(&self.table, "items need a `.key::<K>(name)`"));
        }
        check_names(&self.table, &self.attributes.iter().collect::<Vec<_>>())?;
        check_projection(&self.table, &self.manner.projection)?;
        DynamoDb::at(self.place.clone(), connections)
    }

    fn request(&self, key: &K) -> Request {
        let values = (self.values)(key);
        let key = self.attributes.iter().cloned().zip(values).collect();
        Request(Kind::Item(Wish { table: self.table.clone(), key, manner: self.manner.clone() }))
    }

    fn decode(&self, payload: &Payload) -> Result<T, DecodeError> {
        (self.decode)(payload)
    }

    fn describe(&self) -> String {
        format!("dynamodb:GetItem {} by {}", self.table, self.attributes.join(", "))
    }
}
