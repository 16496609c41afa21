//! Freezes: of any length, in every place.

use lambda_cache::testing::Behaviour;

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
    let memo = it.memo.clone();
    let reader =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
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
    let memo = it.memo.clone();
    let frozen =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
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
    let memo = it.memo.clone();
    let first =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
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
