//! BatchGetItem: many items, of several tables, in one call. GetItem: one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};

use super::item::Item;
use super::key::{KeyPart, KeyValue};
use super::table::Table;
use crate::decode::DecodeError;
use crate::error::ErrorKind;
use crate::freshness;
use crate::sources::aws::batcher::{BatchCall, Batcher, CONCURRENCY, CallResult, tenths};
use crate::sources::aws::{CallError, failure};
use crate::sources::{FetchError, is_retried};

/// How many items a call takes.
const LIMIT: usize = 100;
/// After this many calls in a row that processed nothing, the rest counts as throttled.
const MAX_EMPTY_CALLS: u32 = 4;

/// One item of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ItemRequest {
    pub(super) table: Table,
    /// The partition key, and the sort key if there is one.
    pub(super) key: Vec<KeyPart>,
}

/// The item of a request, if it exists.
type Found = Result<Option<Item>, FetchError>;

/// Splits requests into batches of one call each. A call can read a table in one way only, so the
/// items that are read in a second way go into other calls; what remains is packed across tables.
pub(super) fn batches(requests: Vec<ItemRequest>) -> Vec<Vec<ItemRequest>> {
    let mut ways: HashMap<String, Vec<(Table, Vec<String>)>> = HashMap::new();
    let mut layers: Vec<Vec<ItemRequest>> = Vec::new();
    for request in requests {
        let way = (request.table.clone(), request.key_names().map(str::to_owned).collect());
        let ways = ways.entry(request.table.name.clone()).or_default();
        let layer = ways.iter().position(|known| *known == way).unwrap_or_else(|| {
            ways.push(way);
            ways.len() - 1
        });
        layers.resize_with(layers.len().max(layer + 1), Vec::new);
        layers[layer].push(request);
    }
    layers.iter().flat_map(|layer| layer.chunks(LIMIT).map(<[ItemRequest]>::to_vec)).collect()
}

/// Fetches a batch: together where that is allowed, the rest one by one.
pub(super) async fn fetch(
    client: &Client,
    batcher: &Batcher<ItemRequest>,
    requests: Vec<ItemRequest>,
) -> HashMap<ItemRequest, Found> {
    let (together, singly): (Vec<ItemRequest>, Vec<ItemRequest>) =
        requests.into_iter().partition(|it| batcher.may_batch_on(&it.table.name));
    let one = |request: ItemRequest| async move {
        let item = get_one(client, &request).await.map_err(CallError::into_failure);
        (request, item)
    };
    let singly = stream::iter(singly.into_iter().map(one)).buffer_unordered(CONCURRENCY);
    let call = GetItems { client, batcher };
    let together = batcher.ask(&call, together);
    let (singly, mut found) = join(singly.collect::<Vec<_>>(), together).await;
    found.extend(singly);
    found
}

/// Whether an item can share a call at present.
pub(super) fn is_possible(batcher: &Batcher<ItemRequest>, request: &ItemRequest) -> bool {
    batcher.may_batch_on(&request.table.name) && !batcher.is_culprit(request)
}

/// BatchGetItem for several items, GetItem for one.
struct GetItems<'a> {
    client: &'a Client,
    batcher: &'a Batcher<ItemRequest>,
}

impl BatchCall<ItemRequest> for GetItems<'_> {
    type Answer = Option<Item>;

    const LIMIT: usize = LIMIT;

    async fn call(&self, requests: &[ItemRequest]) -> CallResult<Option<Item>> {
        match requests {
            [request] => Ok(vec![Ok(get_one(self.client, request).await?)]),
            _ => get_several(self.client, requests).await,
        }
    }

    /// By table first: permissions are given for a table, and a table may be missing.
    fn split(&self, requests: Vec<ItemRequest>) -> Vec<Vec<ItemRequest>> {
        let mut tables: BTreeMap<&str, Vec<ItemRequest>> = BTreeMap::new();
        for request in &requests {
            tables.entry(&request.table.name).or_default().push(request.clone());
        }
        match tables.len() {
            1 => tenths(&requests),
            _ => tables.into_values().collect(),
        }
    }

    /// On the table that the service named, or else on all that it may mean.
    fn batch_denied(&self, message: Option<&str>, alone: &[&ItemRequest]) {
        let tables: BTreeSet<&str> = alone.iter().map(|it| it.table.name.as_str()).collect();
        let is_named = |table: &&&str| message.is_some_and(|it| names(it, table));
        let named: Vec<&str> = tables.iter().filter(is_named).copied().collect();
        let denied = if named.is_empty() { tables.into_iter().collect() } else { named };
        for table in denied {
            self.batcher.deny_batches_on(table, "dynamodb:BatchGetItem", message);
        }
    }
}

