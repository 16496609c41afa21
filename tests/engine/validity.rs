//! Answers that say until when they are valid: the hard bound never reaches past that.

use std::time::{Duration, SystemTime};

use lambda_cache::Clock;
use lambda_cache::testing::TestClock;

use crate::fixture::{Fixture, HOUR, MINUTE, SECOND};

const INSTANT: Duration = Duration::from_nanos(1);

fn wall(clock: &TestClock) -> SystemTime {
    clock.now().wall()
}

#[tokio::test(start_paused = true)]
async fn a_value_expires_when_its_validity_ends_though_its_max_age_is_longer() {
    let it = Fixture::with(|entry| entry.max_age(HOUR)).await;
    it.source.set_valid_until(Some(wall(&it.clock) + 10 * MINUTE));
    it.cache.refresh(it.x).await.unwrap();
    it.source.set("x", "2");
    it.clock.freeze(10 * MINUTE - INSTANT);
    assert_eq!(it.read().await.unwrap(), "1");
    it.clock.freeze(INSTANT);
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(*it.cache.get(it.x).await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_validity_longer_than_the_max_age_changes_nothing() {
    let it = Fixture::new().await;
    it.source.set_valid_until(Some(wall(&it.clock) + HOUR));
    it.cache.refresh(it.x).await.unwrap();
    it.source.set("x", "2");
    it.clock.advance(MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_a_max_age_expires_then_too() {
    let it = Fixture::with(|entry| entry.once()).await;
    it.source.set_valid_until(Some(wall(&it.clock) + HOUR));
    it.cache.refresh(it.x).await.unwrap();
    it.source.set("x", "2");
    it.source.set_valid_until(None);
    it.clock.freeze(HOUR - INSTANT);
    assert_eq!(it.read().await.unwrap(), "1");
    it.clock.freeze(INSTANT);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_validity_that_was_over_when_it_was_asked_for_says_nothing() {
    let it = Fixture::new().await;
    it.source.set_valid_until(Some(wall(&it.clock) - SECOND));
    it.cache.refresh(it.x).await.unwrap();
    let calls = it.calls();
    for _ in 0..5 {
        it.clock.advance(SECOND);
        it.read().await.unwrap();
    }
    assert_eq!(it.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_validity_is_refreshed_at_and_not_chased() {
    let it =
        Fixture::built(|it| it.mode(lambda_cache::Mode::Elsewhere), |it| it.max_age(HOUR)).await;
    it.source.set_valid_until(Some(wall(&it.clock) + 10 * MINUTE));
    it.cache.refresh(it.x).await.unwrap();
    let calls = it.calls();
    tokio::time::sleep(15 * MINUTE).await;
    assert_eq!(it.calls(), calls + 1, "once, when it was over");
}
