//! How old what a read gets may be, and what it gets where that cannot be had.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, kill_refresher};
use lambda_cache::{Clock, ErrorKind, Mode};

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

const INSTANT: Duration = Duration::from_nanos(1);

/// cachetools' `@ttl_cache(maxsize=64, ttl=300)`.
#[tokio::test(start_paused = true)]
async fn a_result_is_kept_per_argument_for_its_max_age_and_errors_are_not_kept() {
    let it = Fixture::with(|memo| memo.max_entries(64).max_age(300 * SECOND)).await;
    it.source.set("y", "why");
    for _ in 0..3 {
        assert_eq!(it.get("x").await.unwrap(), "1");
        assert_eq!(it.get("y").await.unwrap(), "why");
    }
    assert_eq!((it.calls(), it.memo.len()), (2, 2));
    it.source.set("x", "2");
    it.clock.advance(200 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "1");
    it.clock.advance(100 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "2");
    let calls = it.calls();
    for _ in 0..3 {
        assert_eq!(it.get("nothing").await.unwrap_err(), ErrorKind::Source);
    }
    assert_eq!((it.calls(), it.memo.len()), (calls + 3, 2));
}

#[tokio::test(start_paused = true)]
async fn at_exactly_its_max_age_a_result_is_fetched_again() {
    let it = Fixture::with(|memo| memo.refresh_after(MINUTE)).await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    it.clock.freeze(MINUTE - INSTANT);
    assert_eq!(it.get("x").await.unwrap(), "1");
    it.clock.freeze(INSTANT);
    assert_eq!(it.get("x").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn the_age_counts_from_when_the_fetch_began() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(3 * SECOND));
    assert_eq!(it.memo.get("x".to_owned()).await.unwrap().age(), 3 * SECOND);
    it.source.behave(Behaviour::Answer);
    it.source.set("x", "2");
    it.clock.advance(57 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn with_an_age_of_zero_every_read_fetches_and_nothing_is_kept() {
    let it = Fixture::with(|memo| memo.max_age(Duration::ZERO)).await;
    for n in 0..3 {
        it.source.set("x", n.to_string());
        assert_eq!(it.get("x").await.unwrap(), n.to_string());
    }
    assert_eq!((it.calls(), it.memo.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_is_fresh_at_once_and_an_invalidated_key_is_gone() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    assert_eq!(*it.memo.refresh("x".to_owned()).await.unwrap(), "2");
    assert_eq!(it.get("x").await.unwrap(), "2");
    it.source.set("x", "3");
    assert!(!it.memo.is_empty());
    it.memo.invalidate("x".to_owned()).await.unwrap();
    assert!(it.memo.is_empty());
    assert_eq!(it.get("x").await.unwrap(), "3");
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    it.memo.refresh("x".to_owned()).await.unwrap_err();
    assert_eq!(it.get("x").await.unwrap(), "3", "it is fresh, and stays");
}

#[tokio::test(start_paused = true)]
async fn after_invalidate_a_fetch_under_way_is_discarded() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let reader = it.reads("x");
    settle().await;
    it.source.set("x", "2");
    it.source.behave(Behaviour::Answer);
    it.memo.invalidate("x".to_owned()).await.unwrap();
    assert_eq!(it.get("x").await.unwrap(), "2");
    it.source.release();
    assert_eq!(reader.await.unwrap().unwrap(), "2");
    assert_eq!(it.get("x").await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_fetches_fail_a_value_may_be_served_stale_and_its_age_is_true() {
    let it = Fixture::with(|memo| memo.stale_if_error(MINUTE)).await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Timeout));
    it.clock.freeze(90 * SECOND);
    let value = it.memo.get("x".to_owned()).await.unwrap();
    assert!(value.is_stale() && value.age() == 90 * SECOND && *value == "1");
    let calls = it.calls();
    assert!(it.memo.get("x".to_owned()).await.unwrap().is_stale());
    assert_eq!(it.calls(), calls, "it backs off");
    it.clock.freeze(30 * SECOND);
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Source);
    it.source.behave(Behaviour::Answer);
    assert_eq!(it.get("x").await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn in_each_invocation_of_an_outage_a_read_waits_for_one_attempt_before_it_gets_what_is_stale()
{
    let it = Fixture::with(|memo| memo.stale_if_error(60 * MINUTE)).await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Timeout));
    it.clock.freeze(2 * MINUTE);
    for attempts in 1..4 {
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        for _ in 0..3 {
            assert!(it.memo.get("x".to_owned()).await.unwrap().is_stale());
        }
        assert_eq!(it.calls(), 1 + attempts);
        invocation.handler_ends().await.unwrap();
    }
    it.source.behave(Behaviour::Answer);
    it.source.set("x", "2");
    it.invocations.next().handler_begins().await.unwrap();
    assert_eq!(it.get("x").await.unwrap(), "2", "the first invocation after it is well");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_every_read_fetches_may_still_be_served_while_fetches_fail() {
    let it = Fixture::with(|memo| memo.max_age(Duration::ZERO).stale_if_error(MINUTE)).await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Timeout));
    it.clock.freeze(MINUTE - INSTANT);
    assert!(it.memo.get("x".to_owned()).await.unwrap().is_stale());
    it.clock.freeze(INSTANT);
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Source);
}

