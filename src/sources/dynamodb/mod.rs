//! Items and queries of DynamoDB (feature `dynamodb`).
//!
//! | | |
//! |---|---|
//! | operations | `dynamodb:BatchGetItem` for [`item`]s that are due together at one place, across tables, 100 a call; `dynamodb:GetItem` for one alone, and on tables where the role may not use `BatchGetItem`; `dynamodb:Query` for [`query`], as many pages as it has |
//! | permissions | those of the same names on the tables; `dynamodb:Query` on the index, where one is named |
//! | version | a digest of the item's content |
//! | promise of the service | eventually consistent, or strongly with [`consistent`](Entry::consistent) |
//!
//! Keys that DynamoDB leaves unprocessed, for lack of throughput or of room in its answer, are asked
//! for again after a pause. After four calls in a row that processed none of them, they alone fail as
//! throttled ([`ErrorKind::Throttled`](crate::ErrorKind::Throttled)).
//!
//! An item for which DynamoDB refuses a whole batch, such as a key that is not of the table's type,
//! fails alone: the batch is split once to find it, and from then on it has calls of its own.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct Account { name: String }
//! # #[derive(serde::Deserialize)] struct Order { total: u32 }
//! # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_cache::Error> {
//! use lambda_cache::{Cache, sources::dynamodb};
//!
//! let mut builder = Cache::builder(&aws);
//! let account =
//!     builder.add(dynamodb::item("accounts").key("id", "42").deserialize::<Account>());
//! let orders = dynamodb::query("orders").key("customer", "42").descending().limit(10);
//! let orders = builder.add(orders.deserialize::<Order>().name("orders"));
//! let cache = builder.spawn().await?;
//! # Ok(()) }
//! ```
//!
//! [`items`] declares a [`Memo`](crate::Memo) of many items.

mod get_items;
mod item;
mod items;
mod key;
mod query;
mod table;

use std::fmt;

use aws_sdk_dynamodb::Client;
use serde::de::DeserializeOwned;

use self::get_items::ItemRequest;
use self::key::{KeyPart, MAX_PARTITION_KEY, MAX_SORT_KEY};
use self::query::QueryRequest;
use self::table::{FromTable, Table, TableOptions};
use super::aws::batcher::Batcher;
use super::aws::{self, AtPlace, Aws, AwsSource, Place};
use super::{BoxFuture, Entry, Fetch, Fetched, Source, Wanted};

pub use self::item::{Item, Payload};
pub use self::items::{Items, items};
pub use self::key::{KeyAttribute, KeyValue};
pub use self::query::{Condition, OneQuery, query};

/// One item of a table, as an [`Item`]: name its key with [`key`](Entry::key).
///
/// A missing item is an error of kind [`NotFound`](crate::ErrorKind::NotFound), unless the entry holds an
/// `Option`: [`optional`](Entry::optional), or `.deserialize::<Option<T>>()`. The entry's name is
/// `<table>-<key>`, or `<table>-<key>-<sort key>`, with bytes in hexadecimal; where a key must not be
/// seen in errors and traces, give the entry another [`name`](Entry::name).
pub fn item(table: impl Into<String>) -> Entry<OneItem, Item> {
    let item = FromTable::new(table.into(), ItemOptions { sort_key: None });
    aws::entry(item, |payload| payload.item().cloned())
}

/// What an entry made by [`item`] asks for.
pub type OneItem = AtPlace<FromTable<ItemOptions>>;

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct ItemOptions {
    sort_key: Option<KeyPart>,
}

impl<T> Entry<OneItem, T> {
    /// The sort key, where the table has one: the attribute's name and its value.
    pub fn sort_key(self, name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        self.set(|item| item.options.sort_key = Some((name.into(), value.into())))
    }
}

impl Entry<OneItem, Item> {
    /// A value of type `T`, whose fields have the names of the item's attributes. If `T` is an `Option`,
    /// a missing item is `None`.
    pub fn deserialize<T: DeserializeOwned>(self) -> Entry<OneItem, T> {
        self.decode_with(|payload| payload.deserialize())
    }

    /// The item, or `None` if there is none.
    pub fn optional(self) -> Entry<OneItem, Option<Item>> {
        self.decode_with(|payload| Ok(payload.optional()?.cloned()))
    }
}

impl TableOptions for ItemOptions {
    const WHAT: &str = "an item";

    fn default_name(&self, table: &Table, key: &KeyPart) -> Option<String> {
        let table = table.name.rsplit('/').next().unwrap_or_default().to_owned();
        let values = std::iter::once(key).chain(&self.sort_key);
        Some(values.fold(table, |name, (_, value)| format!("{name}-{value}")))
    }

    fn request(self, table: Table, key: KeyPart) -> Result<Request, String> {
        let key: Vec<KeyPart> = std::iter::once(key).chain(self.sort_key).collect();
        key::check_names(key.iter().map(|(name, _)| name))?;
        for ((name, value), max) in key.iter().zip([MAX_PARTITION_KEY, MAX_SORT_KEY]) {
            value.check(name, max)?;
        }
        Ok(Request(Kind::Item(ItemRequest { table, key })))
    }
}

/// DynamoDB at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct DynamoDb {
    client: aws::Client<Client>,
    batcher: Batcher<ItemRequest>,
}

/// What one fetch asks DynamoDB for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Item(ItemRequest),
    Query(QueryRequest),
}

impl AwsSource for DynamoDb {
    fn at(place: Place, aws: Aws) -> Self {
        Self { client: aws::Client::new(aws, place, Client::new), batcher: Batcher::default() }
    }
}

impl Source for DynamoDb {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        let (mut batches, mut culprits, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for request in due {
            match request.0 {
                Kind::Item(item) if self.batcher.is_culprit(&item) => culprits.push(item),
                Kind::Item(item) => others.push(item),
                Kind::Query(_) => batches.push(vec![request]),
            }
        }
        for items in [others, culprits].into_iter().flat_map(get_items::batches) {
            batches.push(items.into_iter().map(|item| Request(Kind::Item(item))).collect());
        }
        batches
    }

    fn rides_along(&self, request: &Request) -> bool {
        match &request.0 {
            Kind::Item(item) => get_items::is_possible(&self.batcher, item),
            Kind::Query(_) => false,
        }
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            let mut requests = Vec::new();
            let mut payloads = Vec::new();
            for wanted in batch {
                match wanted.request.0 {
                    Kind::Item(item) => requests.push(item),
                    Kind::Query(query) => {
                        payloads.push(query.fetch(&client).await.map(Payload::Items));
                    }
                }
            }
            let mut items = get_items::fetch(&client, &self.batcher, requests.clone()).await;
            let items = requests.iter().filter_map(|request| items.remove(request));
            payloads.extend(items.map(|item| item.map(Payload::Item)));
            payloads.into_iter().map(|payload| payload.map(Payload::fetched)).collect()
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.batcher.reset();
    }
}

impl Payload {
    fn fetched(self) -> Fetched<Self> {
        let version = self.version();
        Fetched::current(self, Some(version))
    }
}

/// With the names of the key's attributes and without their values, which may be personal data.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Item(item) => write!(f, "dynamodb:GetItem {item}"),
            Kind::Query(query) => write!(f, "dynamodb:Query {query}"),
        }
    }
}
