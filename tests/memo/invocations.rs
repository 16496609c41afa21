//! At the edges of an invocation: nothing is in flight when the environment freezes, and what was
//! cancelled is fetched again.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use lambda_cache::testing::Behaviour;
use lambda_cache::{Clock, Mode};

use crate::fixture::{Fixture, MINUTE, SECOND, invoke, settle};

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
    let reader = it.reads("x");
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
    let reader = it.reads("x");
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
async fn keys_that_are_cancelled_together_pause_no_longer_than_one() {
    let it = Fixture::new().await;
    for key in ["a", "b", "c", "d", "e", "f"] {
        it.source.set(key, "1");
        it.get(key).await.unwrap();
    }
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(46 * SECOND);
    for calls in [12, 18] {
        let invocation = it.invocations.next();
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        for key in ["a", "b", "c", "d", "e", "f"] {
            it.get(key).await.unwrap();
        }
        settle().await;
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert_eq!((it.calls(), it.source.in_flight()), (calls, 0));
        it.clock.freeze(SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_in_time_does_not_end_the_pause_of_one_that_does_not() {
    let it = Fixture::new().await;
    it.source.set("slow", "1");
    it.get("slow").await.unwrap();
    it.clock.freeze(46 * SECOND);
    let mut attempts = Vec::new();
    for n in 0..6 {
        let invocation = it.invocations.next();
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        it.source.behave(Behaviour::Answer);
        let quick = format!("quick {n}");
        it.source.set(quick.clone(), "1");
        it.get(&quick).await.unwrap();
        it.source.behave(Behaviour::Hang);
        let calls = it.calls();
        it.get("slow").await.unwrap();
        settle().await;
        attempts.push(it.calls() - calls);
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        it.clock.freeze(SECOND);
    }
    assert_eq!(attempts, [1, 1, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn without_an_extension_nothing_is_begun_when_the_handler_has_ended() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.clock.freeze(46 * SECOND);
    it.source.behave(Behaviour::Hang);
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    let before = it.clock.now().monotonic();
    // The refresher hears of these and of the handler's end at once.
    it.get("x").await.unwrap();
    let mut waiting = pin!(it.get("y"));
    assert!(poll!(&mut waiting).is_pending());
    invocation.handler_ends().await.unwrap();
    settle().await;
    assert_eq!(it.clock.now().monotonic(), before, "the response does not wait");
    assert_eq!((it.calls(), it.source.in_flight()), (1, 0));

    it.source.behave(Behaviour::Answer);
    it.source.set("y", "2");
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    assert_eq!(waiting.await.unwrap(), "2");
    settle().await;
    assert_eq!(it.calls(), 3, "the one that is due is fetched by the next invocation");
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_reads_that_does_not_tell_is_fetched_ahead_by_the_next_invocation() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND / 20));
    it.clock.freeze(46 * SECOND);
    invoke(&it.invocations.next()).await.unwrap();
    // Nothing holds the environment, and nobody knows when it freezes.
    assert_eq!(it.get("x").await.unwrap(), "1");
    settle().await;
    assert_eq!((it.calls(), it.source.in_flight()), (1, 0));
    it.clock.freeze(SECOND);
    invoke(&it.invocations.next()).await.unwrap();
    assert_eq!((it.calls(), it.source.in_flight()), (2, 0));
    it.clock.freeze(30 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn at_the_hold_limit_a_handler_that_does_not_tell_keeps_what_it_waits_for() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.set("y", "why");
    it.source.behave(Behaviour::Late(SECOND));
    it.clock.freeze(46 * SECOND);
    let before = it.clock.now().monotonic();
    let reader = it.reads("y");
    settle().await;
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    settle().await;
    assert_eq!(it.get("x").await.unwrap(), "1");
    settle().await;
    assert_eq!(it.source.in_flight(), 2, "one is waited for, one is ahead of need");
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(it.source.in_flight(), 1);
    assert_eq!(reader.await.unwrap().unwrap(), "why");
    invoked.await.unwrap();
    assert_eq!(it.clock.now().monotonic() - before, SECOND);
}

#[tokio::test(start_paused = true)]
async fn past_the_hold_limit_a_reader_that_gives_up_ends_the_hold() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    let reader = it.reads("x");
    settle().await;
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(it.source.in_flight(), 1);
    let before = it.clock.now().monotonic();
    reader.abort();
    invoked.await.unwrap();
    assert_eq!((it.source.in_flight(), it.clock.now().monotonic()), (0, before));
}

#[tokio::test(start_paused = true)]
async fn what_was_due_and_has_expired_by_the_next_invocation_is_left_to_who_needs_it() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.clock.freeze(46 * SECOND);
    invoke(&it.invocations.next()).await.unwrap();
    it.get("x").await.unwrap();
    it.clock.freeze(MINUTE);
    invoke(&it.invocations.next()).await.unwrap();
    assert_eq!(it.calls(), 1);
    assert_eq!((it.get("x").await.unwrap(), it.calls()), ("1".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn with_a_hold_limit_of_zero_the_extension_goes_on_at_once() {
    let it = Fixture::built(|builder| builder.hold_limit(Duration::ZERO), |memo| memo).await;
    it.get("x").await.unwrap();
    it.clock.freeze(46 * SECOND);
    it.source.behave(Behaviour::Hang);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    it.get("x").await.unwrap();
    settle().await;
    assert_eq!(it.source.in_flight(), 1, "it has as long as the handler takes");
    let before = it.clock.now().monotonic();
    it.get("x").await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!((it.source.in_flight(), it.clock.now().monotonic()), (0, before));
}

#[tokio::test(start_paused = true)]
async fn the_extension_waits_for_a_handler_only_while_there_is_a_memo() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    settle().await;
    assert!(!invoked.is_finished());
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    drop(it.memo);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    settle().await;
    assert!(invoked.is_finished());
}

#[tokio::test(start_paused = true)]
async fn before_a_snapshot_everything_is_dropped_and_after_the_restore_it_works_again() {
    let it = Fixture::built(|builder| builder.mode(Mode::SnapStart), |memo| memo).await;
    it.get("x").await.unwrap();
    it.invocations.before_snapshot().await.unwrap();
    assert!(it.memo.is_empty());
    let early = it.reads("x");
    settle().await;
    assert_eq!(it.calls(), 1, "nothing is fetched before the restore");
    it.invocations.after_restore().await.unwrap();
    assert_eq!(early.await.unwrap().unwrap(), "1");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_right_after_a_restore_is_held_like_any_other() {
    let it = Fixture::built(|builder| builder.mode(Mode::SnapStart), |memo| memo).await;
    it.invocations.before_snapshot().await.unwrap();
    it.invocations.after_restore().await.unwrap();
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    it.source.behave(Behaviour::Hang);
    let reader = it.reads("x");
    settle().await;
    assert_eq!(it.source.in_flight(), 1);
    reader.abort();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0, "in flight at a freeze");
}
