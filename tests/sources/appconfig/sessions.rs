//! Sessions: each token is spent once and not too early, and a lost one costs another session.

use lambda_cache::sources::appconfig;
use lambda_cache::testing::Invocations;
use lambda_cache::{Cache, Key, Mode};

use super::store::{Deployed, operations, token};
use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

async fn cache(world: &World) -> (Cache, Key<String>) {
    let mut builder = world.builder();
    let entry = appconfig::configuration("shop", "production", "settings").text();
    let key = builder.add(entry);
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    (cache, key)
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_asked_for_and_kept_to() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "1");
    let mut builder = world.builder();
    let key = builder.add(appconfig::configuration("shop", "production", "settings").text());
    let cache = builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    assert_eq!(calls[0].body["RequiredMinimumPollIntervalInSeconds"], 15);
    assert_eq!(calls[0].service, "appconfig");
    // Too early for the session: another one is started, and what it brings is the newest.
    deployed.deploy("2");
    world.clock.advance(15 * SECOND - std::time::Duration::from_nanos(1));
    assert_eq!(*cache.refresh(key).await.unwrap(), "2");
    assert_eq!(operations(&world.aws.calls()), "SG");
    // Late enough.
    deployed.deploy("3");
    world.clock.advance(15 * SECOND);
    assert_eq!(*cache.refresh(key).await.unwrap(), "3");
    assert_eq!(operations(&world.aws.calls()), "G");
}

#[tokio::test(start_paused = true)]
async fn a_max_age_under_the_interval_takes_a_session_each_time_and_serves_nothing_older() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "0");
    let mut builder = world.builder();
    let entry = appconfig::configuration("shop", "production", "settings").text();
    let key = builder.add(entry.max_age(5 * SECOND));
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    for n in 1..4 {
        deployed.deploy(n.to_string());
        world.clock.advance(5 * SECOND);
        assert_eq!(*cache.get(key).await.unwrap(), n.to_string());
    }
    assert_eq!(operations(&world.aws.calls()), "SGSGSG");
}

#[tokio::test(start_paused = true)]
async fn no_token_is_spent_twice() {
    let world = World::new();
    Deployed::in_world(&world, "1");
    let (cache, key) = cache(&world).await;
    for _ in 0..5 {
        world.clock.advance(MINUTE);
        cache.get(key).await.unwrap();
    }
    let calls = world.aws.calls();
    let mut tokens: Vec<_> = calls.iter().map(token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_is_followed_by_another_in_the_same_fetch() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "1");
    let (cache, key) = cache(&world).await;
    deployed.expire_sessions();
    deployed.deploy("2");
    world.clock.freeze(MINUTE);
    assert_eq!(*cache.get(key).await.unwrap(), "2");
    assert_eq!(operations(&world.aws.calls()), "GSG");
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_answer_never_came_is_not_spent_again() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "1");
    let (cache, key) = cache(&world).await;
    let invocations = Invocations::new(&cache, &world.clock);
    world.aws.script(|_| Some(Answer::Never));
    world.clock.freeze(50 * SECOND);
    let invocation = invocations.next();
    let extension = invocation.clone();
    let held = tokio::spawn(async move { extension.invoke().await });
    invocation.handler_begins().await.unwrap();
    crate::fixture::settle().await;
    invocation.handler_ends().await.unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(operations(&world.aws.calls()), "G", "cancelled at the hold limit");
    deployed.heal(&world);
    deployed.deploy("2");
    world.clock.freeze(MINUTE);
    assert_eq!(*cache.get(key).await.unwrap(), "2");
    assert_eq!(operations(&world.aws.calls()), "SG");
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_comes_whole_from_another_session() {
    let world = World::new();
    Deployed::in_world(&world, "1");
    let (cache, key) = cache(&world).await;
    world.clock.advance(20 * SECOND);
    cache.invalidate(key).await.unwrap();
    assert_eq!(*cache.get(key).await.unwrap(), "1");
    assert_eq!(operations(&world.aws.calls()), "SG");
}

#[tokio::test(start_paused = true)]
async fn no_session_outlives_a_snapshot() {
    let world = World::new();
    Deployed::in_world(&world, "1");
    let mut builder = world.builder().mode(Mode::SnapStart);
    let key = builder.add(appconfig::configuration("shop", "production", "settings").text());
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &world.clock);
    world.aws.calls();
    invocations.before_snapshot().await.unwrap();
    world.clock.freeze(MINUTE);
    invocations.after_restore().await.unwrap();
    assert_eq!(*cache.get(key).await.unwrap(), "1");
    assert_eq!(operations(&world.aws.calls()), "SG");
}
