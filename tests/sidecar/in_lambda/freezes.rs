//! Freezes for longer than anything may be kept, between invocations of a function that asks for
//! everything at once.

use std::time::Duration;

use futures_util::future::join_all;
use lambda_cache::testing::{Gap, Lambda, Order};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::{MAX_AGE, function, lambda, put, short_lived};
use crate::aws::Answer;
use crate::client;
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, TOKEN};

const CLIENTS: usize = 20;

/// Where a function asks.
#[derive(Clone, Copy)]
struct Ports {
    declared: u16,
    on_demand: u16,
}

impl Ports {
    fn of(sidecar: &Sidecar) -> Self {
        Self { declared: sidecar.declared, on_demand: sidecar.on_demand }
    }

    async fn parameter(self) -> String {
        let reply = client::ask(self.declared, client::get("/parameters?name=p", &[])).await;
        reply.text().to_owned()
    }

    async fn secret(self) -> String {
        let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
        let request = client::get("/secretsmanager/get?secretId=s", &[&token]);
        let reply = client::ask(self.on_demand, request).await;
        reply.json()["SecretString"].as_str().unwrap_or(reply.text()).to_owned()
    }

    /// Everything that many clients are told at the same time, each answer once.
    async fn all(self) -> Json {
        let parameters = join_all((0..CLIENTS).map(|_| self.parameter()));
        let secrets = join_all((0..CLIENTS).map(|_| self.secret()));
        let (mut parameters, mut secrets) = tokio::join!(parameters, secrets);
        parameters.dedup();
        secrets.dedup();
        json!([parameters, secrets])
    }
}

#[tokio::test]
async fn a_function_that_is_thawed_is_told_what_is_true_by_one_call_for_each_thing() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    let sidecar = short_lived().start_in(&lambda, &cloud).await;
    let ports = Ports::of(&sidecar);
    function(&lambda, move || ports.all());
    lambda.invoke(()).await.unwrap();
    let orders = [
        Order::ExtensionFirst(Gap::UntilDone),
        Order::HandlerFirst(Gap::UntilDone),
        Order::Together,
    ];
    for (n, order) in orders.into_iter().enumerate() {
        let value = format!("hush {n}");
        let frozen = lambda.begin_freeze().await.unwrap();
        assert_eq!(cloud.in_flight(), 0);
        put(&cloud, &value).await;
        tokio::time::sleep(MAX_AGE).await;
        cloud.aws.calls();
        frozen.thaw().unwrap();
        let invocation = lambda.invocation(()).order(order).start().unwrap().over().await.unwrap();
        assert_eq!(invocation.json::<Json>().unwrap(), json!([[value], [value]]), "{order:?}");
        let mut operations = cloud.operations();
        operations.sort();
        // What INVOKE finds in flight is started again: it may have been frozen.
        if order == Order::Together {
            operations.dedup();
        }
        assert_eq!(operations, ["GetParameters", "GetSecretValue"], "{order:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_frozen_on_its_way_is_not_kept() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush 1").await;
    let setup = short_lived().variable("CACHE_EXTENSION_INIT_STARTUP", "false");
    let sidecar = setup.start_in(&lambda, &cloud).await;
    let ports = Ports::of(&sidecar);
    let (go_on, told) = mpsc::channel(1);
    let told = std::sync::Arc::new(tokio::sync::Mutex::new(told));
    function(&lambda, move || {
        let told = told.clone();
        async move {
            told.lock().await.recv().await;
            Json::Null
        }
    });
    // They know what was true when they were asked, and say it while the sidecar is frozen.
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(300))));
    let invocation = lambda.invocation(()).start().unwrap();
    assert!(invocation.extensions_done().await.unwrap());
    // The sidecar has asked for its next event, and the function does not wait for these.
    let waiting = async { tokio::join!(ports.parameter(), ports.secret()) };
    let freeze = async {
        cloud.called(2).await;
        go_on.send(()).await.unwrap();
        invocation.over().await.unwrap();
        let frozen = lambda.begin_freeze().await.unwrap();
        assert_eq!(cloud.in_flight(), 2);
        tokio::time::sleep(MAX_AGE).await;
        put(&cloud, "hush 2").await;
        cloud.aws.heal();
        go_on.send(()).await.unwrap();
        let next = lambda.invocation(()).start().unwrap();
        frozen.thaw().unwrap();
        next.over().await.unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, freeze);
    // Who has waited for it may have it: nobody was asked before they asked.
    for answer in <[String; 2]>::from(answers) {
        assert!(["hush 1", "hush 2"].contains(&&*answer), "{answer}");
    }
    assert_eq!((ports.parameter().await, ports.secret().await), ("hush 2".into(), "hush 2".into()));
}
