//! What S3's refusals are to a reader, and that the old value outlives them.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use lambda_cache::sources::s3;
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key};

use super::store::BUCKET;
use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

/// An expired entry.
async fn expired() -> (World, Cache, Key<String>) {
    let world = World::bucket([("app/object", "old")]).await;
    let mut builder = world.builder();
    let object = builder.add(s3::object("s3://conf/app/object").text());
    let cache = builder.spawn().await.unwrap();
    world.aws.put_object("app/object", "new").await;
    world.clock.freeze(MINUTE);
    world.aws.calls();
    (world, cache, object)
}

/// What a read gets, once it has got an error that says everything and the next one the new value.
async fn failure(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let (world, cache, object) = expired().await;
    world.aws.script(move |_| Some(answer()));
    let error = cache.get(object).await.unwrap_err();
    assert_eq!(error.entry(), Some("object"));
    let text = error.to_string();
    for part in ["entry \"object\"", "s3:GetObject s3://conf/app/object", "s old, max age 60s"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let kept = cache.peek(object).unwrap();
    assert!(*kept == "old" && kept.is_stale() && kept.age() >= MINUTE);

    world.aws.heal();
    world.clock.advance(SECOND);
    assert_eq!(*cache.get(object).await.unwrap(), "new");
    error
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_not_found() {
    for code in ["NoSuchKey", "NoSuchBucket", "NoSuchVersion"] {
        let error = failure(move || Answer::s3_error(404, code)).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_deleted_is_not_found_until_it_is_back() {
    let (world, cache, object) = expired().await;
    world.aws.delete_object("app/object").await;
    let error = cache.get(object).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let sdk: &SdkError<GetObjectError> = error.source().unwrap().downcast_ref().unwrap();
    assert!(sdk.as_service_error().unwrap().is_no_such_key(), "{error}");
    world.aws.put_object("app/object", "old").await;
    world.clock.freeze(MINUTE);
    assert_eq!(*cache.get(object).await.unwrap(), "old");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_does_not_exist_is_not_found() {
    let world = World::new();
    let mut builder = world.builder();
    builder.add(s3::object(format!("s3://{BUCKET}/object")));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_denied() {
    for code in ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"] {
        let error = failure(move || Answer::s3_error(403, code)).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("role"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_much_is_throttled_whatever_s3_calls_it() {
    for code in ["SlowDown", "ServiceUnavailable", ""] {
        let error = failure(move || Answer::s3_error(503, code)).await;
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_attempt_is_made_again_by_the_sdk() {
    let (world, cache, object) = expired().await;
    let attempts = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| Answer::s3_error(503, "SlowDown"))
    });
    assert_eq!(*cache.get(object).await.unwrap(), "new");
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_is_a_failure_of_the_source() {
    for (status, code) in [(500, "InternalError"), (403, "InvalidObjectState"), (405, "")] {
        let error = failure(move || Answer::s3_error(status, code)).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_no_xml_is_a_failure_of_the_source() {
    for body in ["<html>", "<Error><Code>Intern", "{\"code\": \"NoSuchKey\"}"] {
        let error = failure(move || Answer::Say(404, body.to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{body}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_without_a_word_is_not_found() {
    let error = failure(|| Answer::Say(404, String::new())).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_a_failure_of_the_source() {
    let error = failure(|| Answer::Break).await;
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(error.to_string().contains("connection reset"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_takes_no_longer_than_the_operation_timeout_all_attempts_together() {
    for answer in [|| Answer::Never, || Answer::Stall, || Answer::s3_error(503, "SlowDown")] {
        let (world, cache, object) = expired().await;
        world.aws.script(move |_| Some(answer()));
        let before = world.clock.now().monotonic();
        let error = cache.get(object).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Throttled), "{error}");
        let took = world.clock.now().monotonic() - before;
        assert!(took <= 5 * SECOND + SECOND / 100, "{took:?}");
    }
}
