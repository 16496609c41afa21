//! Where nothing freezes, timers keep entries fresh.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{Builder, Clock, ErrorKind, Mode};

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

async fn outside_lambda() -> Fixture {
    Fixture::built(|builder| builder.mode(Mode::Elsewhere), |entry| entry).await
}

#[tokio::test(start_paused = true)]
async fn timers_refresh_ahead_so_that_no_read_waits() {
    let it = outside_lambda().await;
    it.source.behave(Behaviour::Late(SECOND / 20));
    for _ in 0..600 {
        tokio::time::sleep(SECOND).await;
        let before = it.clock.now().monotonic();
        let snapshot = it.cache.snapshot().await;
        assert!(snapshot.age(it.x).unwrap() < MINUTE);
        assert_eq!(it.clock.now().monotonic(), before, "it waited");
    }
    // Every 40.5 to 45 seconds.
    assert!((600 / 46..=600 / 40 + 1).contains(&(it.calls() - 1)), "{}", it.calls());
}

#[tokio::test(start_paused = true)]
async fn environments_that_started_together_do_not_refresh_together() {
    let mut first_refreshes = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let it = Fixture::built(|it| it.mode(Mode::Elsewhere).seed(seed), |entry| entry).await;
        let before = it.clock.now().monotonic();
        while it.calls() < 2 {
            tokio::time::sleep(SECOND / 10).await;
        }
        first_refreshes.insert((it.clock.now().monotonic() - before).as_millis() / 100);
    }
    assert!(first_refreshes.len() > 10, "{first_refreshes:?}");
    assert!(
        first_refreshes.iter().all(|tenths| (405..=451).contains(tenths)),
        "{first_refreshes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn timers_retry_what_fails_with_growing_pauses_and_find_it_when_it_is_back() {
    let it = outside_lambda().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    tokio::time::sleep(10 * MINUTE).await;
    let attempts = it.calls() - 1;
    assert!((15..80).contains(&attempts), "{attempts} attempts in 555 s of failing");
    it.source.behave(Behaviour::Answer);
    tokio::time::sleep(31 * SECOND).await;
    assert_eq!(it.read().await.unwrap(), "1");
    assert!(it.calls() - 1 > attempts);
}

#[tokio::test(start_paused = true)]
async fn an_age_of_zero_and_a_value_for_ever_are_never_on_the_schedule() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    for name in ["zero", "once", "lazy"] {
        source.set(name, "1");
    }
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::Elsewhere);
    builder.add(source.entry("zero").max_age(Duration::ZERO));
    builder.add(source.entry("once").never_expires());
    builder.add(source.entry("lazy").lazy());
    let _cache = builder.spawn().await.unwrap();
    let calls = source.calls().len();
    tokio::time::sleep(100 * MINUTE).await;
    assert_eq!(source.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn an_age_of_zero_is_not_retried_or_fetched_again_by_a_timer_either() {
    let it = Fixture::built(|it| it.mode(Mode::Elsewhere), |it| it.max_age(Duration::ZERO)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    assert!(it.cache.get(it.x).await.is_err());
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(it.calls(), 2);
    it.cache.invalidate(it.x).await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_max_age_of_centuries_is_no_trouble_for_a_timer() {
    for age in [MINUTE * 60 * 24 * 365 * 500, Duration::MAX] {
        let it = Fixture::built(|it| it.mode(Mode::Elsewhere), |entry| entry.max_age(age)).await;
        tokio::time::sleep(1000 * MINUTE).await;
        assert_eq!(it.calls(), 1);
        assert_eq!(it.read().await.unwrap(), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn outside_an_invocation_of_an_environment_that_freezes_no_timer_runs() {
    let it = Fixture::new().await;
    tokio::time::sleep(10 * MINUTE).await;
    settle().await;
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_entry_is_fetched_again_without_waiting_for_a_read() {
    let it = outside_lambda().await;
    it.source.set("x", "2");
    it.cache.invalidate(it.x).await.unwrap();
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(*it.cache.peek(it.x).unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn with_nobody_reading_refreshes_of_one_entry_keep_a_distance() {
    for (delay, most) in [(Duration::from_millis(1), 101), (SECOND / 2, 11)] {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        source.behave(Behaviour::Late(delay));
        let mut builder = Builder::new().clock(clock).mode(Mode::Elsewhere).seed(1);
        let x = builder.add(source.entry("x").max_age(Duration::from_millis(1)));
        let cache = builder.spawn().await.unwrap();
        tokio::time::sleep(10 * SECOND).await;
        let calls = source.calls().len();
        assert!(calls <= most, "{calls} calls in 10 s, each of which takes {delay:?}");
        // Whoever reads gets what is fresh all the same.
        source.set("x", "2");
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(*cache.refresh(x).await.unwrap(), "2");
    }
}
