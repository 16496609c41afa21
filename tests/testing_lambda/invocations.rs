use std::time::{Duration, UNIX_EPOCH};

use lambda_cache::Clock;
use lambda_cache::testing::{Lambda, LambdaError, Outcome, TestClock};
use serde_json::json;

use crate::client::{Client, RUNTIME, in_no_time, start, waits};

#[tokio::test]
async fn an_invocation_is_over_when_all_have_asked_again() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (invoke, next) = (extension.asks().await, runtime.asks().await);

    let first = lambda.invocation(json!({ "n": 1 })).start().unwrap();
    let second = lambda.invocation(json!({ "n": 2 })).start().unwrap();
    let (invoke, next) = (invoke.answered().await, next.answered().await);
    assert_eq!(next.json(), json!({ "n": 1 }));
    assert_eq!(next.request_id(), first.request_id());
    assert_eq!(invoke.json()["requestId"], first.request_id());

    assert!(waits(&lambda, first.responded()).await);
    assert_eq!(runtime.responds(&next, "\"one\"").await.status, 202);
    assert_eq!(first.responded().await.unwrap(), Outcome::Response("\"one\"".into()));
    assert!(waits(&lambda, first.over()).await);
    let next = runtime.asks().await;
    assert!(waits(&lambda, first.over()).await, "the extension has not asked");
    assert!(waits(&lambda, second.handed_over()).await, "one at a time");

    let _invoke = extension.asks().await;
    let over = first.over().await.unwrap();
    assert_eq!(over.json::<String>().unwrap(), "one");
    let timings = over.timings;
    assert!(timings.handed_over.unwrap() <= timings.responded.unwrap());
    assert!(timings.invoke_taken.unwrap() <= timings.over);
    assert_eq!(over.held_after_response().unwrap(), timings.over - timings.responded.unwrap());

    let next = next.answered().await;
    assert_eq!(next.json(), json!({ "n": 2 }));
    runtime.responds(&next, "\"two\"").await;
    assert!(second.invoke_taken().await.unwrap());
    let _invoke = extension.asks().await;
    assert!(waits(&lambda, second.over()).await, "the runtime has not asked");
    let _next = runtime.asks().await;
    second.over().await.unwrap();
    assert_eq!(lambda.counts().invocations, 2);
}

#[tokio::test]
async fn an_extension_without_events_is_not_waited_for() {
    let lambda = start(Lambda::builder());
    let silent = Client::extension(&lambda, "silent", &[]).await;
    let runtime = Client::runtime(&lambda);
    let (mut event, next) = (silent.asks().await, runtime.asks().await);

    let invocation = lambda.invocation("ping").start().unwrap();
    runtime.responds(&next.answered().await, "0").await;
    let _next = runtime.asks().await;
    assert_eq!(invocation.over().await.unwrap().timings.invoke_taken, None);
    assert!(waits(&lambda, event.is_answered()).await);
}

#[tokio::test]
async fn a_handlers_error_is_the_outcome() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let next = runtime.asks().await;
    let invocation = lambda.invocation("ping").start().unwrap();

    let path = format!("{RUNTIME}/invocation/{}/error", next.answered().await.request_id());
    let body = json!({ "errorType": "NoPrice", "errorMessage": "no such price" }).to_string();
    assert_eq!(runtime.posts(&path, "", &body).await.status, 202);
    let _next = runtime.asks().await;

    let over = invocation.over().await.unwrap();
    let (error_type, message) = ("NoPrice".to_owned(), "no such price".to_owned());
    assert_eq!(over.outcome, Outcome::Error { error_type, message });
    assert!(matches!(over.json::<String>(), Err(LambdaError::NoResponse(_))));
}

#[tokio::test]
async fn a_response_is_posted_once_and_to_the_invocation_that_is_going_on() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let next = runtime.asks().await;
    lambda.invocation("ping").start().unwrap();
    let next = next.answered().await;

    let unknown = format!("{RUNTIME}/invocation/unknown/response");
    assert_eq!(
        runtime.posts(&unknown, "", "").await.error_type(),
        (400, "InvalidRequestID".to_owned())
    );
    assert_eq!(runtime.responds(&next, "1").await.status, 202);
    assert_eq!(
        runtime.responds(&next, "2").await.error_type(),
        (403, "InvalidStateTransition".to_owned())
    );
}

#[tokio::test]
async fn a_response_may_be_large() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let next = runtime.asks().await;
    let invocation = lambda.invocation("ping").start().unwrap();
    let large = "0".repeat(5_000_000);
    assert_eq!(runtime.responds(&next.answered().await, &large).await.status, 202);
    assert_eq!(invocation.responded().await.unwrap(), Outcome::Response(large.into()));
}

