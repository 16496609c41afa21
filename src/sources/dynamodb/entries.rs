//! What an entry can ask DynamoDB for: constructors, options, and what they come to.

mod check;
pub(super) mod items;

use std::sync::Arc;

use serde::de::DeserializeOwned;

use self::check::{
    PARTITION_KEY, SORT_KEY, check_names, check_projection, check_table, check_value, invalid,
};
use super::batch::Wish;
use super::content::{Item, Payload};
use super::key::KeyValue;
use super::query::{Condition, Order, Range};
use super::{Consistency, DynamoDb, Kind, Manner, Request};
use crate::error::Error;
use crate::sources::{AwsEntry, Connections, Declare, Declared, Entry, Place};

/// One item of a table, as an [`Item`]: name its key with [`key`](Entry::key).
///
/// A missing item is an error of kind [`NotFound`](crate::ErrorKind::NotFound), unless the entry holds an
/// `Option`: [`optional`](Entry::optional), or `.deserialize::<Option<T>>()`. The entry's name is
/// `<table>-<key>`, or `<table>-<key>-<sort key>`, with bytes in hexadecimal; where a key must not be
/// seen in errors and traces, give the entry another [`name`](Entry::name).
pub fn item(table: impl Into<String>) -> Entry<OneItem, Item> {
    let asks = OneItem {
        table: table.into(),
        key: None,
        sort_key: None,
        manner: Manner::default(),
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| payload.item().cloned())
}

/// The items of one partition of a table, in the order of their sort key, as [`Item`]s: name the
/// partition with [`key`](Entry::key).
///
/// All pages are read, up to 10,000 items, or to a [`limit`](Entry::limit). The entry has no name of
/// its own: give it one with [`name`](Entry::name).
pub fn query(table: impl Into<String>) -> Entry<OneQuery, Vec<Item>> {
    let asks = OneQuery {
        table: table.into(),
        index: None,
        partition: None,
        sort: None,
        order: Order::default(),
        limit: None,
        manner: Manner::default(),
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| payload.items().map(<[Item]>::to_vec))
}

/// What an entry made by [`item`] asks for.
#[derive(Debug, Clone)]
pub struct OneItem {
    table: String,
    key: Option<(String, KeyValue)>,
    sort_key: Option<(String, KeyValue)>,
    manner: Manner,
    place: Place,
}

/// What an entry made by [`query`] asks for.
#[derive(Debug, Clone)]
pub struct OneQuery {
    table: String,
    index: Option<String>,
    partition: Option<(String, KeyValue)>,
    sort: Option<(String, Condition)>,
    order: Order,
    limit: Option<usize>,
    manner: Manner,
    place: Place,
}

/// What items and queries have in common.
pub trait FromTable: AwsEntry {
    /// The partition key.
    #[doc(hidden)]
    fn set_key(&mut self, name: String, value: KeyValue);

    /// Strongly consistent reads.
    #[doc(hidden)]
    fn set_consistent(&mut self);

    /// The attributes that are wanted.
    #[doc(hidden)]
    fn set_projection(&mut self, attributes: Vec<String>);
}

impl FromTable for OneItem {
    fn set_key(&mut self, name: String, value: KeyValue) {
        self.key = Some((name, value));
    }

    fn set_consistent(&mut self) {
        self.manner.consistency = Consistency::Strong;
    }

    fn set_projection(&mut self, attributes: Vec<String>) {
        self.manner.project(attributes);
    }
}

impl FromTable for OneQuery {
    fn set_key(&mut self, name: String, value: KeyValue) {
        self.partition = Some((name, value));
    }

    fn set_consistent(&mut self) {
        self.manner.consistency = Consistency::Strong;
    }

    fn set_projection(&mut self, attributes: Vec<String>) {
        self.manner.project(attributes);
    }
}

impl<D: FromTable, T> Entry<D, T> {
    /// The partition key: the attribute's name and its value, which is text, an integer, bytes, or a
    /// [`KeyValue`].
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        self.asks.set_key(name.into(), value.into());
        self
    }

    /// Strongly consistent reads: each fetch sees all writes that ended before it began. They cost
    /// twice as much, and no global index has them.
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.asks.set_consistent();
        self
    }

    /// Only these attributes, whatever reserved words their names are; a dot leads into a map. What an
    /// item does not have is left out. It saves memory and transfer, not read capacity.
    #[must_use]
    pub fn projection(mut self, attributes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.asks.set_projection(attributes.into_iter().map(Into::into).collect());
        self
    }
}

