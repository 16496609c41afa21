//! A function to deploy, which keeps a parameter and a secret fresh. Your `src/main.rs` would look like
//! this.
//!
//! `template.yaml` beside this creates both, gives the function only the permissions it needs, and says
//! how to build and deploy it.

use aws_config::BehaviorVersion;
use lambda_cache::sources::{secrets_manager, ssm};
use lambda_cache::{Cache, Snapshot};
use lambda_runtime::{Error, LambdaEvent};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

/// A secret in the format that Secrets Manager uses for databases.
#[derive(Deserialize)]
struct Database {
    username: String,
    #[expect(dead_code, reason = "a real function would log in with it")]
    password: SecretString,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let mut builder = Cache::builder(&aws);
    let greeting = builder.add(ssm::parameter("/lambda-cache/deploy/greeting"));
    let database = secrets_manager::secret("lambda-cache/deploy/database").json::<Database>();
    let database = builder.add(database);
    let cache = builder.spawn().await?;

    cache
        .run(move |_: LambdaEvent<Value>, snapshot: Snapshot| async move {
            Ok::<_, Error>(json!({
                "greeting": snapshot.get(greeting)?,
                "seconds old": snapshot.age(greeting)?.as_secs_f64(),
                "user": snapshot.get(database)?.username,
            }))
        })
        .await
}