#[tokio::test]
async fn who_hangs_up_before_the_event_gets_it_when_asking_again() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (invoke, next) = (extension.asks().await, runtime.asks().await);
    lambda.ready().await.unwrap();

    drop((invoke, next));
    let invocation = lambda.invocation("ping").start().unwrap();

    let (invoke, next) = (extension.next().await, runtime.next().await);
    assert_eq!(invoke.json()["requestId"], invocation.request_id());
    assert_eq!(next.request_id(), invocation.request_id());
}

#[tokio::test]
async fn who_asks_twice_is_answered_once() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let (mut first, second) = (runtime.asks().await, runtime.asks().await);
    lambda.invocation("ping").start().unwrap();
    assert_eq!(second.answered().await.json(), "ping");
    assert!(waits(&lambda, first.is_answered()).await);
}

#[tokio::test]
async fn an_invocation_that_is_not_over_at_its_deadline_has_timed_out() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "stuck", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (invoke, next) = (extension.asks().await, runtime.asks().await);

    let invocation = lambda.invocation("ping").start().unwrap();
    invoke.answered().await;
    runtime.responds(&next.answered().await, "0").await;
    let next = runtime.asks().await;

    let over = in_no_time(invocation.over()).await.unwrap();
    assert_eq!(over.outcome, Outcome::TimedOut);
    assert!(over.timings.responded.is_some());
    assert!(over.timings.over >= Duration::from_secs(3));

    let _invoke = extension.asks().await;
    lambda.invocation("pong").start().unwrap();
    assert_eq!(next.answered().await.json(), "pong");
}

#[tokio::test]
async fn a_response_after_the_deadline_is_refused() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let next = runtime.asks().await;
    let invocation = lambda.invocation("ping").start().unwrap();
    let next = next.answered().await;
    assert_eq!(in_no_time(invocation.over()).await.unwrap().outcome, Outcome::TimedOut);
    assert_eq!(
        runtime.responds(&next, "0").await.error_type(),
        (400, "InvalidRequestID".to_owned())
    );
}

#[tokio::test]
async fn an_invocation_of_a_function_that_does_not_ask_says_so() {
    let lambda = start(Lambda::builder().patience(Duration::from_secs(60)));
    let error = in_no_time(lambda.invoke("ping")).await.unwrap_err();
    assert!(matches!(error, LambdaError::NotIdle { .. }), "{error:?}");
}

#[tokio::test]
async fn the_deadline_is_on_the_environments_wall_clock_and_the_trace_id_on_true_time() {
    let clock = TestClock::new();
    clock.step_back(Duration::from_secs(300));
    let lambda = start(Lambda::builder().clock(clock.clone()).timeout(Duration::from_secs(7)));
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (invoke, next) = (extension.asks().await, runtime.asks().await);

    let (wall, world) = (clock.now().wall(), clock.true_now());
    lambda.invocation("ping").start().unwrap();
    let (invoke, next) = (invoke.answered().await.json(), next.answered().await);

    let deadline: u64 = next.header("lambda-runtime-deadline-ms").unwrap().parse().unwrap();
    assert_eq!(invoke["deadlineMs"], deadline);
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline + 1);
    assert!(deadline >= wall + Duration::from_secs(7));
    assert!(deadline <= clock.now().wall() + Duration::from_secs(8));

    let trace_id = next.header("lambda-runtime-trace-id").unwrap();
    assert_eq!(invoke["tracing"], json!({ "type": "X-Amzn-Trace-Id", "value": trace_id }));
    let parts: Vec<_> = trace_id.split([';', '-', '=']).collect();
    let [_, "1", epoch, root, "Parent", parent, "Sampled", "0"] = parts[..] else {
        panic!("{trace_id}")
    };
    assert_eq!((epoch.len(), root.len(), parent.len()), (8, 24, 16));
    let epoch = Duration::from_secs(u64::from_str_radix(epoch, 16).unwrap());
    let world = world.duration_since(UNIX_EPOCH).unwrap();
    assert!(epoch.as_secs() - world.as_secs() <= 1, "{epoch:?} is not {world:?}");

    assert_eq!(invoke["eventType"], "INVOKE");
    let arn = next.header("lambda-runtime-invoked-function-arn").unwrap();
    assert_eq!(invoke["invokedFunctionArn"], arn);
}

#[tokio::test]
async fn a_trace_id_can_be_forged_or_left_out() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let runtime = Client::runtime(&lambda);
    let (mut invoke, mut next) = (extension.asks().await, runtime.asks().await);

    for (forged, told) in [("Root=1-ffffffff-0", Some("Root=1-ffffffff-0")), ("", None)] {
        lambda.invocation("ping").trace_id(forged).start().unwrap();
        let (event, invocation) = (invoke.answered().await.json(), next.answered().await);
        assert_eq!(invocation.header("lambda-runtime-trace-id"), told);
        assert_eq!(event.get("tracing").and_then(|it| it["value"].as_str()), told);
        runtime.responds(&invocation, "0").await;
        (invoke, next) = (extension.asks().await, runtime.asks().await);
    }
}
