//! Secrets that are rotated: the pair of values, and the date of the next rotation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_cache::sources::secrets_manager;
use lambda_cache::{Clock, ErrorKind};
use secrecy::ExposeSecret;
use serde_json::json;

use super::store::{say, value};
use crate::aws::Answer;
use crate::fixture::{HOUR, MINUTE, World};

#[tokio::test(start_paused = true)]
async fn the_current_value_and_the_one_before_it_are_one_entry() {
    let world = World::new();
    world.aws.put_secret("db", r#"{"password": "one"}"#).await;
    let mut builder = world.builder();
    let pair = secrets_manager::secret("db").field("password").with_previous();
    let pair = builder.add(pair);
    let cache = builder.spawn().await.unwrap();
    let value = cache.get(pair).await.unwrap();
    assert_eq!(value.current.expose_secret(), "one");
    assert!(value.previous.is_none());
    world.aws.put_secret("db", r#"{"password": "two"}"#).await;
    world.clock.advance(MINUTE);
    let value = cache.get(pair).await.unwrap();
    assert_eq!(value.current.expose_secret(), "two");
    assert_eq!(value.previous.as_ref().unwrap().expose_secret(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_a_rotation_takes_apart_is_asked_for_again() {
    let world = World::new();
    let calls = AtomicUsize::new(0);
    // Rotated between the first two calls: what was current is what is previous.
    world.aws.script(move |_| {
        let versions = [1, 1, 2, 1];
        let n = calls.fetch_add(1, Ordering::Relaxed);
        Some(say(value("db", &format!("v{}", versions[n]), versions[n])))
    });
    let mut builder = world.builder();
    let pair = builder.add(secrets_manager::secret("db").with_previous());
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let pair = snapshot.get(pair).unwrap();
    assert_eq!(pair.current.expose_secret(), "v2");
    assert_eq!(pair.previous.as_ref().unwrap().expose_secret(), "v1");
    assert_eq!(world.aws.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_rotated_without_end_is_an_error_and_no_endless_loop() {
    let world = World::new();
    world.aws.script(|_| Some(say(value("db", "v", 1))));
    let mut builder = world.builder();
    builder.add(secrets_manager::secret("db").with_previous());
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Source);
    assert!(error.to_string().contains("rotated"), "{error}");
    assert_eq!(world.aws.calls().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn no_value_outlives_the_date_of_the_next_rotation() {
    let world = World::new();
    let rotation = world.clock.now().wall() + 10 * MINUTE;
    let rotation = rotation.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let clock = world.clock.clone();
    let start = clock.now().monotonic();
    world.aws.script(move |call| {
        let rotated = clock.now().monotonic() - start >= 10 * MINUTE;
        Some(match call.operation() {
            "DescribeSecret" => say(json!({
                "Name": "db", "RotationEnabled": true, "NextRotationDate": rotation,
            })),
            _ if rotated => say(value("db", "new", 2)),
            _ => say(value("db", "old", 1)),
        })
    });
    let mut builder = world.builder();
    let db = builder.add(secrets_manager::secret("db").max_age(HOUR).follow_rotation());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.aws.calls().len(), 2);
    world.clock.advance(10 * MINUTE - Duration::from_secs(1));
    assert_eq!(cache.snapshot().await.get(db).unwrap().expose_secret(), "old");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(cache.snapshot().await.get(db).unwrap().expose_secret(), "new");
    // The date is over and says nothing more.
    world.aws.calls();
    world.clock.advance(50 * MINUTE);
    assert_eq!(cache.snapshot().await.get(db).unwrap().expose_secret(), "new");
    assert!(world.aws.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_permission_to_describe_the_entry_is_refused_by_name() {
    let world = World::new();
    world.aws.script(|call| {
        Some(match call.operation() {
            "DescribeSecret" => Answer::error(400, "AccessDeniedException"),
            _ => say(value("db", "v", 1)),
        })
    });
    let mut builder = world.builder();
    builder.add(secrets_manager::secret("db").follow_rotation());
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("secretsmanager:DescribeSecret"), "{error}");
}
