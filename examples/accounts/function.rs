//! The function: it checks payments against the accounts they are of. It knows nothing of where it
//! runs.

use std::time::Duration;

use futures_util::future::try_join_all;
use lambda_cache::sources::dynamodb;
use lambda_cache::{Builder, Snapshot, Value};
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};

/// How old what is known of an account may be.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// How many accounts are kept, of the many there are.
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
    /// The age of the oldest.
    pub age: Duration,
    /// How many accounts are kept, and what has become of reads so far.
    pub kept: usize,
    pub hit_rate: f64,
    pub misses: u64,
}

/// What `main` does, once it has a builder: `Cache::builder(&aws_config::load_from_env().await)`.
pub async fn run(mut builder: Builder) -> Result<(), Error> {
    let items = dynamodb::items("accounts").key::<String>("id").deserialize::<Account>();
    let accounts = builder.memo_from("accounts", items);
    let accounts = accounts.max_entries(MAX_ENTRIES).max_age(MAX_AGE).build();
    let cache = builder.spawn().await?;

    cache
        .run(move |event: LambdaEvent<Vec<String>>, _: Snapshot| {
            let accounts = accounts.clone();
            async move {
                // What is not held of them comes in as few calls as it takes.
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
