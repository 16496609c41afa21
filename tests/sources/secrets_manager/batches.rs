//! Which secrets share a call, and what happens where they may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::sources::secrets_manager;
use lambda_cache::{Cache, ErrorKind, Key};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::store::{say, value};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

/// A cache of so many secrets, named `s0` and on.
async fn cache(world: &World, secrets: usize) -> (Cache, Vec<Key<SecretString>>) {
    for n in 0..secrets {
        world.aws.put_secret(&format!("s{n}"), &format!("text {n}")).await;
    }
    let mut builder = world.builder();
    let secret = |n| builder.add(secrets_manager::secret(format!("s{n}")));
    let keys = (0..secrets).map(secret).collect();
    (builder.spawn().await.unwrap(), keys)
}

fn operations(calls: &[Call]) -> Vec<(&str, usize)> {
    calls.iter().map(|call| (call.operation(), call.secrets().len())).collect()
}

async fn read_all(cache: &Cache, keys: &[Key<SecretString>]) {
    let snapshot = cache.snapshot().await;
    for (n, &key) in keys.iter().enumerate() {
        assert_eq!(snapshot.get(key).unwrap().expose_secret(), format!("text {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_secrets_are_one_call_and_a_twenty_first_is_a_plain_one() {
    let world = World::new();
    let (cache, keys) = cache(&world, 21).await;
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), [("BatchGetSecretValue", 20), ("GetSecretValue", 1)]);
    read_all(&cache, &keys).await;
    world.clock.advance(MINUTE);
    read_all(&cache, &keys).await;
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_fails_alone_with_the_sdks_own_error() {
    let world = World::new();
    let (cache, keys) = cache(&world, 3).await;
    world.aws.delete_secret("s1").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(keys[0]).unwrap().expose_secret(), "text 0");
    assert_eq!(snapshot.get(keys[2]).unwrap().expose_secret(), "text 2");
    let error = snapshot.get(keys[1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(error.entry(), Some("s1"));
}

#[tokio::test(start_paused = true)]
async fn without_the_batch_permission_secrets_are_fetched_one_by_one_from_then_on() {
    let world = World::new();
    world.aws.script(|call| {
        (call.operation() == "BatchGetSecretValue")
            .then(|| Answer::error(400, "AccessDeniedException"))
    });
    let (cache, keys) = cache(&world, 3).await;
    let single = ("GetSecretValue", 1);
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), [("BatchGetSecretValue", 3), single, single, single]);
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        read_all(&cache, &keys).await;
        assert_eq!(operations(&world.aws.calls()), [single, single, single]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_batches_are_throttled_single_calls_take_over_for_a_while() {
    let world = World::new();
    let (cache, keys) = cache(&world, 2).await;
    world.aws.calls();
    let throttled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&throttled);
    world.aws.script(move |call| {
        (call.operation() == "BatchGetSecretValue").then(|| {
            count.fetch_add(1, Ordering::Relaxed);
            Answer::error(400, "ThrottlingException")
        })
    });
    let mut batches = Vec::new();
    for _ in 0..8 {
        world.clock.advance(MINUTE);
        read_all(&cache, &keys).await;
        batches.push(throttled.swap(0, Ordering::Relaxed) > 0);
    }
    // Each time it is throttled again, twice as many go singly before the next attempt.
    assert_eq!(batches, [true, false, true, false, false, true, false, false]);
    world.aws.heal();
    for _ in 0..4 {
        world.clock.advance(MINUTE);
        read_all(&cache, &keys).await;
    }
    world.aws.calls();
    world.clock.advance(MINUTE);
    read_all(&cache, &keys).await;
    assert_eq!(operations(&world.aws.calls()), [("BatchGetSecretValue", 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_pages_and_by_arn_finds_its_entry() {
    let world = World::new();
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/b";
    world.aws.script(|call| {
        Some(match call.body["NextToken"].as_str() {
            None => say(json!({ "SecretValues": [value("prod/b", "B", 1)], "NextToken": "2" })),
            Some(_) => say(json!({ "SecretValues": [value("a", "A", 1)] })),
        })
    });
    let mut builder = world.builder();
    let a = builder.add(secrets_manager::secret("a"));
    let whole = builder.add(secrets_manager::secret(format!("{arn}-AbCd12")));
    let partial = builder.add(secrets_manager::secret(arn).name("partial"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(a).unwrap().expose_secret(), "A");
    assert_eq!(snapshot.get(whole).unwrap().expose_secret(), "B");
    assert_eq!(snapshot.get(partial).unwrap().expose_secret(), "B");
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_batch_says_of_one_secret_is_that_ones_error() {
    let world = World::new();
    world.aws.script(|_| {
        Some(say(json!({
            "SecretValues": [value("a", "A", 1)],
            "Errors": [
                { "SecretId": "b", "ErrorCode": "AccessDeniedException", "Message": "no" },
                { "SecretId": "c", "ErrorCode": "ResourceNotFoundException", "Message": "none" },
            ],
        })))
    });
    let mut builder = world.builder();
    for name in ["a", "b", "c", "d"] {
        builder.add(secrets_manager::secret(name));
    }
    let error = builder.spawn().await.unwrap_err();
    let kinds = error.others().iter().map(|it| (it.entry().unwrap(), it.kind()));
    let expected = [("b", ErrorKind::Denied), ("c", ErrorKind::NotFound), ("d", ErrorKind::Source)];
    assert!(kinds.eq(expected), "{error}");
}
