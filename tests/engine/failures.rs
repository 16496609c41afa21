//! What readers get while a source fails, and how often it is asked.

use std::error::Error as _;
use std::time::Duration;

use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{Builder, Clock, ErrorKind, from_fn};

use crate::fixture::{Fixture, MINUTE, SECOND, builder, pass, settle};

#[tokio::test(start_paused = true)]
async fn an_expired_entry_whose_refresh_fails_is_an_error_with_name_age_bound_and_cause() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    it.clock.advance(75 * SECOND);
    let error = it.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.entry(), Some("x"));
    assert_eq!(error.age(), Some(75 * SECOND));
    assert!(error.source().is_some());
    let text = error.to_string();
    for part in ["entry \"x\"", "test:Get x failed", "75.0s old", "max age 60s", "as the test said"]
    {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_refreshes_fail_a_value_is_served_stale_and_marked_and_its_age_grows() {
    let it = Fixture::with(|entry| entry.stale_if_error(2 * MINUTE)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    for age in [60, 100, 179] {
        it.clock.advance(SECOND * age - it.cache.peek(it.x).unwrap().age());
        let snapshot = it.cache.snapshot().await;
        assert_eq!(snapshot.get(it.x).unwrap(), "1");
        assert!(snapshot.is_stale(it.x).unwrap());
        assert_eq!(snapshot.age(it.x).unwrap(), SECOND * age);
        let value = it.cache.get(it.x).await.unwrap();
        assert!(value.is_stale());
        assert_eq!(value.age(), SECOND * age);
    }
    it.clock.advance(SECOND);
    assert!(it.read().await.is_err());
    assert!(it.cache.get(it.x).await.is_err());
    it.source.behave(Behaviour::Answer);
    it.clock.advance(MINUTE);
    assert!(!it.cache.get(it.x).await.unwrap().is_stale());
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_not_served_before_a_refresh_has_failed() {
    let it = Fixture::with(|entry| entry.stale_if_error(60 * MINUTE)).await;
    it.source.set("x", "2");
    it.clock.freeze(10 * MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_a_long_freeze_does_not_excuse_a_stale_value_after_it() {
    let it = Fixture::with(|entry| entry.stale_if_error(60 * MINUTE)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.advance(MINUTE);
    assert!(it.cache.get(it.x).await.unwrap().is_stale());
    it.source.behave(Behaviour::Answer);
    it.source.set("x", "2");
    it.clock.freeze(10 * MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn backing_off_holds_the_number_of_attempts_down() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.advance(MINUTE);
    for _ in 0..6_000 {
        assert!(it.read().await.is_err());
        assert!(it.cache.get(it.x).await.is_err());
        it.clock.advance(SECOND / 100);
    }
    // In a minute: 200 ms, 400 ms, ... 30 s, each times a random part of it.
    let attempts = it.calls() - 1;
    assert!((4..25).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn the_next_invocation_may_try_again_unless_the_service_throttles() {
    for (kind, attempts) in [(ErrorKind::Source, 20), (ErrorKind::Throttled, 8)] {
        let it = Fixture::new().await;
        it.source.behave(Behaviour::Fail(kind));
        it.clock.freeze(MINUTE);
        for _ in 0..20 {
            let invocation = it.invocations.next();
            invocation.handler_begins().await.unwrap();
            let invoked = tokio::spawn({
                let invocation = invocation.clone();
                async move { invocation.invoke().await }
            });
            settle().await;
            invocation.handler_ends().await.unwrap();
            invoked.await.unwrap().unwrap();
            it.clock.freeze(SECOND);
        }
        let calls = it.calls() - 1;
        match kind {
            ErrorKind::Throttled => assert!(calls <= attempts, "{calls} attempts"),
            _ => assert_eq!(calls, attempts),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_entry_that_fails_takes_no_other_down_and_delays_them_once_for_a_moment() {
    let (good, bad, clock) = (TestSource::new(), TestSource::new(), TestClock::new());
    good.set("good", "1");
    bad.set("bad", "1");
    let mut builder = builder(&clock);
    let (g, b) = (builder.add(good.entry("good")), builder.add(bad.entry("bad")));
    let cache = builder.spawn().await.unwrap();
    bad.behave(Behaviour::Fail(ErrorKind::Source));
    clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(g).unwrap(), "1");
    assert_eq!(snapshot.get(b).unwrap_err().entry(), Some("bad"));
    // Its retry hangs: it is waited for once, and not for long.
    bad.behave(Behaviour::Hang);
    clock.advance(SECOND);
    for wait in [SECOND / 20, Duration::ZERO, Duration::ZERO] {
        let before = clock.now().monotonic();
        let snapshot = cache.snapshot().await;
        assert_eq!(clock.now().monotonic() - before, wait);
        assert_eq!(snapshot.get(g).unwrap(), "1");
        assert!(snapshot.get(b).is_err());
    }
    assert_eq!(bad.calls().len(), 3, "init, the failure, one retry");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_longer_than_max_age_to_fail_makes_later_snapshots_wait_for_a_moment()
{
    let it = Fixture::with(|entry| entry.max_age(SECOND)).await;
    it.source.behave(Behaviour::Hang);
    it.clock.advance(MINUTE);
    assert_eq!(it.read().await.unwrap_err().kind(), ErrorKind::Timeout);
    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        let before = it.clock.now().monotonic();
        assert!(it.read().await.is_err());
        waited += it.clock.now().monotonic() - before;
        it.clock.advance(SECOND);
    }
    assert_eq!(waited, SECOND / 20, "once, for the attempt that hangs");
}

#[tokio::test(start_paused = true)]
async fn while_a_source_is_away_a_busy_function_tries_once_a_second_at_most() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(MINUTE);
    for _ in 0..100 {
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        invocation.invoke().await.unwrap();
        settle().await;
        invocation.handler_ends().await.unwrap();
        it.clock.freeze(SECOND / 20);
    }
    let attempts = it.calls() - 1;
    assert!((4..=15).contains(&attempts), "{attempts} attempts in 5 s");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_ends_at_the_operation_timeout() {
    let it = Fixture::built(|builder| builder.operation_timeout(2 * SECOND), |entry| entry).await;
    it.source.behave(Behaviour::Hang);
    it.clock.advance(MINUTE);
    let error = tokio::time::timeout(3 * SECOND, it.read()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_begins_while_one_side_of_an_invocation_is_unheard_ends_before_its_deadline() {
    for (earlier_handlers_told, handler_told) in [(false, false), (true, false), (true, true)] {
        let it = Fixture::with(|entry| entry.lazy()).await;
        if earlier_handlers_told {
            pass(it.invocations.next()).await;
        }
        let begun = it.clock.now().monotonic();
        let invocation = it.invocations.next().deadline(it.clock.now().wall() + 2 * SECOND);
        match handler_told {
            true => {
                invocation.handler_begins().await.unwrap();
                invocation.handler_ends().await.unwrap();
            }
            false => invocation.invoke().await.unwrap(),
        }
        it.source.behave(Behaviour::Hang);
        let error = it.cache.get(it.x).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(
            it.clock.now().monotonic() - begun < 2 * SECOND,
            "{handler_told}: {:?}",
            it.clock.now().monotonic() - begun
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_leaves_the_handler_time_to_answer_before_the_deadline() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(MINUTE);
    it.invocations.next().handler_begins().await.unwrap();
    let before = lambda_cache::Clock::now(&it.clock).monotonic();
    assert_eq!(it.read().await.unwrap_err().kind(), ErrorKind::Timeout);
    let waited = lambda_cache::Clock::now(&it.clock).monotonic() - before;
    assert!(waited < 3 * SECOND, "the deadline is in 3 s, and it waited {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_age_of_zero_tries_at_every_read_while_its_source_fails() {
    let it = Fixture::with(|entry| entry.max_age(std::time::Duration::ZERO)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    for _ in 0..3 {
        assert!(it.cache.get(it.x).await.is_err());
        assert!(it.read().await.is_err());
    }
    it.source.behave(Behaviour::Answer);
    it.source.set("x", "2");
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(it.calls(), 1 + 7);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_that_fails_is_an_error_and_the_value_and_its_age_stay() {
    let it = Fixture::with(|entry| entry.stale_if_error(MINUTE)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.advance(SECOND);
    assert!(it.cache.refresh(it.x).await.is_err());
    let value = it.cache.get(it.x).await.unwrap();
    assert_eq!((value.age(), value.is_stale()), (SECOND, false));
}

#[tokio::test(start_paused = true)]
async fn init_fails_with_one_error_that_lists_every_failure() {
    let source = TestSource::new();
    source.set("a", "1");
    let mut builder = builder(&TestClock::new());
    for name in ["a", "b", "c"] {
        builder.add(source.entry(name));
    }
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Init);
    let names: Vec<_> = error.others().iter().filter_map(|it| it.entry()).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(error.others()[0].kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("2 of 3"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn init_has_a_deadline_and_leaves_nothing_in_flight() {
    let source = TestSource::new();
    source.behave(Behaviour::Hang);
    let mut builder = builder(&TestClock::new());
    builder.add(source.entry("a"));
    let spawn = builder.init_deadline(SECOND).operation_timeout(MINUTE).spawn();
    let error = tokio::time::timeout(2 * SECOND, spawn).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Init);
    assert_eq!(error.others()[0].kind(), ErrorKind::Timeout);
    settle().await;
    assert_eq!(source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lazy_entry_neither_delays_nor_fails_init_and_is_kept_fresh_once_read() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    let mut builder = builder(&clock);
    let x = builder.add(source.entry("x").lazy());
    let cache = builder.spawn().await.unwrap();
    assert!(source.calls().is_empty());
    let unread = cache.snapshot().await;
    assert_eq!(unread.get(x).unwrap_err().kind(), ErrorKind::NotLoaded);
    assert_eq!(cache.get(x).await.unwrap_err().kind(), ErrorKind::NotFound);
    source.set("x", "1");
    clock.advance(MINUTE);
    assert_eq!(*cache.get(x).await.unwrap(), "1");
    source.set("x", "2");
    clock.advance(MINUTE);
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn entries_in_the_background_are_begun_at_init_which_neither_waits_for_them_nor_fails() {
    for needed in [false, true] {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.behave(Behaviour::Late(SECOND));
        source.set("x", "1");
        let mut builder = builder(&clock);
        let x = builder.add(source.entry("x").in_background());
        let missing = builder.add(source.entry("missing").in_background());
        if needed {
            source.set("needed", "1");
            builder.add(source.entry("needed"));
        }
        let before = clock.now().monotonic();
        let cache = builder.spawn().await.unwrap();
        let waited = clock.now().monotonic() - before;
        assert_eq!(waited, if needed { SECOND } else { Duration::ZERO });
        settle().await;
        assert_eq!(source.calls().len(), 1, "all in one batch");
        assert_eq!(*cache.get(x).await.unwrap(), "1");
        assert_eq!(cache.get(missing).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(source.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_function_returns_is_an_entry_and_its_error_is_the_entrys_cause() {
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let function = {
        let fails = std::sync::Arc::clone(&fails);
        move || {
            let fails = fails.load(std::sync::atomic::Ordering::SeqCst);
            async move { if fails { Err(std::io::Error::other("no rates today")) } else { Ok(7) } }
        }
    };
    let clock = TestClock::new();
    let mut builder: Builder = builder(&clock);
    let rates = builder.add(from_fn("rates", function));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.snapshot().await.get(rates).unwrap(), 7);
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    clock.advance(MINUTE);
    let error = cache.get(rates).await.unwrap_err();
    assert!(error.source().unwrap().downcast_ref::<std::io::Error>().is_some());
    assert!(error.to_string().contains("no rates today"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_gets_an_error_has_another_attempt_made_once_the_back_off_is_over() {
    let it = Fixture::with(|entry| entry.max_age(SECOND)).await;
    // Without INVOKE there are no timers, so it is the read that causes the attempt.
    it.invocations.next().handler_begins().await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.advance(SECOND);
    assert!(it.read().await.is_err());
    it.source.behave(Behaviour::Answer);
    assert!(it.read().await.is_err(), "backing off");
    settle().await;
    assert_eq!(it.calls(), 2);
    it.clock.advance(SECOND);
    assert!(it.read().await.is_err(), "an attempt of this invocation has failed");
    settle().await;
    assert_eq!(it.calls(), 3);
    assert_eq!(it.read().await.unwrap(), "1");
}
