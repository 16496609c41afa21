//! What the service's failures are to a reader, and that the old value outlives them.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_ssm::error::SdkError;
use aws_sdk_ssm::operation::get_parameters::GetParametersError;
use lambda_cache::sources::ssm;
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key};
use serde_json::json;

use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

/// An expired entry.
async fn expired() -> (World, Cache, Key<String>) {
    let world = World::with([("/app/x", "old")]).await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    world.aws.put("/app/x", "new").await;
    world.clock.freeze(MINUTE);
    world.aws.calls();
    (world, cache, x)
}

/// The SDK's own error below `error`.
fn sdk(error: &Error) -> &SdkError<GetParametersError> {
    error.source().unwrap().downcast_ref().unwrap()
}

/// What a read gets, once it has got an error that says everything and the next one the new value.
async fn failure(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let (world, cache, x) = expired().await;
    world.aws.script(move |_| Some(answer()));
    let error = cache.get(x).await.unwrap_err();
    assert_eq!(error.entry(), Some("x"));
    assert!(error.age().unwrap() >= MINUTE, "{error}");
    let text = error.to_string();
    for part in ["entry \"x\"", "ssm:GetParameters /app/x", "s old, max age 60s"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let kept = cache.peek(x).unwrap();
    assert!(*kept == "old" && kept.is_stale() && kept.age() >= MINUTE);

    world.aws.heal();
    world.clock.advance(SECOND);
    let value = cache.get(x).await.unwrap();
    assert_eq!((&**value, value.age()), ("new", std::time::Duration::ZERO));
    error
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_throttled() {
    for code in ["ThrottlingException", "com.amazonaws.ssm#TooManyRequestsException"] {
        let error = failure(move || Answer::error(400, code)).await;
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
        assert!(matches!(sdk(&error), SdkError::ServiceError(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_attempt_is_made_again_by_the_sdk() {
    let (world, cache, x) = expired().await;
    let attempts = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| Answer::error(400, "ThrottlingException"))
    });
    assert_eq!(*cache.get(x).await.unwrap(), "new");
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_denied() {
    for code in [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "InvalidKeyId",
    ] {
        let error = failure(move || Answer::error(400, code)).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("role"), "{error}");
        let service = sdk(&error).as_service_error().unwrap();
        assert_eq!(service.meta().code(), Some(code));
        assert_eq!(service.meta().message(), Some("as the test said"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_since_nothing_is_found_keeps_the_services_words() {
    let error = failure(|| Answer::error(400, "ParameterVersionNotFound")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("as the test said"), "{error}");
    assert!(matches!(sdk(&error), SdkError::ServiceError(_)));
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_is_a_failure_of_the_source() {
    for (status, code) in [(500, "InternalServerError"), (503, "ServiceUnavailable"), (500, "")] {
        let error = failure(move || Answer::error(status, code)).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(matches!(sdk(&error), SdkError::ServiceError(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_a_failure_of_the_source() {
    let error = failure(|| Answer::Break).await;
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(matches!(sdk(&error), SdkError::DispatchFailure(_)), "{error}");
    assert!(error.to_string().contains("connection reset"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_answer_is_a_failure_of_the_source() {
    for body in
        ["<html>", "{", r#"{"Parameters": [{"Name": "/app/x", "Val"#, r#"{"Parameters": 7}"#]
    {
        let error = failure(move || Answer::Say(200, body.to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{body}: {error}");
        assert!(matches!(sdk(&error), SdkError::ResponseError(_)), "{body}: {error}");
    }
}

/// That there is no such parameter is for the service to say.
#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_mention_a_name_does_not_say_that_it_does_not_exist() {
    let nameless = json!({ "Parameters": [{ "Value": "v", "Version": 1 }] }).to_string();
    for body in ["{}".to_owned(), json!({ "Parameters": [] }).to_string(), nameless] {
        let said = body.clone();
        let error = failure(move || Answer::Say(200, said.clone())).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{body}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_timed_out() {
    let error = failure(|| Answer::Never).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_is_a_timeout() {
    let error = failure(|| Answer::Stall).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(matches!(sdk(&error), SdkError::DispatchFailure(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn when_all_attempts_hang_the_sdks_own_timeout_is_the_cause() {
    let world = World::with([("/app/x", "x")]).await;
    let mut builder = world.builder().operation_timeout(MINUTE);
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|_| Some(Answer::Never));
    world.clock.freeze(MINUTE);
    world.aws.calls();
    let error = cache.get(x).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(matches!(sdk(&error), SdkError::TimeoutError(_)), "{error}");
    assert_eq!(world.aws.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_made_again() {
    let (world, cache, x) = expired().await;
    let attempts = AtomicUsize::new(0);
    world
        .aws
        .script(move |_| (attempts.fetch_add(1, Ordering::Relaxed) == 0).then_some(Answer::Never));
    let before = world.clock.now().monotonic();
    assert_eq!(*cache.get(x).await.unwrap(), "new");
    assert_eq!(world.aws.calls().len(), 2);
    assert!(world.clock.now().monotonic() - before < 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_takes_no_longer_than_the_operation_timeout_all_attempts_together() {
    for timeout in [SECOND, 3 * SECOND] {
        let world = World::with([("/app/x", "x")]).await;
        let mut builder = world.builder().operation_timeout(timeout);
        let x = builder.add(ssm::parameter("/app/x"));
        let cache = builder.spawn().await.unwrap();
        world.aws.script(|_| Some(Answer::Never));
        world.clock.freeze(MINUTE);
        let before = world.clock.now().monotonic();
        assert_eq!(cache.get(x).await.unwrap_err().kind(), ErrorKind::Timeout);
        let took = world.clock.now().monotonic() - before;
        assert!(took <= timeout + SECOND / 100, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_init_every_entry_that_fails_is_reported() {
    let world = World::with([("/app/fine", "1"), ("/app/text", "2"), ("/app/slow", "3")]).await;
    world.aws.script(|call| match call.region.as_str() {
        "us-east-1" => Some(Answer::error(400, "AccessDeniedException")),
        "us-west-2" => Some(Answer::Never),
        _ => None,
    });
    let mut builder = world.builder().init_deadline(4 * SECOND);
    builder.add(ssm::parameter("/app/fine"));
    builder.add(ssm::parameter("/app/text").json::<Vec<u8>>());
    builder.add(ssm::parameter("/app/absent"));
    builder.add(ssm::parameter("/app/secret").region("us-east-1"));
    builder.add(ssm::parameter("/app/slow").region("us-west-2"));
    let before = world.clock.now().monotonic();
    let error = builder.spawn().await.unwrap_err();
    assert!(world.clock.now().monotonic() - before <= 4 * SECOND + SECOND / 100);
    assert_eq!(error.kind(), ErrorKind::Init);
    let failed: Vec<_> = error.others().iter().map(|it| (it.entry().unwrap(), it.kind())).collect();
    let expected = [
        ("text", ErrorKind::Decode),
        ("absent", ErrorKind::NotFound),
        ("secret", ErrorKind::Denied),
        ("slow", ErrorKind::Timeout),
    ];
    assert_eq!(failed, expected, "{error}");
}