/// Whether a message contains the table's ARN.
fn names(message: &str, table: &str) -> bool {
    let table = table.rsplit('/').next().unwrap_or_default();
    let is_end =
        |rest: &str| !rest.starts_with(|it: char| it.is_ascii_alphanumeric() || "_.-".contains(it));
    let mut parts = message.split(":table/").skip(1);
    parts.any(|part| part.strip_prefix(table).is_some_and(is_end))
}

async fn get_one(client: &Client, request: &ItemRequest) -> Result<Option<Item>, CallError> {
    let (projection, names) = request.table.projection(std::iter::empty());
    let call = client
        .get_item()
        .table_name(&request.table.name)
        .set_key(Some(request.attributes()))
        .consistent_read(request.table.is_consistent())
        .set_projection_expression(projection)
        .set_expression_attribute_names(names);
    let answer = call.send().await.map_err(CallError::new)?;
    Ok(answer.item.map(Item::new))
}

/// The items of one batch. Those that the service leaves unprocessed are asked for again, after a
/// pause; if it processes none of them, they alone fail.
async fn get_several(client: &Client, requests: &[ItemRequest]) -> CallResult<Option<Item>> {
    let mut found: HashMap<&ItemRequest, Found> = HashMap::with_capacity(requests.len());
    let mut left: Vec<&ItemRequest> = requests.iter().collect();
    // At init the refresher asks for them again, and knows how long.
    let most_empty_calls = if is_retried() { 1 } else { MAX_EMPTY_CALLS };
    let mut empty_calls = 0;
    while !left.is_empty() {
        let failure = match batch_get_item(client, &left).await {
            Ok((processed, unprocessed)) => {
                empty_calls = if processed.is_empty() { empty_calls + 1 } else { 0 };
                found.extend(processed.into_iter().map(|(request, item)| (request, Ok(item))));
                left = unprocessed;
                if empty_calls < most_empty_calls {
                    if !left.is_empty() {
                        let pause = freshness::back_off(empty_calls, fastrand::f64());
                        tokio::time::sleep(pause).await;
                    }
                    continue;
                }
                unprocessed_too_often(most_empty_calls)
            }
            Err(error) if found.is_empty() => return Err(error),
            Err(error) => error.into_failure(),
        };
        found.extend(left.drain(..).map(|request| (request, Err(failure.clone()))));
    }
    Ok(requests.iter().filter_map(|request| found.get(request).cloned()).collect())
}

/// The SDK's error for throttling. BatchGetItem itself only lists the keys.
fn unprocessed_too_often(calls: u32) -> FetchError {
    let message = format!("left unprocessed by {calls} calls in a row");
    let error = ProvisionedThroughputExceededException::builder().message(message).build();
    FetchError::new(ErrorKind::Throttled, error)
}

/// The requests that a call processed, and those that it did not.
type Processed<'a> = (Vec<(&'a ItemRequest, Option<Item>)>, Vec<&'a ItemRequest>);

async fn batch_get_item<'a>(
    client: &Client,
    requests: &[&'a ItemRequest],
) -> Result<Processed<'a>, CallError> {
    let call = client.batch_get_item().set_request_items(Some(by_table(requests)));
    let answer = call.send().await.map_err(|error| refused(error, requests))?;
    let unusable = |error| CallError::AnyCall(FetchError::new(ErrorKind::Source, error).lasting());
    sort_out(answer, requests).map_err(unusable)
}

/// A missing table is the failure of all its items.
fn refused(error: SdkError<BatchGetItemError>, requests: &[&ItemRequest]) -> CallError {
    let is_one_table = requests.iter().all(|it| it.table.name == requests[0].table.name);
    match error.code() {
        Some("ResourceNotFoundException") if is_one_table => CallError::AllItems(failure(error)),
        _ => CallError::new(error),
    }
}

