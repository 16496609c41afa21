//! What the service's failures are to a reader, and that the old value outlives them.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use lambda_cache::sources::dynamodb::{self, Item};
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key};
use serde_json::{Value as Json, json};

use super::store::Account;
use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

/// An expired entry.
async fn expired() -> (World, Cache, Key<Account>) {
    let world = World::with_accounts(&[("42", "old")]).await;
    let mut builder = world.builder();
    let entry = dynamodb::item("accounts").key("id", "42").deserialize().name("account");
    let account = builder.add(entry);
    let cache = builder.spawn().await.unwrap();
    world.aws.put_account("42", "new").await;
    world.clock.freeze(MINUTE);
    world.aws.calls();
    (world, cache, account)
}

/// The SDK's own error below `error`.
fn sdk(error: &Error) -> &SdkError<GetItemError> {
    error.source().unwrap().downcast_ref().unwrap()
}

/// What a read gets, once it has got an error that says everything and the next one the new value.
async fn failure(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let (world, cache, account) = expired().await;
    world.aws.script(move |_| Some(answer()));
    let before = world.clock.now().monotonic();
    let error = cache.get(account).await.unwrap_err();
    let took = world.clock.now().monotonic() - before;
    assert!(took <= 5 * SECOND + SECOND / 100, "{took:?}");
    assert!(world.aws.calls().len() <= 3, "more attempts than the SDK makes");
    assert!(error.age().unwrap() >= MINUTE, "{error}");
    let text = error.to_string();
    for part in ["entry \"account\"", "dynamodb:GetItem accounts by id", "s old, max age 60s"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let kept = cache.peek(account).unwrap();
    assert!(kept.value == "old" && kept.is_stale() && kept.age() >= MINUTE);

    world.aws.heal();
    world.clock.advance(SECOND);
    let value = cache.get(account).await.unwrap();
    assert_eq!((value.value.as_str(), value.age()), ("new", std::time::Duration::ZERO));
    error
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_throttled() {
    for code in [
        "ProvisionedThroughputExceededException",
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
    ] {
        let error = failure(move || Answer::error(400, code)).await;
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
        assert!(matches!(sdk(&error), SdkError::ServiceError(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_attempt_is_made_again_by_the_sdk() {
    let (world, cache, account) = expired().await;
    let attempts = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| Answer::error(400, "ProvisionedThroughputExceededException"))
    });
    assert_eq!(cache.get(account).await.unwrap().value, "new");
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_denied() {
    for code in ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"] {
        let error = failure(move || Answer::error(400, code)).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let service = sdk(&error).as_service_error().unwrap();
        assert_eq!(service.meta().code(), Some(code));
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_gone_is_not_found() {
    let error = failure(|| Answer::error(400, "ResourceNotFoundException")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_or_a_broken_connection_is_a_failure_of_the_source() {
    for (status, code) in [(500, "InternalServerError"), (503, "ServiceUnavailable")] {
        let error = failure(move || Answer::error(status, code)).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(matches!(sdk(&error), SdkError::ServiceError(_)), "{error}");
    }
    let error = failure(|| Answer::Break).await;
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(error.to_string().contains("connection reset"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_or_is_not_connected_is_timed_out() {
    for answer in [|| Answer::Never, || Answer::Stall] {
        assert_eq!(failure(answer).await.kind(), ErrorKind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_answer_is_a_failure_of_the_source() {
    for body in ["<html>", "{", r#"{"Item": {"id": {"S": "42""#, r#"{"Item": 7}"#] {
        let error = failure(move || Answer::Say(200, body.to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{body}: {error}");
    }
}

/// Two items, each of which may be absent.
async fn two(world: &World) -> (Cache, [Key<Option<Item>>; 2]) {
    let mut builder = world.builder();
    let item = |id| dynamodb::item("accounts").key("id", id).optional();
    let keys = [builder.add(item("1")), builder.add(item("2"))];
    (builder.spawn().await.unwrap(), keys)
}

/// That an item does not exist is said by leaving it out, so no other silence may be taken for it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_understood_does_not_say_that_an_item_does_not_exist() {
    let item = |id: Json| json!([{ "id": id }]);
    for answer in [
        json!({}),
        json!({ "UnprocessedKeys": {} }),
        json!({ "Responses": { "accounts": item(json!({ "S": "3" })) } }),
        json!({ "Responses": { "accounts": item(json!({ "N": "1" })) } }),
        json!({ "Responses": { "accounts": [{ "value": { "S": "v" } }] } }),
        json!({ "Responses": { "others": item(json!({ "S": "1" })) } }),
        json!({
            "Responses": { "accounts": [] },
            "UnprocessedKeys": { "accounts": { "Keys": item(json!({ "S": "3" })) } },
        }),
    ] {
        let world = World::with_accounts(&[("1", "v"), ("2", "v")]).await;
        let (cache, keys) = two(&world).await;
        world.clock.freeze(MINUTE);
        let said = answer.clone();
        world.aws.script(move |_| Some(Answer::json(&said)));
        let snapshot = cache.snapshot().await;
        for key in keys {
            let error = snapshot.get(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source, "{answer}: {error}");
            assert!(cache.peek(key).unwrap().is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_leaves_items_out_says_that_they_do_not_exist() {
    for answer in [json!({ "Responses": {} }), json!({ "Responses": { "accounts": [] } })] {
        let world = World::with_accounts(&[]).await;
        world.aws.script(move |_| Some(Answer::json(&answer)));
        let (cache, keys) = two(&world).await;
        let snapshot = cache.snapshot().await;
        assert!(keys.iter().all(|&key| snapshot.get(key).unwrap().is_none()));
    }
}
