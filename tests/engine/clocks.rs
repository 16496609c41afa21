//! What no single clock can tell: steps, lags, and time that only a trace id knows of.

use lambda_cache::testing::Behaviour;
use lambda_cache::{Clock, ErrorKind};

use crate::fixture::{Fixture, HOUR, MINUTE, SECOND};

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_an_hour_makes_every_age_unprovable_and_so_expired() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.step_back(HOUR);
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(it.calls(), 2, "the new value's age can be told again");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_a_little_behind_is_believed_and_does_not_stretch_the_age() {
    let it = Fixture::new().await;
    it.clock.advance(SECOND);
    it.clock.step_back(SECOND / 50);
    it.source.set("x", "2");
    assert_eq!(it.read().await.unwrap(), "1", "slewing explains it");
    it.clock.advance(59 * SECOND);
    assert_eq!(it.read().await.unwrap(), "2", "a minute old by the monotonic clock");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_before_the_requests_start_proves_nothing() {
    let it = Fixture::new().await;
    it.clock.step_back(SECOND / 50);
    it.source.set("x", "2");
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_does_not_hide_time_the_monotonic_clock_saw() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.advance(2 * MINUTE);
    it.clock.step_back(MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_fell_behind_the_monotonic_one_may_hide_a_freeze_and_is_not_believed() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.advance(30 * SECOND);
    it.clock.freeze(40 * SECOND);
    it.clock.step_back(65 * SECOND);
    // 70 s old, and neither clock says so: 30 s by the one, 5 s by the other.
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_five_minutes_behind_after_a_thaw_serves_nothing_old() {
    // The monotonic clock runs on over the freeze, as it does on some platforms.
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.advance(10 * MINUTE);
    it.clock.step_back(5 * MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
    // It is set right a moment later.
    it.clock.advance(SECOND);
    it.clock.step_forward(5 * MINUTE);
    it.source.set("x", "3");
    assert_eq!(it.read().await.unwrap(), "3", "its age by the wall clock is five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_freeze_that_neither_clock_saw_is_told_by_the_trace_id() {
    for handler_first in [true, false] {
        let it = Fixture::new().await;
        it.source.set("x", "2");
        it.clock.freeze(5 * MINUTE);
        it.clock.step_back(5 * MINUTE);
        let invocation = it.invocations.next();
        if !handler_first {
            let invocation = invocation.clone();
            tokio::spawn(async move { invocation.invoke().await });
        }
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.read().await.unwrap(), "2");
        assert_eq!(it.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_trace_id_a_freeze_that_neither_clock_saw_stays_unseen() {
    // The limit that docs/guarantee.md states, and why the trace id's time is worth having.
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.freeze(5 * MINUTE);
    it.clock.step_back(5 * MINUTE);
    it.invocations.next().untraced().handler_begins().await.unwrap();
    assert_eq!(it.read().await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn unseen_time_counts_even_if_it_does_not_expire_the_value_yet() {
    let it = Fixture::with(|entry| entry.refresh_after(MINUTE)).await;
    it.source.set("x", "2");
    it.clock.freeze(40 * SECOND);
    it.clock.step_back(40 * SECOND);
    it.invocations.next().handler_begins().await.unwrap();
    assert_eq!(it.read().await.unwrap(), "1", "40 s old");
    it.clock.advance(21 * SECOND);
    assert_eq!(it.read().await.unwrap(), "2", "61 s old");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_always_a_little_behind_does_not_use_up_the_trace_id() {
    let it = Fixture::with(|entry| entry.refresh_after(MINUTE)).await;
    it.clock.step_back(2 * SECOND);
    it.cache.refresh(it.x).await.unwrap();
    it.invocations.next().handler_begins().await.unwrap();
    it.source.set("x", "2");
    it.clock.freeze(5 * MINUTE);
    it.clock.step_back(5 * MINUTE);
    it.invocations.next().handler_begins().await.unwrap();
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_reason_to_wait_goes_away_is_woken() {
    let it = Fixture::new().await;
    it.clock.step_back(HOUR);
    let mut read = Box::pin(it.cache.get(it.x));
    // It finds the age unprovable and asks; before the refresher looks, the clock is set right.
    assert!(futures_util::poll!(&mut read).is_pending());
    it.clock.step_forward(HOUR);
    let value = tokio::time::timeout(SECOND, read).await.expect("it is woken").unwrap();
    assert_eq!(*value, "1");
}

#[tokio::test(start_paused = true)]
async fn what_is_served_as_fresh_has_an_age_that_says_so() {
    let it = Fixture::with(|entry| entry.max_age(HOUR).refresh_after(HOUR)).await;
    it.clock.advance(SECOND);
    it.clock.step_back(SECOND / 5);
    assert_eq!(it.cache.get(it.x).await.unwrap().age(), SECOND);
    assert_eq!(it.cache.snapshot().await.age(it.x).unwrap(), SECOND);
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forged_trace_id_causes_one_refresh_per_entry_and_max_age_at_most() {
    let it = Fixture::with(|entry| entry.refresh_after(MINUTE)).await;
    for second in 0..59 {
        let forged = it.clock.true_now() + HOUR * (second + 1);
        let invocation = it.invocations.next().traced_at(forged);
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.read().await.unwrap(), "1");
        invocation.handler_ends().await.unwrap();
        it.clock.advance(SECOND);
    }
    assert_eq!(it.calls(), 2, "one at init, one for the first forgery");
}

#[tokio::test(start_paused = true)]
async fn a_trace_id_that_is_behind_the_wall_clock_changes_nothing() {
    let it = Fixture::new().await;
    let early = it.clock.now().wall() - HOUR;
    it.invocations.next().traced_at(early).handler_begins().await.unwrap();
    assert_eq!(it.read().await.unwrap(), "1");
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_trace_id_aged_is_not_served_if_its_refresh_fails() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(5 * MINUTE);
    it.clock.step_back(5 * MINUTE);
    it.invocations.next().handler_begins().await.unwrap();
    let error = it.read().await.unwrap_err();
    assert!(error.age().unwrap() >= 5 * MINUTE - SECOND, "{error}");
}