/// Matches an answer with its requests.
///
/// The service leaves out items that do not exist. So every item that it gives must match a request:
/// otherwise one that exists could be taken for missing.
fn sort_out<'a>(
    answer: BatchGetItemOutput,
    requests: &[&'a ItemRequest],
) -> Result<Processed<'a>, DecodeError> {
    let by_key: HashMap<(&str, Vec<KeyValue>), &'a ItemRequest> =
        requests.iter().map(|&it| ((it.table.name.as_str(), it.key_values()), it)).collect();
    let find = |table: &str, item: &Item| {
        let of_table = requests.iter().find(|it| it.table.name == table);
        let key = of_table.and_then(|it| item.key(it.key_names()));
        let request = key.and_then(|key| by_key.get(&(table, key)).copied());
        request.ok_or_else(|| DecodeError::new("the answer has an item that was not asked for"))
    };
    let Some(responses) = answer.responses else {
        return Err(DecodeError::new("the answer does not say which items there are"));
    };
    let mut items = HashMap::new();
    for (table, found) in responses {
        for item in found.into_iter().map(Item::new) {
            let request = find(&table, &item)?;
            items.insert(request, request.unwanted_names().fold(item, Item::without));
        }
    }
    let mut left = HashSet::new();
    for (table, asked) in answer.unprocessed_keys.unwrap_or_default() {
        for key in asked.keys.into_iter().map(Item::new) {
            left.insert(find(&table, &key)?);
        }
    }
    let (unprocessed, processed): (Vec<&ItemRequest>, Vec<&ItemRequest>) =
        requests.iter().partition(|it| left.contains(*it));
    let processed = processed.into_iter().map(|request| (request, items.remove(request)));
    Ok((processed.collect(), unprocessed))
}

/// What is asked of each table.
fn by_table(requests: &[&ItemRequest]) -> HashMap<String, KeysAndAttributes> {
    let mut by_table: HashMap<&str, Vec<&ItemRequest>> = HashMap::new();
    for &request in requests {
        by_table.entry(&request.table.name).or_default().push(request);
    }
    let asked = |(name, requests): (&str, Vec<&ItemRequest>)| {
        let table = &requests[0].table;
        // An item can only be recognised by its key.
        let (projection, names) = table.projection(requests[0].unwanted_names());
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(requests.iter().map(|it| it.attributes()).collect()))
            .consistent_read(table.is_consistent())
            .set_projection_expression(projection)
            .set_expression_attribute_names(names)
            .build();
        // The builder requires the keys, which are set.
        Some((name.to_owned(), asked.ok()?))
    };
    by_table.into_iter().filter_map(asked).collect()
}

impl ItemRequest {
    fn attributes(&self) -> HashMap<String, AttributeValue> {
        self.key.iter().map(|(name, value)| (name.clone(), value.attribute())).collect()
    }

    fn key_values(&self) -> Vec<KeyValue> {
        self.key.iter().map(|(_, value)| value.clone()).collect()
    }

    fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|(name, _)| name.as_str())
    }

    /// The key's attributes that are not part of the projection.
    fn unwanted_names(&self) -> impl Iterator<Item = &str> {
        self.key_names().filter(|name| !self.table.reads(name))
    }
}

/// The table and the names of the key's attributes.
impl fmt::Display for ItemRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.key_names().collect();
        write!(f, "{} by {}", self.table.name, names.join(", "))
    }
}

#[cfg(test)]
#[path = "../../../tests/parsers/get_items.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn item(table: &str, id: u32) -> ItemRequest {
        let key = vec![("id".to_owned(), id.into())];
        ItemRequest { table: Table::new(table.to_owned()), key }
    }

    fn consistent(mut item: ItemRequest) -> ItemRequest {
        item.table.set_consistent();
        item
    }

    #[test]
    fn two_hundred_and_fifty_items_of_several_tables_are_three_calls() {
        let requests = (0..250).map(|id| item(["a", "b", "c"][id as usize % 3], id));
        let calls = batches(requests.collect());
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    }

    #[test]
    fn a_table_that_is_read_in_two_ways_takes_two_calls() {
        let requests =
            vec![item("a", 1), consistent(item("a", 1)), consistent(item("b", 1)), item("a", 2)];
        let calls = batches(requests);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn a_message_names_the_table_whose_whole_arn_it_has() {
        let arn = |table| format!("arn:aws:dynamodb:eu-west-1:111122223333:table/{table}");
        let message = format!("not authorized to perform: it on resource: {} because", arn("a"));
        assert!(names(&message, "a") && names(&message, &arn("a")));
        for other in ["b", "", "aa", "because"] {
            assert!(!names(&message, other), "{other}");
        }
        assert!(!names(&arn("a-b"), "a") && names(&arn("a-b"), "a-b"));
    }
}
