//! After a freeze nothing older than its bound is served, whoever comes first.

use lambda_cache::Clock;
use lambda_cache::testing::{Behaviour, TestInvocation};

use crate::fixture::{Fixture, HOUR, MINUTE, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn a_read_alone_is_fresh_after_a_freeze_longer_than_max_age() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.freeze(10 * MINUTE);
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_freeze_expires_nothing() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.freeze(40 * SECOND);
    assert_eq!(it.read().await.unwrap(), "1");
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_expires_at_exactly_its_max_age_of_running_and_frozen_time_together() {
    let it = Fixture::with(|entry| entry.refresh_after(MINUTE)).await;
    it.source.set("x", "2");
    it.clock.advance(20 * SECOND);
    it.clock.freeze(40 * SECOND - std::time::Duration::from_nanos(1));
    assert_eq!(it.read().await.unwrap(), "1");
    it.clock.freeze(std::time::Duration::from_nanos(1));
    assert_eq!(it.read().await.unwrap(), "2");
}

/// After a thaw, the handler and the extension's INVOKE interleave in every order: each takes its
/// three steps after so many turns of the scheduler.
#[tokio::test(start_paused = true)]
async fn the_first_read_after_a_thaw_is_fresh_in_every_interleaving_with_invoke() {
    for (handler, extension) in (0..12).flat_map(|a| (0..12).map(move |b| (a, b))) {
        for late in [false, true] {
            let it = Fixture::new().await;
            if late {
                it.source.behave(Behaviour::Late(SECOND / 10));
            }
            it.source.set("x", "2");
            it.clock.freeze(10 * MINUTE);
            let invocation = it.invocations.next();
            let invoked = tokio::spawn(after(extension, invocation.clone()));
            turns(handler).await;
            invocation.handler_begins().await.unwrap();
            let snapshot = it.cache.snapshot().await;
            let order = format!("handler after {handler}, extension after {extension} turns");
            assert_eq!(snapshot.get(it.x).unwrap(), "2", "{order}");
            assert!(snapshot.age(it.x).unwrap() < MINUTE, "{order}");
            invocation.handler_ends().await.unwrap();
            invoked.await.unwrap();
            assert_eq!(it.source.in_flight(), 0, "{order}");
            assert_eq!(it.calls(), 2, "{order}: one fetch serves both");
        }
    }
}

async fn after(turns_before: usize, invocation: TestInvocation) {
    turns(turns_before).await;
    invocation.invoke().await.unwrap();
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_joins_a_fetch_frozen_in_flight_gets_a_fresh_value_instead() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    it.clock.advance(MINUTE);
    // Somebody starts a fetch and gives up; then the environment freezes with it in flight.
    tokio::select! {
        biased;
        _ = it.cache.get(it.x) => unreachable!("the answer is held"),
        () = settle() => {}
    }
    assert_eq!(it.source.in_flight(), 1);
    it.clock.freeze(HOUR);
    it.source.set("x", "2");
    let reader = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.get(x).await.map(|value| (value.age(), (*value).clone())) }
    });
    settle().await;
    it.source.release();
    let (age, value) = reader.await.unwrap().unwrap();
    assert_eq!(value, "2", "the answer of the frozen fetch is an hour old");
    assert!(age < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_frozen_with_its_own_fetch_asks_again() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    it.clock.advance(MINUTE);
    let reader = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.get(x).await.map(|value| (value.age(), (*value).clone())) }
    });
    settle().await;
    // Reader and fetch freeze together; the answer on its way was true an hour ago.
    it.clock.freeze(HOUR);
    it.source.set("x", "2");
    it.source.behave(Behaviour::Answer);
    it.source.release();
    let (age, value) = reader.await.unwrap().unwrap();
    assert_eq!(value, "2");
    assert!(age < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_age_counts_from_when_the_fetch_began_whether_or_not_it_brought_a_change() {
    for changes in [true, false] {
        let it = Fixture::with(|entry| entry.max_age(5 * SECOND).refresh_after(5 * SECOND)).await;
        it.source.behave(Behaviour::Late(3 * SECOND));
        it.clock.advance(5 * SECOND);
        if changes {
            it.source.set("x", "2");
        }
        let before = it.clock.now().monotonic();
        let value = it.cache.get(it.x).await.unwrap();
        assert_eq!(it.clock.now().monotonic() - before, 3 * SECOND);
        assert_eq!(value.age(), 3 * SECOND);
        it.source.behave(Behaviour::Answer);
        tokio::time::advance(2 * SECOND - SECOND / 1000).await;
        it.cache.get(it.x).await.unwrap();
        assert_eq!(it.calls(), 2, "not expired yet");
        tokio::time::advance(SECOND / 1000).await;
        it.cache.get(it.x).await.unwrap();
        assert_eq!(it.calls(), 3, "5 s after the fetch began it is expired, 2 s after it ended");
    }
}
