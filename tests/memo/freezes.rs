//! Freezes: of any length, in every place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::testing::{Behaviour, TestClock};
use lambda_cache::{Builder, Memo, Mode};

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn after_a_freeze_of_any_length_a_read_gets_nothing_older_than_allowed() {
    for seconds in [1, 59, 60, 61, 600, 86_400] {
        let it = Fixture::with(|memo| memo.refresh_after(MINUTE)).await;
        it.get("x").await.unwrap();
        it.source.set("x", "2");
        it.clock.freeze(SECOND * seconds);
        let expected = if seconds < 60 { "1" } else { "2" };
        assert_eq!(it.get("x").await.unwrap(), expected, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_frozen_with_its_own_fetch_asks_again() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let reader = it.reads("x");
    settle().await;
    it.clock.freeze(2 * MINUTE);
    it.source.set("x", "2");
    it.source.behave(Behaviour::Answer);
    it.source.release();
    assert_eq!(reader.await.unwrap().unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_reader_does_not_join_a_fetch_that_was_frozen() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    let frozen = it.reads("x");
    settle().await;
    it.clock.freeze(2 * MINUTE);
    it.source.behave(Behaviour::Answer);
    assert_eq!(it.get("x").await.unwrap(), "1");
    assert_eq!(frozen.await.unwrap().unwrap(), "1");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_proves_nothing() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.set("x", "2");
    it.clock.step_back(SECOND);
    assert_eq!(it.get("x").await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn what_a_fetch_brought_too_late_is_not_served_to_a_later_reader() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let first = it.reads("x");
    settle().await;
    it.clock.freeze(50 * SECOND);
    it.source.behave(Behaviour::Answer);
    it.source.release();
    settle().await;
    it.source.set("x", "2");
    it.clock.freeze(10 * SECOND);
    assert_eq!(it.get("x").await.unwrap(), "2");
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_fetch_that_was_frozen_is_no_answer() {
    let (clock, calls) = (TestClock::new(), Arc::new(AtomicUsize::new(0)));
    let cache = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).spawn().await.unwrap();
    let counted = Arc::clone(&calls);
    let memo: Memo<u8, &str> = cache
        .memo("sockets", move |_| {
            let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                tokio::time::sleep(SECOND).await;
                if first { Err(std::io::Error::other("the socket is dead")) } else { Ok("fine") }
            }
        })
        .build()
        .unwrap();
    let reads = || {
        let memo = memo.clone();
        tokio::spawn(async move { memo.get(1).await.map(|value| *value) })
    };
    let first = reads();
    settle().await;
    let joined = reads();
    settle().await;
    clock.freeze(MINUTE);
    // The first read began before its fetch, so it has to take what that came to.
    first.await.unwrap().unwrap_err();
    assert_eq!(joined.await.unwrap().unwrap(), "fine");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
