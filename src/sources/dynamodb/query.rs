//! Query: the items of one partition, page by page.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::Client;
use serde::de::DeserializeOwned;

use super::item::Item;
use super::key::{self, KeyPart, KeyValue, MAX_PARTITION_KEY, MAX_SORT_KEY};
use super::table::{FromTable, Table, TableOptions};
use super::{Kind, Request};
use crate::error::ErrorKind;
use crate::sources::aws::{self, AtPlace, failure};
use crate::sources::{Entry, FetchError};

/// How many items a query may have unless its user sets a limit.
const MAX_ITEMS: usize = 10_000;

/// The items of one partition of a table, in the order of their sort key, as [`Item`]s: name the
/// partition with [`key`](Entry::key).
///
/// All pages are read, up to 10,000 items, or to a [`limit`](Entry::limit). The entry has no name of
/// its own: give it one with [`name`](Entry::name).
pub fn query(table: impl Into<String>) -> Entry<OneQuery, Vec<Item>> {
    let query = FromTable::new(table.into(), QueryOptions::default());
    aws::entry(query, |payload| payload.items().map(<[Item]>::to_vec))
}

/// What an entry made by [`query`] asks for.
pub type OneQuery = AtPlace<FromTable<QueryOptions>>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct QueryOptions {
    index: Option<String>,
    sort: Option<(String, Condition)>,
    order: Order,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Order {
    #[default]
    Ascending,
    Descending,
}

impl<T> Entry<OneQuery, T> {
    /// Only items whose sort key, the attribute of this name, meets the condition.
    pub fn sort_key(self, name: impl Into<String>, condition: Condition) -> Self {
        self.set(|query| query.options.sort = Some((name.into(), condition)))
    }

    /// The items of an index.
    pub fn index(self, name: impl Into<String>) -> Self {
        self.set(|query| query.options.index = Some(name.into()))
    }

    /// The largest sort key first.
    pub fn descending(self) -> Self {
        self.set(|query| query.options.order = Order::Descending)
    }

    /// Only the first `items`.
    pub fn limit(self, items: usize) -> Self {
        self.set(|query| query.options.limit = Some(items))
    }
}

impl Entry<OneQuery, Vec<Item>> {
    /// A value of type `T` for each item, whose fields have the names of the item's attributes.
    pub fn deserialize<T: DeserializeOwned>(self) -> Entry<OneQuery, Vec<T>> {
        self.and_then(|items| items.iter().map(Item::deserialize).collect())
    }
}

impl TableOptions for QueryOptions {
    const WHAT: &str = "a query";

    fn request(self, table: Table, key: KeyPart) -> Result<Request, String> {
        let sort_name = self.sort.as_ref().map(|(name, _)| name);
        key::check_names(std::iter::once(&key.0).chain(sort_name))?;
        key.1.check(&key.0, MAX_PARTITION_KEY)?;
        if let Some((name, condition)) = &self.sort {
            condition.check(name)?;
        }
        if self.index.as_ref().is_some_and(String::is_empty) {
            return Err("the index's name is empty".to_owned());
        }
        if self.limit == Some(0) {
            return Err("a query with a limit of zero".to_owned());
        }
        Ok(Request(Kind::Query(QueryRequest { table, key, options: self })))
    }
}

/// A condition on the sort key of a query's items.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// With the placeholders `#s` for the sort key and `:0`, `:1` for the values.
    expression: &'static str,
    values: Vec<KeyValue>,
}

const BEGINS_WITH: &str = "begins_with(#s, :0)";

impl Condition {
    /// Equal to this.
    pub fn equals(value: impl Into<KeyValue>) -> Self {
        Self { expression: "#s = :0", values: vec![value.into()] }
    }

    /// Less than this.
    pub fn less_than(value: impl Into<KeyValue>) -> Self {
        Self { expression: "#s < :0", values: vec![value.into()] }
    }

