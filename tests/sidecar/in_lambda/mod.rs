//! The binary as an external extension, beside a function that knows nothing of it.

mod ends;
mod freezes;
mod init;
mod invocations;
mod trouble;

use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaBuilder};
use serde_json::Value as Json;

use crate::aws::HOME;
use crate::cloud::Cloud;
use crate::lambda_client::Client;
use crate::sidecar::{NAME, Setup, Sidecar, setup};

const CONFIG: &str = "parameters: [{names: [p]}]";
/// For everything here.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The operations where there should be none.
const NOTHING: [&str; 0] = [];

/// An environment with the sidecar's file in it.
fn lambda(builder: LambdaBuilder) -> Lambda {
    builder.region(HOME).external_extension(NAME).bind().unwrap().start().unwrap()
}

/// Starts a function that answers each invocation with what `handler` gives.
fn function<F>(lambda: &Lambda, mut handler: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output = Json> + Send,
{
    let runtime = Client::runtime(lambda);
    tokio::spawn(async move {
        while let Some(invocation) = runtime.asks().await.answer().await {
            let answer = handler().await;
            runtime.responds(&invocation, &answer.to_string()).await;
        }
    });
}

/// Starts a function that answers at once.
fn idle_function(lambda: &Lambda) {
    function(lambda, || async { Json::Null });
}

/// It keeps `p`, which it loads at init, and what clients name, for a second.
fn short_lived() -> Setup {
    let setup = setup(CONFIG).variable("CACHE_EXTENSION_TTL", "1s");
    setup.variable("SECRETS_MANAGER_TTL", 1).variable("CACHE_EXTENSION_INIT_STARTUP", "true")
}

/// A sidecar that has loaded `p`, and waits for events beside a function that asks for nothing.
async fn start(cloud: &Cloud, lambda: &Lambda) -> Sidecar {
    put(cloud, "hush 1").await;
    let sidecar = short_lived().start_in(lambda, cloud).await;
    idle_function(lambda);
    lambda.ready().await.unwrap();
    assert_eq!(cloud.operations(), ["GetParameters"]);
    sidecar
}

/// Gives the parameter `p` and the secret `s` this value.
async fn put(cloud: &Cloud, value: &str) {
    cloud.put_parameter("p", value).await;
    cloud.put_secret("s", value).await;
}
