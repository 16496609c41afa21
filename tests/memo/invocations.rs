//! At the edges of an invocation: nothing is in flight when the environment freezes, and what was
//! cancelled is fetched again.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, TestInvocation};
use lambda_cache::{Clock, Mode};
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

fn invoke(invocation: &TestInvocation) -> JoinHandle<()> {
    let invocation = invocation.clone();
    tokio::spawn(async move { invocation.invoke().await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn a_short_handlers_key_is_fetched_ahead_while_the_environment_is_held() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND / 20));
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    settle().await;
    let before = it.clock.now().monotonic();
    assert_eq!(it.get("x").await.unwrap(), "1");
    invocation.handler_ends().await.unwrap();
    assert_eq!(it.clock.now().monotonic(), before, "neither read nor response waits");
    invoked.await.unwrap();
    assert_eq!(it.clock.now().monotonic() - before, SECOND / 20);
    assert_eq!(it.source.in_flight(), 0);
    it.clock.freeze(20 * SECOND);
    assert_eq!((it.get("x").await.unwrap(), it.calls()), ("2".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_hold_limit_is_cancelled_and_pauses() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(46 * SECOND);
    let mut attempts = Vec::new();
    for _ in 0..10 {
        let calls = it.calls();
        let invocation = it.invocations.next();
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.get("x").await.unwrap(), "1");
        settle().await;
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert_eq!(it.source.in_flight(), 0);
        attempts.push(it.calls() - calls);
        it.clock.freeze(SECOND);
    }
    assert_eq!(attempts, [1, 1, 0, 1, 0, 0, 0, 1, 0, 0], "after 1, 2, 4 seconds");
}

#[tokio::test(start_paused = true)]
async fn what_a_reader_waits_for_is_fetched_again_by_the_next_invocation() {
    let it = Fixture::new().await;
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    it.source.behave(Behaviour::Hang);
    let memo = it.memo.clone();
    let reader =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
    settle().await;
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0);
    it.clock.freeze(MINUTE);
    it.source.behave(Behaviour::Answer);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    assert_eq!(reader.await.unwrap().unwrap(), "1");
    invocation.handler_begins().await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_straddles_a_freeze_is_started_again() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    let memo = it.memo.clone();
    let reader =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
    settle().await;
    it.clock.freeze(SECOND);
    it.source.behave(Behaviour::Answer);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    assert_eq!(reader.await.unwrap().unwrap(), "1");
    invocation.handler_begins().await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!((it.calls(), it.source.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_in_flight_the_hold_after_the_handler_is_nothing() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    let before = it.clock.now().monotonic();
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    it.get("x").await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.clock.now().monotonic() - before, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_trace_id_that_is_ahead_of_the_clocks_makes_a_value_expire_once_per_max_age() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    for expected in [2, 2] {
        it.source.set("x", "2");
        let ahead = it.clock.now().wall() + 2 * MINUTE;
        let invocation = it.invocations.next().traced_at(ahead);
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.get("x").await.unwrap(), "2");
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert!(it.calls() >= expected);
    }
}

#[tokio::test(start_paused = true)]
async fn before_a_snapshot_everything_is_dropped_and_after_the_restore_it_works_again() {
    let it = Fixture::built(|builder| builder.mode(Mode::SnapStart), |memo| memo).await;
    it.get("x").await.unwrap();
    it.invocations.before_snapshot().await.unwrap();
    assert!(it.memo.is_empty());
    let memo = it.memo.clone();
    let early =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
    settle().await;
    assert_eq!(it.calls(), 1, "nothing is fetched before the restore");
    it.invocations.after_restore().await.unwrap();
    assert_eq!(early.await.unwrap().unwrap(), "1");
    assert_eq!(it.calls(), 2);
}
