//! The function, as you would write it: it looks up the accounts of payments.

use std::time::Duration;

use futures_util::future::try_join_all;
use lambda_cache::sources::dynamodb;
use lambda_cache::{Builder, Snapshot, Value};
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};

/// The max age of an account.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// How many accounts are kept.
pub const MAX_ENTRIES: usize = 100;

/// An item of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    pub id: String,
    pub revision: usize,
}

/// What an invocation saw.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub accounts: Vec<Account>,
    /// The age of the oldest of them.
    pub age: Duration,
    /// How many accounts are kept, and the hits and misses so far.
    pub kept: usize,
    pub hit_rate: f64,
    pub misses: u64,
}

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`.
pub async fn run(mut builder: Builder) -> Result<(), Error> {
    let items = dynamodb::items("accounts").key::<String>("id").deserialize::<Account>();
    let accounts = builder.memo_from("accounts", items);
    let accounts = accounts.max_entries(MAX_ENTRIES).max_age(MAX_AGE).build();
    let cache = builder.spawn().await?;

    cache
        .run(move |event: LambdaEvent<Vec<String>>, _: Snapshot| {
            let accounts = accounts.clone();
            async move {
                // Accounts that are not kept are fetched together, in as few calls as possible.
                let found = event.payload.iter().map(|id| accounts.get(id));
                let found: Vec<Value<Account>> = try_join_all(found).await?;
                let stats = accounts.stats();
                Ok::<_, Error>(Report {
                    age: found.iter().map(Value::age).max().unwrap_or_default(),
                    accounts: found.iter().map(|account| Account::clone(account)).collect(),
                    kept: stats.len,
                    hit_rate: stats.hit_rate(),
                    misses: stats.misses,
                })
            }
        })
        .await
}
