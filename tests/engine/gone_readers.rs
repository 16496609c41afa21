//! Readers that give up while a handler that does not tell when it ends is held for them.

use std::time::Duration;

use lambda_cache::Clock;
use lambda_cache::testing::Behaviour;
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, MINUTE, SECOND, pass, settle};

/// Longer than the default.
const PAST_THE_HOLD: Duration = Duration::from_millis(400);
const HOLD: Duration = Duration::from_millis(250);

/// A reader of `x`, whose source hangs, in an invocation that is held: what it reads, and the hold.
async fn held(it: &Fixture) -> (JoinHandle<()>, JoinHandle<Duration>) {
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(MINUTE);
    let (invocation, clock) = (it.invocations.next(), it.clock.clone());
    let hold = tokio::spawn(async move {
        let before = clock.now().monotonic();
        invocation.invoke().await.unwrap();
        clock.now().monotonic() - before
    });
    settle().await;
    (reader(it), hold)
}

fn reader(it: &Fixture) -> JoinHandle<()> {
    let (cache, x) = (it.cache.clone(), it.x);
    tokio::spawn(async move { drop(cache.get(x).await) })
}

#[tokio::test(start_paused = true)]
async fn one_that_gives_up_before_the_hold_limit_is_not_held_for_past_it() {
    let it = Fixture::new().await;
    let (reader, hold) = held(&it).await;
    settle().await;
    reader.abort();
    assert_eq!(hold.await.unwrap(), HOLD);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_gives_up_past_the_hold_limit_ends_the_hold() {
    let it = Fixture::new().await;
    let (reader, hold) = held(&it).await;
    tokio::time::sleep(PAST_THE_HOLD).await;
    assert_eq!(it.source.in_flight(), 1);
    reader.abort();
    assert_eq!(hold.await.unwrap(), PAST_THE_HOLD);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn as_long_as_one_of_them_waits_the_hold_goes_on() {
    let it = Fixture::new().await;
    let (first, hold) = held(&it).await;
    let (cache, second) = (it.cache.clone(), reader(&it));
    let snapshot = tokio::spawn(async move { drop(cache.snapshot().await) });
    tokio::time::sleep(PAST_THE_HOLD).await;
    for gone in [first, second] {
        gone.abort();
        settle().await;
        assert_eq!(it.source.in_flight(), 1);
    }
    tokio::time::sleep(PAST_THE_HOLD).await;
    snapshot.abort();
    assert_eq!(hold.await.unwrap(), PAST_THE_HOLD * 2);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_was_cancelled_and_that_nobody_waits_for_is_not_made_up_for() {
    let it = Fixture::new().await;
    it.clock.advance(SECOND);
    it.source.behave(Behaviour::Hang);
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    let (cache, x) = (it.cache.clone(), it.x);
    let reader = tokio::spawn(async move { drop(cache.refresh(x).await) });
    settle().await;
    reader.abort();
    let (invoked, ended) = tokio::join!(invocation.invoke(), invocation.handler_ends());
    invoked.and(ended).unwrap();
    assert_eq!((it.calls(), it.source.in_flight()), (2, 0));
    it.source.behave(Behaviour::Answer);
    // The value is fresh for long, and the pause after the cancellation is over.
    for _ in 0..3 {
        it.clock.freeze(5 * SECOND);
        pass(it.invocations.next()).await;
        assert_eq!(it.calls(), 2);
    }
}
