use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaError, Outcome};

use crate::client::{Client, in_no_time, register, start, waits};

fn managed(concurrency: u32) -> Lambda {
    start(Lambda::builder().managed(concurrency))
}

#[tokio::test]
async fn a_managed_instance_says_so() {
    let env = managed(3).env();
    let value = |key: &str| env.iter().find(|it| it.0 == key).map(|it| &*it.1);
    assert_eq!(value("AWS_LAMBDA_INITIALIZATION_TYPE"), Some("lambda-managed-instances"));
    assert_eq!(value("AWS_LAMBDA_MAX_CONCURRENCY"), Some("3"));
}

#[tokio::test]
async fn a_managed_instance_has_no_invoke_events() {
    let lambda = start(Lambda::builder().managed(2).external_extension("agent"));
    for (name, events) in [("cache", ["INVOKE"]), ("cache", ["SHUTDOWN"]), ("agent", ["INVOKE"])] {
        let refusal = register(&lambda, name, &events).await;
        assert_eq!(refusal.error_type(), (403, "Extension.InvalidEventType".to_owned()));
    }
    assert_eq!(register(&lambda, "cache", &[]).await.status, 200);
    assert_eq!(register(&lambda, "agent", &["SHUTDOWN"]).await.status, 200);
}

#[tokio::test]
async fn as_many_invocations_as_configured_go_on_at_once() {
    let lambda = managed(2);
    let runtime = Client::runtime(&lambda);
    let questions = (runtime.asks().await, runtime.asks().await);
    let [a, b, c] = ["a", "b", "c"].map(|it| lambda.invocation(it).start().unwrap());

    let (first, second) = (questions.0.answered().await, questions.1.answered().await);
    assert_ne!(first.request_id(), second.request_id());
    let third = runtime.asks().await;
    assert!(waits(&lambda, c.handed_over()).await);

    runtime.responds(&first, "0").await;
    assert_eq!(third.answered().await.json(), "c");
    runtime.responds(&second, "0").await;
    for handle in [a, b] {
        assert_eq!(handle.over().await.unwrap().outcome, Outcome::Response("0".into()));
    }
}

#[tokio::test]
async fn a_managed_instance_is_never_frozen() {
    let lambda = managed(1);
    let _next = Client::runtime(&lambda).asks().await;
    assert!(matches!(lambda.freeze(Duration::ZERO).await, Err(LambdaError::NeverFreezes)));
}

#[tokio::test]
async fn a_late_response_is_gone() {
    let lambda = start(Lambda::builder().managed(1));
    let runtime = Client::runtime(&lambda);
    let next = runtime.asks().await;
    let invocation = lambda.invocation("ping").start().unwrap();
    let next = next.answered().await;
    assert_eq!(in_no_time(invocation.over()).await.unwrap().outcome, Outcome::TimedOut);
    assert_eq!(runtime.responds(&next, "0").await.status, 410);
}
