//! Answers that say until when they are valid: the hard bound never reaches past that.

use std::time::{Duration, SystemTime};

use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{Builder, Clock, Mode};

use crate::fixture::{Fixture, HOUR, MINUTE, SECOND, builder, settle};

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
    let it = Fixture::with(|entry| entry.never_expires()).await;
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

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_through_a_freeze_gets_nothing_past_its_validity() {
    let (short, held, clock) = (TestSource::new(), TestSource::new(), TestClock::new());
    short.set("short", "1");
    held.set("held", "1");
    let mut builder = builder(&clock);
    let key = builder.add(short.entry("short").max_age(HOUR));
    builder.add(held.entry("held").max_age(HOUR));
    let cache = builder.spawn().await.unwrap();
    short.set_valid_until(Some(wall(&clock) + 2 * HOUR + 10 * SECOND));
    held.behave(Behaviour::Hold);
    clock.freeze(2 * HOUR);
    let snapshot = tokio::spawn({
        let cache = cache.clone();
        async move { cache.snapshot().await }
    });
    settle().await;
    assert_eq!((short.in_flight(), held.in_flight()), (0, 1), "it waits for the other");
    short.set("short", "2");
    short.set_valid_until(None);
    clock.freeze(3000 * SECOND);
    held.release();
    assert_eq!(snapshot.await.unwrap().get(key).unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_validity_of_next_to_nothing_is_no_hot_loop() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("x", "1");
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::Elsewhere).seed(1);
    builder.add(source.entry("x"));
    source.set_valid_until(Some(wall(&clock) + Duration::from_millis(1)));
    let _cache = builder.spawn().await.unwrap();
    for _ in 0..1000 {
        source.set_valid_until(Some(wall(&clock) + Duration::from_millis(1)));
        tokio::time::sleep(SECOND / 100).await;
    }
    let calls = source.calls().len();
    assert!((50..=101).contains(&calls), "{calls} calls in 10 s");
}
