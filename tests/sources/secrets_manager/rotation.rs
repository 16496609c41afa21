//! Secrets that are rotated: the pair of values, and the date of the next rotation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::sources::secrets_manager::{self, WithPrevious};
use lambda_cache::{Clock, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::store::{say, value};
use crate::aws::{Answer, Call};
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

/// Answers to successive calls with these versions.
fn answers(world: &World, versions: Vec<usize>) {
    let calls = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let version = versions[calls.fetch_add(1, Ordering::Relaxed)];
        Some(say(value("db", &format!("v{version}"), version)))
    });
}

#[tokio::test(start_paused = true)]
async fn two_rotations_between_two_calls_take_a_pair_apart_too() {
    let world = World::new();
    // What is previous at the second call never was together with what was current at the first.
    answers(&world, vec![1, 2, 3, 2, 3]);
    let mut builder = world.builder();
    let pair = builder.add(secrets_manager::secret("db").with_previous());
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let pair = snapshot.get(pair).unwrap();
    assert_eq!(pair.current.expose_secret(), "v3");
    assert_eq!(pair.previous.as_ref().unwrap().expose_secret(), "v2");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_held_is_revalidated_by_two_calls() {
    let world = World::new();
    answers(&world, vec![2, 1, 2, 2, 1]);
    let mut builder = world.builder();
    let pair = builder.add(secrets_manager::secret("db").with_previous());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.aws.calls().len(), 3);
    let before = cache.get(pair).await.unwrap();
    world.clock.advance(MINUTE);
    let after = cache.get(pair).await.unwrap();
    assert_eq!((world.aws.calls().len(), after.age()), (2, Duration::ZERO));
    assert!(Arc::ptr_eq(&before.into_inner(), &after.into_inner()));
}

/// A secret that may be rotated whenever it is asked for: its newest version, and when to rotate.
struct Rotating {
    newest: usize,
    random: fastrand::Rng,
}

impl Rotating {
    fn answer(&mut self, call: &Call) -> Answer {
        if self.random.u8(..100) < 30 {
            self.newest += self.random.usize(1..=2);
        }
        match call.body["VersionStage"].as_str() {
            Some("AWSPREVIOUS") if self.newest == 0 => {
                Answer::error(400, "ResourceNotFoundException")
            }
            Some("AWSPREVIOUS") => {
                say(value("db", &(self.newest - 1).to_string(), self.newest - 1))
            }
            _ => say(value("db", &self.newest.to_string(), self.newest)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn however_a_secret_is_rotated_a_pair_is_of_one_state_and_no_older_than_its_fetch() {
    let (mut whole, mut torn) = (0, 0);
    for seed in 0..6 {
        let world = World::new();
        let random = fastrand::Rng::with_seed(seed);
        let rotating = Arc::new(Mutex::new(Rotating { newest: 0, random }));
        let answering = Arc::clone(&rotating);
        world.aws.script(move |call| Some(answering.lock().unwrap().answer(call)));
        let mut builder = world.builder();
        let number = |it: SecretString| async move { it.expose_secret().parse::<usize>() };
        let pair = secrets_manager::secret("db").derive(number).with_previous().lazy();
        let pair = builder.add(pair);
        let cache = builder.spawn().await.unwrap();
        for _ in 0..25 {
            let before = rotating.lock().unwrap().newest;
            world.clock.advance(MINUTE);
            match cache.get(pair).await {
                Ok(pair) => {
                    assert_eq!(pair.previous, pair.current.checked_sub(1), "seed {seed}");
                    assert!(pair.current >= before, "seed {seed}");
                    whole += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("rotated between"), "{error}");
                    torn += 1;
                }
            }
        }
    }
    assert!(whole > 100 && torn > 0, "{whole} whole, {torn} torn");
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_decoded_as_each_of_its_values_is() {
    let world = World::new();
    world.aws.put_secret("db", r#"{"port": 1}"#).await;
    world.aws.put_secret("db", r#"{"port": 2}"#).await;
    let mut builder = world.builder();
    let secret = || secrets_manager::secret("db");
    let json = builder.add(secret().json::<HashMap<String, u16>>().with_previous().name("json"));
    let field = builder.add(secret().field("port").json::<u16>().with_previous().name("field"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let json = snapshot.get(json).unwrap();
    assert_eq!((json.current["port"], json.previous.as_ref().unwrap()["port"]), (2, 1));
    assert_eq!(*snapshot.get(field).unwrap(), WithPrevious { current: 2, previous: Some(1) });
    assert_eq!(world.aws.calls().len(), 3, "they share a fetch");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_a_rotation_takes_apart_is_asked_for_again() {
    let world = World::new();
    // Rotated between the first two calls: what was current is what is previous.
    answers(&world, vec![1, 1, 2, 1, 2]);
    let mut builder = world.builder();
    let pair = builder.add(secrets_manager::secret("db").with_previous());
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let pair = snapshot.get(pair).unwrap();
    assert_eq!(pair.current.expose_secret(), "v2");
    assert_eq!(pair.previous.as_ref().unwrap().expose_secret(), "v1");
    assert_eq!(world.aws.calls().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_rotated_without_end_is_an_error_and_no_endless_loop() {
    let world = World::new();
    world.aws.script(|_| Some(say(value("db", "v", 1))));
    let mut builder = world.builder();
    let pair = builder.add(secrets_manager::secret("db").with_previous().lazy());
    let error = builder.spawn().await.unwrap().get(pair).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("rotated"), "{error}");
    assert_eq!(world.aws.calls().len(), 7);
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
    // Its date first: were it asked for after the value, it could be that of the rotation after next.
    let calls = world.aws.calls();
    let operations: Vec<&str> = calls.iter().map(Call::operation).collect();
    assert_eq!(operations, ["DescribeSecret", "GetSecretValue"]);
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

#[tokio::test(start_paused = true)]
async fn one_secret_with_and_without_its_rotation_followed_is_asked_for_once() {
    let world = World::new();
    for name in ["db", "other"] {
        world.aws.put_secret(name, "text").await;
    }
    let mut builder = world.builder();
    let plain = builder.add(secrets_manager::secret("db"));
    let followed = builder.add(secrets_manager::secret("db").follow_rotation().name("followed"));
    let only = builder.add(secrets_manager::secret("other"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    for key in [plain, followed, only] {
        assert_eq!(snapshot.get(key).unwrap().expose_secret(), "text");
    }
    let calls = world.aws.calls();
    let batch: Vec<_> = calls.iter().filter(|it| it.operation() != "DescribeSecret").collect();
    assert_eq!((batch.len(), batch[0].secrets()), (1, vec!["db".into(), "other".into()]));
}
