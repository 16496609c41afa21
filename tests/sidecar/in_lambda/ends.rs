//! How it ends when it is meant to.

use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaBuilder};
use rustix::process::Signal;

use super::{CONFIG, MAX_AGE, idle_function, lambda, put, short_lived, start};
use crate::aws::Answer;
use crate::client::{Connection, get};
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, TOKEN, setup};

/// Less than the two seconds that Lambda gives it.
const IN_TIME: Duration = Duration::from_millis(1500);

/// Shuts the environment down, with the sidecar in it.
async fn ends_in_time(lambda: &Lambda) {
    let ends = lambda.shutdown().await.unwrap();
    let [end] = &ends[..] else { panic!("not one end: {ends:?}") };
    assert!(end.status.is_some_and(|status| status.success()), "{end:?}");
    assert!(end.after < IN_TIME, "{end:?}");
    assert!(lambda.reports().is_empty(), "{:?}", lambda.reports());
}

/// A client that asks for something on each port, of which its source says nothing.
async fn hanging_clients(cloud: &Cloud, sidecar: &Sidecar) -> [Connection; 2] {
    cloud.aws.script(|_| Some(Answer::Never));
    let token = format!("X-Vault-Token: {TOKEN}");
    let mut declared = Connection::open(sidecar.declared).await;
    declared.send(get("/parameters?name=p", &[])).await.unwrap();
    let mut on_demand = Connection::open(sidecar.on_demand).await;
    let secret = get("/secretsmanager/get?secretId=s", &[&token]);
    on_demand.send(secret).await.unwrap();
    cloud.called(2).await;
    [declared, on_demand]
}

#[tokio::test]
async fn at_shutdown_it_exits_in_time() {
    let cloud = Cloud::start().await;
    let managed: fn(LambdaBuilder) -> LambdaBuilder = |it| it.managed(4);
    for describe in [|it| it, managed] {
        let lambda = lambda(describe(Lambda::builder()));
        put(&cloud, "hush").await;
        let _sidecar = short_lived().start_in(&lambda, &cloud).await;
        idle_function(&lambda);
        lambda.ready().await.unwrap();
        ends_in_time(&lambda).await;
    }
}

#[tokio::test]
async fn at_shutdown_it_exits_in_time_with_clients_and_fetches_that_wait() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    let setup = setup(CONFIG);
    let sidecar = setup.start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    lambda.ready().await.unwrap();
    let clients = hanging_clients(&cloud, &sidecar).await;
    ends_in_time(&lambda).await;
    for mut client in clients {
        assert_eq!(client.reply().await, None, "the connection ends");
    }
}

#[tokio::test]
async fn at_shutdown_after_a_long_freeze_it_exits_in_time() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    lambda.freeze(MAX_AGE).await.unwrap();
    let _clients = hanging_clients(&cloud, &sidecar).await;
    lambda.freeze(Duration::from_secs(2)).await.unwrap();
    ends_in_time(&lambda).await;
}

#[tokio::test]
async fn a_signal_ends_it_whatever_waits() {
    let cloud = Cloud::start().await;
    put(&cloud, "hush").await;
    for signal in [Signal::TERM, Signal::INT] {
        let mut sidecar = setup(CONFIG).start(&cloud).await;
        let _clients = hanging_clients(&cloud, &sidecar).await;
        sidecar.signal(signal);
        assert!(sidecar.ended().await.success());
    }
}
