//! Concurrent readers of one key share one fetch; of different keys they do not wait for each other.

use std::time::Duration;

use lambda_cache::testing::Behaviour;
use lambda_cache::{Clock, ErrorKind};

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_one_key_share_one_fetch() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    for round in 1..=2 {
        let readers: Vec<_> = (0..1000)
            .map(|_| {
                let memo = it.memo.clone();
                tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap().unwrap(), "1");
        }
        assert_eq!(it.calls(), round);
        it.clock.advance(MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_a_failure_too() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let memo = it.memo.clone();
            tokio::spawn(async move { memo.get("x".to_owned()).await.map(|_| ()) })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap().unwrap_err();
    }
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn different_keys_are_fetched_side_by_side() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    let before = it.clock.now().monotonic();
    let readers: Vec<_> = (0..50)
        .map(|n| {
            it.source.set(n.to_string(), n.to_string());
            let memo = it.memo.clone();
            tokio::spawn(async move { memo.get(n.to_string()).await.map(|it| it.to_string()) })
        })
        .collect();
    for (n, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.await.unwrap().unwrap(), n.to_string());
    }
    assert_eq!(it.clock.now().monotonic() - before, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_gives_up_leaves_the_others_and_nothing_behind() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let waits = |it: &Fixture| {
        let memo = it.memo.clone();
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) })
    };
    let (impatient, patient) = (waits(&it), waits(&it));
    settle().await;
    impatient.abort();
    settle().await;
    it.source.release();
    assert_eq!(patient.await.unwrap().unwrap(), "1");

    it.clock.advance(MINUTE);
    let alone = waits(&it);
    settle().await;
    alone.abort();
    settle().await;
    it.source.behave(Behaviour::Answer);
    it.source.release();
    settle().await;
    assert_eq!((it.get("x").await.unwrap(), it.source.in_flight()), ("1".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_does_not_take_what_was_asked_for_before_it() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    let memo = it.memo.clone();
    let first =
        tokio::spawn(async move { memo.get("x".to_owned()).await.map(|it| it.to_string()) });
    settle().await;
    it.source.set("x", "2");
    assert_eq!(*it.memo.refresh("x".to_owned()).await.unwrap(), "2");
    assert_eq!(first.await.unwrap().unwrap(), "1");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_memo_that_is_dropped_takes_its_fetches_readers_with_it() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(Duration::from_millis(100)));
    let Fixture { memo, source, .. } = it;
    let waiting = memo.get("x".to_owned());
    tokio::time::timeout(Duration::from_millis(10), waiting).await.unwrap_err();
    drop(memo);
    tokio::time::sleep(SECOND).await;
    assert_eq!(source.in_flight(), 0);
}
