//! The function, as you would write it: it stores orders through a pool that is derived from a secret.
//! All it does about rotations is `refresh_on_error`.

use std::time::Duration;

use futures_util::future::try_join_all;
use lambda_cache::sources::secrets_manager;
use lambda_cache::{Builder, Cache, Key, Snapshot, Value};
use lambda_runtime::{Error, LambdaEvent};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::database::{DatabaseError, Pool, Server};

/// The max age of the secret. If a rotation's overlap is longer, no operation has to be repeated.
pub const MAX_AGE: Duration = Duration::from_millis(400);

#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    pub numbers: Vec<u64>,
}

/// The secret, in the format of Secrets Manager's rotation functions.
#[derive(Debug, Deserialize)]
struct Credentials {
    username: String,
    password: SecretString,
}

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`. A real
/// function would have the URL of a database instead of the server.
pub async fn run(mut builder: Builder, server: Server) -> Result<(), Error> {
    let connect = move |credentials: Credentials| {
        let server = server.clone();
        async move { server.connect(credentials.username, credentials.password).await }
    };
    let secret = secrets_manager::secret("/prod/db").json::<Credentials>();
    let pool = builder.add(secret.derive(connect).max_age(MAX_AGE));

    let cache = builder.spawn().await?;
    let orders = cache.clone();
    cache
        .run(move |event: LambdaEvent<Orders>, _: Snapshot| {
            let cache = orders.clone();
            async move {
                let numbers = event.payload.numbers.into_iter();
                let stored = try_join_all(numbers.map(|number| store(&cache, pool, number)));
                Ok::<_, Error>(stored.await?.len())
            }
        })
        .await
}

/// Stores one order, and then its invoice. Each operation gets the current pool and keeps it until it
/// ends. If the password was refused, it runs once more with a new pool.
async fn store(cache: &Cache, pool: Key<Pool>, number: u64) -> Result<(), Error> {
    for table in ["orders", "invoices"] {
        let insert = async |pool: Value<Pool>| pool.insert(table, number).await;
        cache.refresh_on_error(pool, insert, is_refused).await?;
    }
    Ok(())
}

fn is_refused(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(DatabaseError::PasswordRefused))
}
