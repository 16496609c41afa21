//! The sidecar under load, over both ports and many keys, while everything changes.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::select_all;

use crate::client::{self, Connection};
use crate::cloud::Cloud;
use crate::growth::{Growth, TUNABLES};
use crate::sidecar::{MARK, Sidecar, TOKEN, setup};
use crate::variable;

const DECLARED: usize = 50;
/// More than are cached.
const ON_DEMAND: usize = 300;
const CACHED: usize = 100;
const CLIENTS: usize = 8;
const LONGEST_VALUE: usize = 3000;
const SAMPLES: u32 = 60;

#[tokio::test]
#[ignore = "takes its time; .ci/run runs it"]
async fn the_sidecar_does_not_grow_under_load() {
    let time = Duration::from_secs(variable("SOAK_SECONDS", 60));
    let cloud = Cloud::start().await;
    for key in 0..ON_DEMAND {
        cloud.put_parameter(&parameter(key), MARK).await;
        cloud.put_secret(&secret(key), MARK).await;
    }
    let setup = setup(&config())
        .variable(TUNABLES.0, TUNABLES.1)
        .variable("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "error")
        .variable("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", CACHED)
        .variable("SSM_PARAMETER_STORE_TTL", 1)
        .variable("SECRETS_MANAGER_TTL", 1);
    let sidecar = setup.start(&cloud).await;
    let (mut growth, answers) = (Growth::of(sidecar.id()), [0, 0].map(AtomicU64::new));

    let samples = async {
        for _ in 0..SAMPLES {
            tokio::time::sleep(time / SAMPLES).await;
            growth.sample();
        }
    };
    let clients = (0..CLIENTS).map(|_| Box::pin(ask_for_ever(&sidecar, &answers)));
    tokio::select! {
        () = samples => {}
        (never, ..) = select_all(clients) => match never {},
        never = change_for_ever(&cloud) => match never {},
    }

    // On a busy machine some fetches may take too long.
    let [values, errors] = answers.map(AtomicU64::into_inner);
    println!("{values} values and {errors} errors in {time:?}");
    assert!(values > 9 * errors, "most reads fail");
    growth.is_none("the sidecar");
}

fn parameter(key: usize) -> String {
    format!("/soak/{key}")
}

fn secret(key: usize) -> String {
    format!("soak/{key}")
}

fn config() -> String {
    let list = |name: fn(usize) -> String| (0..DECLARED).map(name).collect::<Vec<_>>().join(", ");
    let (parameters, secrets) = (list(parameter), list(secret));
    format!(
        "parameters: [{{names: [{parameters}], max_age: 1s}}]\n\
         secrets: [{{names: [{secrets}], max_age: 2s}}]\n"
    )
}

/// Reads on connections that it keeps for a while, and counts the values and the errors.
async fn ask_for_ever(sidecar: &Sidecar, answers: &[AtomicU64; 2]) -> Infallible {
    let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
    loop {
        let mut declared = Connection::open(sidecar.declared).await;
        let mut on_demand = Connection::open(sidecar.on_demand).await;
        for _ in 0..100 {
            let (key, name) = (fastrand::usize(..DECLARED), fastrand::usize(..ON_DEMAND));
            let reply = match fastrand::u8(0..4) {
                0 => {
                    let path = format!("/parameters?name={}", parameter(key));
                    declared.ask(client::get(&path, &[])).await
                }
                1 => {
                    let path = format!("/secrets?name={}", secret(key));
                    declared.ask(client::get(&path, &[])).await
                }
                2 => {
                    let name = parameter(name);
                    let path = format!("/systemsmanager/parameters/get?name={name}");
                    on_demand.ask(client::get(&path, &[&token])).await
                }
                _ => {
                    let path = format!("/secretsmanager/get?secretId={}", secret(name));
                    on_demand.ask(client::get(&path, &[&token])).await
                }
            };
            answers[usize::from(reply.status != 200)].fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn change_for_ever(cloud: &Cloud) -> Infallible {
    loop {
        let value = MARK.to_owned() + &"x".repeat(fastrand::usize(0..LONGEST_VALUE));
        let key = fastrand::usize(..ON_DEMAND);
        match fastrand::bool() {
            true => cloud.put_parameter(&parameter(key), &value).await,
            false => cloud.put_secret(&secret(key), &value).await,
        }
        // What has been recorded of them is not needed.
        drop(cloud.aws.calls());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
