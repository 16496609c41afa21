//! Which secrets share a call, and what happens where they may not.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use lambda_cache::sources::secrets_manager;
use lambda_cache::testing::Invocations;
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key, Mode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::store::{say, value};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};
use crate::seen::Seen;

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

/// The cause that a user looks for, whichever operation it came from.
fn said(error: &Error) -> &GetSecretValueError {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(said) = error.downcast_ref() {
            return said;
        }
        cause = error.source();
    }
    panic!("{error}")
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_secret_is_the_same_error_alone_and_in_a_batch() {
    for (code, kind) in [
        ("ResourceNotFoundException", ErrorKind::NotFound),
        ("InvalidRequestException", ErrorKind::Source),
        ("InvalidParameterException", ErrorKind::Source),
        ("DecryptionFailure", ErrorKind::Denied),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let world = World::new();
        world.aws.script(move |call| {
            Some(match call.operation() {
                "GetSecretValue" => Answer::error(400, code),
                _ => say(json!({
                    "SecretValues": [value("a", "A", 1)],
                    "Errors": [{ "SecretId": "b", "ErrorCode": code, "Message": "so" }],
                })),
            })
        });
        let mut builder = world.builder();
        builder.add(secrets_manager::secret("b"));
        let error = builder.spawn().await.unwrap_err();
        let [error] = error.others() else { panic!("{error}") };
        assert_eq!((said(error).code(), error.kind()), (Some(code), kind), "alone: {error}");
        let mut builder = world.builder();
        builder.add(secrets_manager::secret("a"));
        builder.add(secrets_manager::secret("b"));
        let error = builder.spawn().await.unwrap_err();
        let [error] = error.others() else { panic!("{error}") };
        assert_eq!((error.entry(), error.kind()), (Some("b"), kind), "{error}");
        assert_eq!((said(error).code(), said(error).message()), (Some(code), Some("so")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_for_one_of_its_secrets_takes_no_other_down_and_is_asked_for_without_it() {
    for (code, kind) in [
        ("DecryptionFailure", ErrorKind::Denied),
        ("InvalidRequestException", ErrorKind::Source),
        ("ValidationException", ErrorKind::Source),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let world = World::new();
        let (cache, keys) = cache(&world, 3).await;
        world.aws.script(move |call| {
            let refused = call.secrets().contains(&"s1".to_owned());
            refused.then(|| Answer::error(400, code))
        });
        let (batch, single) = (("BatchGetSecretValue", 2), ("GetSecretValue", 1));
        let first = vec![("BatchGetSecretValue", 3), single, single, single];
        for expected in [first, vec![batch, single], vec![batch, single]] {
            world.clock.advance(MINUTE);
            world.aws.calls();
            let snapshot = cache.snapshot().await;
            assert_eq!(operations(&world.aws.calls()), expected, "{code}");
            assert_eq!(snapshot.get(keys[0]).unwrap().expose_secret(), "text 0");
            assert_eq!(snapshot.get(keys[1]).unwrap_err().kind(), kind, "{code}");
            assert_eq!(snapshot.get(keys[2]).unwrap().expose_secret(), "text 2");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_secrets_are_refused_each_is_asked_for_once_and_then_two_calls_are_made() {
    let seen = Seen::listen();
    let world = World::new();
    let (cache, keys) = cache(&world, 20).await;
    world.aws.fail(400, "AccessDeniedException");
    for expected in [1 + 20, 2, 2] {
        world.clock.advance(MINUTE);
        world.aws.calls();
        let snapshot = cache.snapshot().await;
        for &key in &keys {
            assert_eq!(snapshot.get(key).map(|_| ()).unwrap_err().kind(), ErrorKind::Denied);
        }
        assert_eq!(world.aws.calls().len(), expected);
    }
    assert_eq!(seen.count("lacks the permission"), 0, "it lacks every permission");
    world.aws.heal();
    for _ in 0..2 {
        world.clock.advance(MINUTE);
        world.aws.calls();
        read_all(&cache, &keys).await;
    }
    assert_eq!(operations(&world.aws.calls()), [("BatchGetSecretValue", 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_batch_permission_is_warned_of_once_and_forgotten_at_a_restore() {
    let seen = Seen::listen();
    let world = World::new();
    let attempts = AtomicUsize::new(0);
    // Both batches wait for the SDK's pause after a failure, so that both are under way when refused.
    world.aws.script(move |call| {
        (call.operation() == "BatchGetSecretValue").then(|| {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Answer::error(500, "InternalServiceError"),
                _ => Answer::error(400, "AccessDeniedException"),
            }
        })
    });
    for n in 0..40 {
        world.aws.put_secret(&format!("s{n}"), "text").await;
    }
    let mut builder = world.builder().mode(Mode::SnapStart);
    for n in 0..40 {
        // At init the SDK does not retry what init waits for.
        builder.add(secrets_manager::secret(format!("s{n}")).in_background());
    }
    let cache = builder.spawn().await.unwrap();
    cache.snapshot().await;
    let calls = world.aws.calls();
    let batches = calls.iter().filter(|call| call.operation() == "BatchGetSecretValue");
    assert_eq!(batches.count(), 4, "each of two, twice");
    let invocations = Invocations::new(&cache, &world.clock);
    world.clock.advance(MINUTE);
    cache.snapshot().await;
    assert_eq!(seen.count("permission secretsmanager:BatchGetSecretValue"), 1);
    seen.check(&["WARN", "as the test said"]);
    world.aws.heal();
    invocations.before_snapshot().await.unwrap();
    world.aws.calls();
    invocations.after_restore().await.unwrap();
    cache.snapshot().await;
    let batch = ("BatchGetSecretValue", 20);
    assert_eq!(operations(&world.aws.calls()), [batch, batch]);
}

/// What is wrong with the credentials is so for every call, and is mended with them.
#[tokio::test(start_paused = true)]
async fn credentials_that_are_refused_do_not_end_batching() {
    for code in ["ExpiredTokenException", "UnrecognizedClientException"] {
        let world = World::new();
        let (cache, keys) = cache(&world, 2).await;
        world.aws.fail(400, code);
        world.clock.advance(MINUTE);
        world.aws.calls();
        let error = cache.snapshot().await.get(keys[0]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let calls = world.aws.calls();
        assert!(calls.iter().all(|it| it.operation() == "BatchGetSecretValue"), "{calls:?}");
        world.aws.heal();
        world.clock.advance(MINUTE);
        read_all(&cache, &keys).await;
        assert_eq!(operations(&world.aws.calls()), [("BatchGetSecretValue", 2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_batch_is_not_waited_for() {
    let world = World::new();
    let (cache, keys) = cache(&world, 2).await;
    world.aws.script(|call| {
        (call.operation() == "BatchGetSecretValue")
            .then(|| Answer::error(400, "ThrottlingException"))
    });
    world.aws.calls();
    world.clock.advance(MINUTE);
    let before = world.clock.now().monotonic();
    read_all(&cache, &keys).await;
    assert_eq!(world.clock.now().monotonic(), before, "no back-off before the single calls");
    let single = ("GetSecretValue", 1);
    assert_eq!(operations(&world.aws.calls()), [("BatchGetSecretValue", 2), single, single]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_out_of_luck_is_still_tried_again_by_the_sdk() {
    let world = World::new();
    let (cache, keys) = cache(&world, 2).await;
    let attempts = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| Answer::error(500, "InternalServiceError"))
    });
    world.aws.calls();
    world.clock.advance(MINUTE);
    read_all(&cache, &keys).await;
    let batch = ("BatchGetSecretValue", 2);
    assert_eq!(operations(&world.aws.calls()), [batch, batch]);
}

/// The operations date a value differently: the batch gives the secret's own date.
#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_singly_after_a_batch_has_not_changed() {
    let world = World::new();
    let dated = |name: &str, date: f64| {
        let mut secret = value(name, name, 1);
        secret["CreatedDate"] = json!(date);
        secret
    };
    let batches = AtomicUsize::new(0);
    world.aws.script(move |call| {
        Some(match call.operation() {
            "GetSecretValue" => say(dated(&call.secrets()[0], 1_700_000_000.123)),
            _ if batches.fetch_add(1, Ordering::Relaxed) > 0 => {
                Answer::error(400, "ThrottlingException")
            }
            _ => {
                let all: Vec<_> = call.secrets().iter().map(|it| dated(it, 1.6e9)).collect();
                say(json!({ "SecretValues": all }))
            }
        })
    });
    let mut builder = world.builder();
    let derived = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&derived);
    let a = builder.add(secrets_manager::secret("a").derive(move |it: SecretString| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::fmt::Error>(it) }
    }));
    builder.add(secrets_manager::secret("b"));
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(a).await.unwrap();
    world.clock.advance(MINUTE);
    let after = cache.get(a).await.unwrap();
    assert_eq!((before.version(), after.age()), (after.version(), Duration::ZERO));
    assert_eq!(derived.load(Ordering::Relaxed), 1);
}