#[tokio::test(start_paused = true)]
async fn an_error_names_memo_age_bound_and_cause_and_no_key() {
    let it = Fixture::new().await;
    it.source.set("somebody", "secret");
    it.get("somebody").await.unwrap();
    it.source.remove("somebody");
    it.clock.freeze(2 * MINUTE);
    let error = it.memo.get("somebody".to_owned()).await.unwrap_err();
    assert_eq!(error.entry(), Some("texts"));
    assert_eq!(error.age(), Some(2 * MINUTE));
    let text = error.to_string();
    assert!(text.contains("max age 60s") && text.contains("its function failed"), "{text}");
    assert!(!format!("{:?}", it.memo).contains("somebody"));
}

#[tokio::test(start_paused = true)]
async fn errors_are_kept_for_as_long_as_the_user_says() {
    let it = Fixture::with(|memo| memo.cache_errors_for(10 * SECOND)).await;
    it.get("nothing").await.unwrap_err();
    it.source.set("nothing", "something");
    it.clock.advance(10 * SECOND - INSTANT);
    it.get("nothing").await.unwrap_err();
    assert_eq!((it.calls(), it.memo.len()), (1, 1));
    it.clock.advance(INSTANT);
    assert_eq!(it.get("nothing").await.unwrap(), "something");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_failing_key_waits_no_longer_for_an_attempt_that_was_begun_ahead_of_need() {
    let it = Fixture::built(|builder| builder.mode(Mode::Elsewhere), |memo| memo).await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.advance(50 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "1");
    settle().await;
    it.source.behave(Behaviour::Hang);
    it.clock.advance(5 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "1");
    settle().await;
    assert_eq!((it.calls(), it.source.in_flight()), (3, 1));
    it.clock.advance(5 * SECOND);
    let begun = it.clock.now().monotonic();
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Source);
    assert!(
        it.clock.now().monotonic() - begun <= SECOND,
        "{:?}",
        it.clock.now().monotonic() - begun
    );
}

#[tokio::test(start_paused = true)]
async fn while_an_attempt_hangs_a_read_gets_what_is_stale_after_a_moment() {
    let it = Fixture::with(|memo| memo.stale_if_error(60 * MINUTE)).await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(2 * MINUTE);
    it.invocations.next().handler_begins().await.unwrap();
    assert!(it.memo.get("x".to_owned()).await.unwrap().is_stale());
    it.source.behave(Behaviour::Hang);
    it.invocations.next().handler_begins().await.unwrap();
    let begun = it.clock.now().monotonic();
    assert!(it.memo.get("x".to_owned()).await.unwrap().is_stale());
    assert!(
        it.clock.now().monotonic() - begun <= SECOND,
        "{:?}",
        it.clock.now().monotonic() - begun
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_its_keys_error_and_a_fetch_that_hangs_times_out() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Panic);
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Panic);
    it.source.behave(Behaviour::Hang);
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Timeout);
    assert_eq!(it.source.in_flight(), 0);
    it.source.behave(Behaviour::Answer);
    assert_eq!(it.get("x").await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn when_the_refresher_is_dead_fresh_values_are_read_on_and_then_errors_say_so() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Hang);
    let reader = it.reads("y");
    settle().await;
    kill_refresher(&it.cache);
    assert_eq!(reader.await.unwrap().unwrap_err(), ErrorKind::Stopped);
    assert_eq!(it.get("x").await.unwrap(), "1");
    it.clock.advance(MINUTE);
    let error = it.memo.get("x".to_owned()).await.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Stopped, Some("texts")));
    assert_eq!(error.age(), Some(MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_read_of_a_key_that_is_due_has_it_fetched_in_the_background() {
    let it = Fixture::built(|builder| builder.mode(Mode::Elsewhere), |memo| memo).await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND));
    it.clock.advance(50 * SECOND);
    for _ in 0..5 {
        assert_eq!(it.get("x").await.unwrap(), "1", "it does not wait");
    }
    tokio::time::sleep(SECOND).await;
    settle().await;
    assert_eq!((it.get("x").await.unwrap(), it.calls()), ("2".to_owned(), 2));
    let stats = it.memo.stats();
    assert_eq!((stats.hits, stats.misses, stats.refreshes, stats.failures), (6, 1, 2, 0));
    assert_eq!((stats.api_calls, stats.len), (2, 1));
    assert!((stats.hit_rate() - 6.0 / 7.0).abs() < 1e-9);
}