impl<T> Entry<OneItem, T> {
    /// The sort key, where the table has one: the attribute's name and its value.
    #[must_use]
    pub fn sort_key(mut self, name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        self.asks.sort_key = Some((name.into(), value.into()));
        self
    }
}

impl Entry<OneItem, Item> {
    /// A value of type `T`, whose fields are called as the item's attributes. If `T` is an `Option`, a
    /// missing item is `None`.
    pub fn deserialize<T: DeserializeOwned>(self) -> Entry<OneItem, T> {
        self.decoded(|payload| payload.deserialize())
    }

    /// The item, or `None` if there is none.
    pub fn optional(self) -> Entry<OneItem, Option<Item>> {
        self.decoded(|payload| Ok(payload.optional()?.cloned()))
    }
}

impl<T> Entry<OneQuery, T> {
    /// Only items whose sort key, the attribute of this name, is as the condition says.
    #[must_use]
    pub fn sort_key(mut self, name: impl Into<String>, condition: Condition) -> Self {
        self.asks.sort = Some((name.into(), condition));
        self
    }

    /// The items of an index.
    #[must_use]
    pub fn index(mut self, name: impl Into<String>) -> Self {
        self.asks.index = Some(name.into());
        self
    }

    /// The largest sort key first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.asks.order = Order::Descending;
        self
    }

    /// The first so many items, and no more.
    #[must_use]
    pub fn limit(mut self, items: usize) -> Self {
        self.asks.limit = Some(items);
        self
    }
}

impl Entry<OneQuery, Vec<Item>> {
    /// A value of type `T` for each item, whose fields are called as the item's attributes.
    pub fn deserialize<T: DeserializeOwned>(self) -> Entry<OneQuery, Vec<T>> {
        self.then(|items| items.iter().map(Item::deserialize).collect())
    }
}

impl AwsEntry for OneItem {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl AwsEntry for OneQuery {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Declare for OneItem {
    type Source = DynamoDb;

    fn declare(self, connections: &mut Connections) -> Result<Declared<DynamoDb>, Error> {
        let Self { table, key, sort_key, manner, place } = self;
        let Some(key) = key else {
            return Err(invalid(&table, "an item needs a `.key(name, value)`"));
        };
        let key: Vec<(String, KeyValue)> = std::iter::once(key).chain(sort_key).collect();
        let values = key.iter().map(|(_, value)| value.to_string());
        let short = table.rsplit('/').next().unwrap_or_default();
        let name = std::iter::once(short.to_owned()).chain(values).collect::<Vec<_>>().join("-");
        let declared = || {
            check_table(&table)?;
            let names: Vec<&String> = key.iter().map(|(name, _)| name).collect();
            check_names(&table, &names)?;
            for ((name, value), most) in key.iter().zip([PARTITION_KEY, SORT_KEY]) {
                check_value(&table, name, value, most)?;
            }
            check_projection(&table, &manner.projection)?;
            DynamoDb::at(place, connections)
        };
        let source = declared().map_err(|it: Error| it.entry_named(&Arc::from(name.as_str())))?;
        let request = Request(Kind::Item(Wish { table, key, manner }));
        Ok(Declared { source, request, name: Some(name) })
    }
}

impl Declare for OneQuery {
    type Source = DynamoDb;

    fn declare(self, connections: &mut Connections) -> Result<Declared<DynamoDb>, Error> {
        let Self { table, index, partition, sort, order, limit, manner, place } = self;
        let Some(partition) = partition else {
            return Err(invalid(&table, "a query needs a `.key(name, value)`"));
        };
        check_table(&table)?;
        let names = [Some(&partition.0), sort.as_ref().map(|(name, _)| name)];
        check_names(&table, &names.into_iter().flatten().collect::<Vec<_>>())?;
        check_value(&table, &partition.0, &partition.1, PARTITION_KEY)?;
        if let Some((name, condition)) = &sort {
            condition.values().try_for_each(|value| check_value(&table, name, value, SORT_KEY))?;
            condition.fault().map_or(Ok(()), |fault| Err(invalid(&table, fault)))?;
        }
        check_projection(&table, &manner.projection)?;
        if index.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(&table, "the index's name is empty"));
        }
        if limit == Some(0) {
            return Err(invalid(&table, "a query with a limit of zero"));
        }
        let range = Range { table, index, partition, sort, order, limit, manner };
        let source = DynamoDb::at(place, connections)?;
        Ok(Declared { source, request: Request(Kind::Query(range)), name: None })
    }
}
