//! The entries of every source, and a handler that reports their ages.

use std::path::PathBuf;
use std::time::Duration;

use lambda_cache::sources::{dynamodb, s3, secrets_manager};
use lambda_cache::{Builder, Cache, Error, Key, Memo, Snapshot};
use serde::{Deserialize, Serialize};

use super::function::{Function, Report, Seen};

/// The names of things at the sources.
pub const SECRET: &str = "app/database";
pub const BUCKET: &str = "app-bucket";
pub const SETTINGS: &str = "settings.json";
pub const MODEL: &str = "model.json";
pub const TABLE: &str = "accounts";
pub const ACCOUNT: &str = "42";

/// The names and max ages of the entries beyond the quickstart's, in the order of a [`Report`].
pub const MORE: [(&str, Duration); 6] = [
    ("database", Duration::from_secs(2)),
    ("pool", Duration::from_secs(2)),
    ("settings", Duration::from_secs(3)),
    ("model", Duration::from_secs(2)),
    ("account", Duration::from_secs(2)),
    ("account memo", Duration::from_secs(3)),
];

/// What each of them holds: the number of its changes, which identifies its version in a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Counted {
    pub count: u32,
}

/// What is derived from the secret.
pub struct Pool {
    count: u32,
}

async fn connect(database: Counted) -> Result<Pool, std::io::Error> {
    // A handshake takes about this long.
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(Pool { count: database.count })
}

/// The keys of the function's entries.
#[derive(Clone, Copy)]
pub struct Everything {
    function: Function,
    database: Key<Counted>,
    pool: Key<Pool>,
    settings: Key<Counted>,
    model: Key<PathBuf>,
    account: Key<Counted>,
}

/// What an invocation saw, and how many API calls the cache has made so far.
#[derive(Debug, Serialize, Deserialize)]
pub struct FullReport {
    #[serde(flatten)]
    pub report: Report,
    pub api_calls: u64,
}

/// Accounts by number.
pub fn memo(builder: &mut Builder) -> Memo<String, Counted> {
    let accounts = dynamodb::items(TABLE).key::<String>("id").consistent();
    builder.memo_from("account memo", accounts.deserialize::<Counted>()).max_age(MORE[5].1).build()
}

impl Everything {
    /// Declares the entries. `fetch_rates` gets the rates.
    pub fn declare<F, Fut>(builder: &mut Builder, fetch_rates: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<f64, std::io::Error>> + Send + 'static,
    {
        let [(database, a), (pool, b), (settings, c), (model, d), (account, e), _] = MORE;
        let secret = || secrets_manager::secret(SECRET).json::<Counted>();
        let object = |key| s3::object(format!("s3://{BUCKET}/{key}"));
        let item = dynamodb::item(TABLE).key("id", ACCOUNT).consistent();
        Self {
            function: Function::declare(builder, fetch_rates),
            database: builder.add(secret().name(database).max_age(a)),
            pool: builder.add(secret().name(pool).max_age(b).derive(connect)),
            settings: builder.add(object(SETTINGS).json().name(settings).max_age(c)),
            model: builder.add(object(MODEL).to_temporary_file().name(model).max_age(d)),
            account: builder.add(item.deserialize().name(account).max_age(e)),
        }
    }

    /// The handler. A real one would use the values; this one reports their ages.
    pub async fn handle(
        self,
        cache: &Cache,
        memo: &Memo<String, Counted>,
        snapshot: Snapshot,
    ) -> Result<FullReport, Error> {
        let account = memo.get(ACCOUNT.to_owned()).await?;
        // A newer file may have replaced it since the snapshot.
        let model = std::fs::read(snapshot.get(self.model)?).unwrap_or_default();
        let model: Option<Counted> = serde_json::from_slice(&model).ok();
        let more = [
            seen(&snapshot, self.database, |it| it.count),
            seen(&snapshot, self.pool, |it| it.count),
            seen(&snapshot, self.settings, |it| it.count),
            seen(&snapshot, self.model, |_| model.map_or(0, |it| it.count)),
            seen(&snapshot, self.account, |it| it.count),
            Ok(Seen {
                version: account.count.to_string(),
                age: account.age(),
                stale: account.is_stale(),
            }),
        ];
        let mut report = self.function.handle(snapshot).await?;
        report.entries.extend(more);
        Ok(FullReport { report, api_calls: cache.status().api_calls() + memo.stats().api_calls })
    }
}

fn seen<T: Send + Sync + 'static>(
    snapshot: &Snapshot,
    key: Key<T>,
    count: impl FnOnce(&T) -> u32,
) -> Result<Seen, String> {
    let seen = || -> Result<Seen, Error> {
        Ok(Seen {
            version: count(snapshot.get(key)?).to_string(),
            age: snapshot.age(key)?,
            stale: snapshot.is_stale(key)?,
        })
    };
    seen().map_err(|error| error.to_string())
}
