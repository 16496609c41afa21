//! The acceptance cases A9 and A10 of lambda-cache for Python.

use std::time::Duration;

use lambda_cache::sources::secrets_manager;
use secrecy::ExposeSecret;

use crate::fixture::{First, MINUTE, SECOND, World};
use crate::steps::{Reading, Steps};

const READINGS: [Reading; 4] = [
    Reading::Snapshot,
    Reading::Get,
    Reading::Invocation(First::Handler),
    Reading::Invocation(First::Extension),
];

fn ages() -> [Duration; 2] {
    [10 * SECOND, MINUTE]
}

#[tokio::test(start_paused = true)]
async fn a9_a_text_secret_changes_at_exactly_its_max_age() {
    for (reading, age) in READINGS.into_iter().flat_map(|it| ages().map(|age| (it, age))) {
        let world = World::new();
        let change = async |n: usize| {
            world.aws.put_secret("/prod/key", ["old", "new"][n]).await;
        };
        let entry = secrets_manager::secret("/prod/key");
        Steps { age, reading }
            .run(&world, entry, change, |it| it.expose_secret().to_owned(), texts())
            .await;
    }
}

fn texts() -> [String; 2] {
    ["old".to_owned(), "new".to_owned()]
}

#[tokio::test(start_paused = true)]
async fn a9_a_renamed_secret_changes_at_exactly_its_max_age() {
    let world = World::new();
    let change = async |n: usize| {
        world.aws.put_secret("/prod/key", ["old", "new"][n]).await;
    };
    let entry = secrets_manager::secret("/prod/key").name("renamed");
    Steps { age: 10 * SECOND, reading: Reading::Snapshot }
        .run(&world, entry, change, |it| it.expose_secret().to_owned(), texts())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a10_a_binary_secret_changes_at_exactly_its_max_age() {
    for (reading, age) in READINGS.into_iter().flat_map(|it| ages().map(|age| (it, age))) {
        let world = World::new();
        let values = [vec![0, 159, 146, 150], vec![255, 0, 1]];
        let change = async |n: usize| {
            world.aws.say_binary_secret(&values[n], n);
        };
        let entry = secrets_manager::secret("/prod/key").binary();
        Steps { age, reading }
            .run(&world, entry, change, |it| it.expose_secret().to_vec(), values.clone())
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_max_age_is_a_minute() {
    let world = World::new();
    world.aws.put_secret("/prod/key", "old").await;
    let mut builder = world.builder();
    let key = builder.add(secrets_manager::secret("/prod/key"));
    let cache = builder.spawn().await.unwrap();
    world.aws.put_secret("/prod/key", "new").await;
    world.clock.freeze(MINUTE - Duration::from_nanos(1));
    assert_eq!(cache.snapshot().await.get(key).unwrap().expose_secret(), "old");
    world.clock.freeze(Duration::from_nanos(1));
    assert_eq!(cache.snapshot().await.get(key).unwrap().expose_secret(), "new");
}
