use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::Clock;
use lambda_cache::testing::{Fault, Gap, Lambda, LambdaError, Order, TestClock};

use crate::client::{Client, in_no_time, start, waits};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_freeze_in_process_is_one_of_the_clock() {
    let clock = TestClock::new();
    let lambda = start(Lambda::builder().clock(clock.clone()));
    let _next = Client::runtime(&lambda).asks().await;
    let before = clock.now();

    lambda.freeze(HOUR).await.unwrap();

    let after = clock.now();
    assert!(after.wall().duration_since(before.wall()).unwrap() >= HOUR);
    assert!(after.monotonic() - before.monotonic() < HOUR);
    assert_eq!(lambda.counts().freezes, 1);
}

#[tokio::test]
async fn a_freeze_waits_until_the_environment_is_idle() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (invoke, next) = (extension.asks().await, runtime.asks().await);
    lambda.invocation("ping").start().unwrap();

    assert!(waits(&lambda, lambda.freeze(HOUR)).await);
    runtime.responds(&next.answered().await, "0").await;
    invoke.answered().await;
    let _next = runtime.asks().await;
    assert!(waits(&lambda, lambda.freeze(HOUR)).await);
    let _invoke = extension.asks().await;
    lambda.freeze(HOUR).await.unwrap();
    assert_eq!(lambda.counts().freezes, 1);
}

#[tokio::test]
async fn an_invoke_that_is_held_back_keeps_the_environment_from_freezing() {
    let lambda = start(Lambda::builder().order(Order::HandlerFirst(Gap::Held)));
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (_invoke, next) = (extension.asks().await, runtime.asks().await);
    lambda.invocation("ping").start().unwrap();
    runtime.responds(&next.answered().await, "0").await;
    let _next = runtime.asks().await;
    assert!(waits(&lambda, lambda.idle()).await);
    assert!(waits(&lambda, lambda.begin_freeze()).await);
}

#[tokio::test]
async fn a_freeze_that_cannot_be_says_who_has_not_asked() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let (invoke, _next) = (extension.asks().await, Client::runtime(&lambda).asks().await);
    lambda.invocation("ping").start().unwrap();
    invoke.answered().await;

    let error = in_no_time(lambda.freeze(HOUR)).await.unwrap_err();
    let LambdaError::NotIdle { waiting_for } = &error else { panic!("{error:?}") };
    assert!(waiting_for.iter().any(|it| it.contains("\"cache\"")), "{error}");
}

#[tokio::test]
async fn probes_are_called_at_the_moment_of_freezing() {
    let clock = TestClock::new();
    let lambda = start(Lambda::builder().clock(clock.clone()));
    let _next = Client::runtime(&lambda).asks().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    lambda.on_freeze({
        let (seen, clock) = (seen.clone(), clock.clone());
        move || seen.lock().unwrap().push(clock.now().wall())
    });

    let start = clock.now().wall();
    lambda.freeze(HOUR).await.unwrap();
    lambda.freeze(HOUR).await.unwrap();

    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].duration_since(start).unwrap() < HOUR);
    assert!(seen[1].duration_since(seen[0]).unwrap() >= HOUR);
}

#[tokio::test]
async fn nobody_gets_anything_while_frozen() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let (mut invoke, mut next) = (extension.asks().await, Client::runtime(&lambda).asks().await);

    let frozen = lambda.begin_freeze().await.unwrap();
    let invocation = lambda.invocation("ping").start().unwrap();
    lambda.fail_next("cache", Fault::refused());
    assert!(waits(&lambda, invocation.handed_over()).await);
    assert!(waits(&lambda, next.is_answered()).await);
    assert!(waits(&lambda, invoke.is_answered()).await);
    assert_eq!(lambda.counts().invocations, 0, "its deadline is not running yet");

    frozen.thaw().unwrap();
    assert_eq!(next.answered().await.json(), "ping");
    assert_eq!(invoke.answered().await.status, 403);
    assert!(extension.next().await.json()["requestId"] == invocation.request_id());
}

#[tokio::test]
async fn a_freeze_that_is_dropped_thaws() {
    let lambda = start(Lambda::builder());
    let next = Client::runtime(&lambda).asks().await;
    drop(lambda.begin_freeze().await.unwrap());
    lambda.invocation("ping").start().unwrap();
    next.answered().await;
}
