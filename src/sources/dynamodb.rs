//! Items and queries of DynamoDB (feature `dynamodb`).
//!
//! | | |
//! |---|---|
//! | operations | `dynamodb:BatchGetItem` for [`item`]s that are due together at one place, of whatever tables, 100 a call; `dynamodb:GetItem` for one alone, and on tables where the role may not use `BatchGetItem`; `dynamodb:Query` for [`query`], as many pages as it has |
//! | permissions | those of the same names on the tables; `dynamodb:Query` on the index, where one is named |
//! | version | a digest of the item's content |
//! | promise of the service | eventually consistent, or strongly with [`consistent`](super::Entry::consistent) |
//!
//! Keys that DynamoDB leaves unprocessed, for lack of throughput or of room in its answer, are asked
//! for again after a pause. After four calls in a row that processed none they have failed as
//! throttled ([`ErrorKind::Throttled`](crate::ErrorKind::Throttled)), and they alone.
//!
//! An item for which DynamoDB refuses a whole batch, such as a key that is not of the table's type,
//! fails alone: it is found by splitting the batch, once, and has calls of its own from then on.
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
//! [`items`] gives what a [`Memo`](crate::Memo) of many items is made of.

mod batch;
mod content;
mod entries;
mod identity;
mod key;
mod lookup;
mod number;
mod query;

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;

use self::batch::Wish;
use self::lookup::Lookup;
use self::query::Range;
use super::aws::{self, Place};
use super::{BoxFuture, Connections, Fetch, Fetched, Source, Wanted};
use crate::error::Error;

pub use content::{Item, Payload};
pub use entries::items::{Items, items};
pub use entries::{OneItem, OneQuery, item, query};
pub use key::{KeyAttribute, KeyValue};
pub use query::Condition;

/// DynamoDB at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct DynamoDb {
    client: aws::Client<Client>,
    lookup: Lookup,
}

/// What one fetch asks DynamoDB for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Item(Wish),
    Query(Range),
}

/// How a table is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Manner {
    consistency: Consistency,
    /// The attributes wanted; all, if there are none.
    projection: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Consistency {
    #[default]
    Eventual,
    Strong,
}

impl Manner {
    /// In order and once each, so that equal projections are equal: the service refuses to be asked
    /// for an attribute twice.
    fn project(&mut self, attributes: impl IntoIterator<Item = impl Into<String>>) {
        self.projection = attributes.into_iter().map(Into::into).collect();
        self.projection.sort();
        self.projection.dedup();
    }

    fn is_consistent(&self) -> bool {
        self.consistency == Consistency::Strong
    }
}

impl DynamoDb {
    fn at(place: Place, connections: &mut Connections) -> Result<Arc<Self>, Error> {
        connections.service(place, Client::new, |client| Self { client, lookup: Lookup::default() })
    }
}

/// With the names of the key's attributes and without their values: a key may be somebody's.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Item(wish) => write!(f, "dynamodb:GetItem {wish}"),
            Kind::Query(range) => write!(f, "dynamodb:Query {range}"),
        }
    }
}

impl Source for DynamoDb {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        let (mut batches, mut wishes) = (Vec::new(), Vec::new());
        for request in due {
            match request.0 {
                Kind::Item(wish) => wishes.push(wish),
                Kind::Query(_) => batches.push(vec![request]),
            }
        }
        let requests = |wishes: Vec<Wish>| wishes.into_iter().map(|it| Request(Kind::Item(it)));
        batches.extend(self.lookup.plan(wishes).into_iter().map(|it| requests(it).collect()));
        batches
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            let mut wishes = Vec::new();
            let mut fetched = Vec::new();
            for wanted in batch {
                match wanted.request.0 {
                    Kind::Item(wish) => wishes.push(wish),
                    Kind::Query(range) => fetched.push(fetch_range(&client, &range).await),
                }
            }
            let mut looked = self.lookup.fetch(&client, wishes.clone()).await;
            fetched.extend(wishes.iter().filter_map(|wish| looked.remove(wish)).map(|item| {
                let item = item?;
                Ok(Payload::Item(item).fetched())
            }));
            fetched
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.lookup.reset();
    }
}

async fn fetch_range(client: &Client, range: &Range) -> Fetch<Payload> {
    Ok(Payload::Items(query::pages(client, range).await?).fetched())
}

impl Payload {
    fn fetched(self) -> Fetched<Self> {
        let version = self.version();
        Fetched::current(self, Some(version))
    }
}