    /// This or less.
    pub fn at_most(value: impl Into<KeyValue>) -> Self {
        Self { expression: "#s <= :0", values: vec![value.into()] }
    }

    /// More than this.
    pub fn greater_than(value: impl Into<KeyValue>) -> Self {
        Self { expression: "#s > :0", values: vec![value.into()] }
    }

    /// This or more.
    pub fn at_least(value: impl Into<KeyValue>) -> Self {
        Self { expression: "#s >= :0", values: vec![value.into()] }
    }

    /// Text or bytes that begin with this.
    pub fn begins_with(prefix: impl Into<KeyValue>) -> Self {
        Self { expression: BEGINS_WITH, values: vec![prefix.into()] }
    }

    /// One of these, or between them.
    pub fn between(least: impl Into<KeyValue>, most: impl Into<KeyValue>) -> Self {
        Self { expression: "#s BETWEEN :0 AND :1", values: vec![least.into(), most.into()] }
    }

    fn check(&self, name: &str) -> Result<(), String> {
        self.values.iter().try_for_each(|value| value.check(name, MAX_SORT_KEY))?;
        match &*self.values {
            [prefix] if self.expression == BEGINS_WITH && prefix.is_number() => {
                Err("a number does not begin with another".to_owned())
            }
            [least, most] if !least.is_like(most) => {
                Err("nothing is between values of two types".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A query of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct QueryRequest {
    table: Table,
    key: KeyPart,
    options: QueryOptions,
}

impl QueryRequest {
    /// All items of all pages, or as many as the limit allows.
    pub(super) async fn fetch(&self, client: &Client) -> Result<Vec<Item>, FetchError> {
        let Self { table, key: (partition, key), options } = self;
        let mut condition = "#k = :k".to_owned();
        let mut values = HashMap::from([(":k".to_owned(), key.attribute())]);
        let (projection, names) = table.projection(std::iter::empty());
        let mut names = names.unwrap_or_default();
        names.insert("#k".to_owned(), partition.clone());
        if let Some((name, sort)) = &options.sort {
            condition = format!("{condition} AND {}", sort.expression);
            names.insert("#s".to_owned(), name.clone());
            let of_sort = sort.values.iter().enumerate();
            values.extend(of_sort.map(|(n, value)| (format!(":{n}"), value.attribute())));
        }
        let max = options.limit.unwrap_or(MAX_ITEMS);
        let mut items: Vec<Item> = Vec::new();
        let mut start = None;
        loop {
            let left = max - items.len();
            let page = client
                .query()
                .table_name(&table.name)
                .set_index_name(options.index.clone())
                .key_condition_expression(&condition)
                .set_expression_attribute_names(Some(names.clone()))
                .set_expression_attribute_values(Some(values.clone()))
                .set_projection_expression(projection.clone())
                .consistent_read(table.is_consistent())
                .scan_index_forward(options.order == Order::Ascending)
                .set_limit(options.limit.and_then(|_| i32::try_from(left).ok()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failure)?;
            let Some(found) = page.items else {
                let cause = "the answer does not say which items there are";
                return Err(FetchError::new(ErrorKind::Source, cause).lasting());
            };
            items.extend(found.into_iter().map(Item::new));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            let is_full = items.len() >= max;
            if is_full && options.limit.is_none() && (start.is_some() || items.len() > max) {
                let cause =
                    format!("more than {MAX_ITEMS} items: set a `.limit(..)`, or ask for fewer");
                return Err(FetchError::new(ErrorKind::Decode, cause));
            }
            if is_full || start.is_none() {
                items.truncate(max);
                return Ok(items);
            }
        }
    }
}

/// Without the key's values.
impl fmt::Display for QueryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueryOptions { index, sort, .. } = &self.options;
        let sort = sort.as_ref().map(|(name, _)| format!(", {name}")).unwrap_or_default();
        write!(f, "{} by {}{sort}", self.table.name, self.key.0)?;
        match index {
            Some(index) => write!(f, " (index {index})"),
            None => Ok(()),
        }
    }
}
