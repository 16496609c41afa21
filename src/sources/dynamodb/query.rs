//! Query: the items of one partition, page by page.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::Manner;
use super::batch::projection;
use super::content::Item;
use super::key::KeyValue;
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::failure;

/// How many items a query may have unless its user sets a limit.
const MOST: usize = 10_000;

/// The items that are asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Range {
    pub(super) table: String,
    pub(super) index: Option<String>,
    pub(super) partition: (String, KeyValue),
    pub(super) sort: Option<(String, Condition)>,
    pub(super) order: Order,
    pub(super) limit: Option<usize>,
    pub(super) manner: Manner,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Order {
    #[default]
    Ascending,
    Descending,
}

/// What the sort key of a query's items is to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition(Comparison);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Comparison {
    With(&'static str, KeyValue),
    BeginsWith(KeyValue),
    Between(KeyValue, KeyValue),
}

impl Condition {
    /// This.
    pub fn equals(value: impl Into<KeyValue>) -> Self {
        Self(Comparison::With("=", value.into()))
    }

    /// Less than this.
    pub fn less_than(value: impl Into<KeyValue>) -> Self {
        Self(Comparison::With("<", value.into()))
    }

    /// This or less.
    pub fn at_most(value: impl Into<KeyValue>) -> Self {
        Self(Comparison::With("<=", value.into()))
    }

    /// More than this.
    pub fn greater_than(value: impl Into<KeyValue>) -> Self {
        Self(Comparison::With(">", value.into()))
    }

    /// This or more.
    pub fn at_least(value: impl Into<KeyValue>) -> Self {
        Self(Comparison::With(">=", value.into()))
    }

    /// Text or bytes that begin so.
    pub fn begins_with(prefix: impl Into<KeyValue>) -> Self {
        Self(Comparison::BeginsWith(prefix.into()))
    }

    /// One of these or anything between them.
    pub fn between(least: impl Into<KeyValue>, most: impl Into<KeyValue>) -> Self {
        Self(Comparison::Between(least.into(), most.into()))
    }

    /// The expression, with the values it names.
    fn expression(&self) -> (String, Vec<(&'static str, &KeyValue)>) {
        match &self.0 {
            Comparison::With(sign, value) => (format!("#s {sign} :s"), vec![(":s", value)]),
            Comparison::BeginsWith(prefix) => {
                ("begins_with(#s, :s)".to_owned(), vec![(":s", prefix)])
            }
            Comparison::Between(least, most) => {
                ("#s BETWEEN :s AND :t".to_owned(), vec![(":s", least), (":t", most)])
            }
        }
    }
}

/// Where it looks, without the key's values.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sort = self.sort.as_ref().map(|(name, _)| format!(", {name}")).unwrap_or_default();
        write!(f, "{} by {}{sort}", self.table, self.partition.0)?;
        match &self.index {
            Some(index) => write!(f, " (index {index})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({self})")
    }
}

/// All items of all pages, or as many as the limit allows.
pub(super) async fn pages(client: &Client, range: &Range) -> Result<Vec<Item>, FetchError> {
    let (partition, key) = &range.partition;
    let mut condition = "#k = :k".to_owned();
    let mut values: HashMap<String, AttributeValue> =
        HashMap::from([(":k".to_owned(), key.attribute())]);
    let (projection, names) = projection(&range.manner.projection);
    let mut names = names.unwrap_or_default();
    names.insert("#k".to_owned(), partition.clone());
    if let Some((name, sort)) = &range.sort {
        let (expression, of_sort) = sort.expression();
        condition = format!("{condition} AND {expression}");
        names.insert("#s".to_owned(), name.clone());
        values.extend(of_sort.into_iter().map(|(it, value)| (it.to_owned(), value.attribute())));
    }
    let most = range.limit.unwrap_or(MOST);
    let mut items: Vec<Item> = Vec::new();
    let mut start = None;
    loop {
        let left = most - items.len();
        let page = client
            .query()
            .table_name(&range.table)
            .set_index_name(range.index.clone())
            .key_condition_expression(&condition)
            .set_expression_attribute_names(Some(names.clone()))
            .set_expression_attribute_values(Some(values.clone()))
            .set_projection_expression(projection.clone())
            .consistent_read(range.manner.is_consistent())
            .scan_index_forward(range.order == Order::Ascending)
            .set_limit(range.limit.and_then(|_| i32::try_from(left).ok()))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failure)?;
        items.extend(page.items.unwrap_or_default().into_iter().map(Item::new));
        start = page.last_evaluated_key.filter(|key| !key.is_empty());
        let full = items.len() >= most;
        if full && range.limit.is_none() && (start.is_some() || items.len() > most) {
            let cause = format!("more than {MOST} items: set a `.limit(..)`, or ask for fewer");
            return Err(FetchError::new(ErrorKind::Decode, cause));
        }
        if full || start.is_none() {
            items.truncate(most);
            return Ok(items);
        }
    }
}
