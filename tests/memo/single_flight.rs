//! Concurrent readers of one key share one fetch; of different keys they do not wait for each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lambda_cache::testing::Behaviour;
use lambda_cache::{Builder, Clock, Error, ErrorKind, Memo, Mode};
use tokio::sync::oneshot;

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
async fn those_who_come_while_a_call_is_under_way_share_its_failure() {
    let (cache, calls) = (Builder::new().spawn().await.unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let memo: Memo<u8, ()> = cache
        .memo("failing", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(SECOND).await;
                Err(std::io::Error::other("away"))
            }
        })
        .build()
        .unwrap();
    let reads = || {
        let memo = memo.clone();
        tokio::spawn(async move { memo.get(1).await.map(|_| ()) })
    };
    let mut readers = vec![reads()];
    for _ in 0..9 {
        tokio::time::sleep(SECOND / 10).await;
        readers.push(reads());
    }
    for reader in readers {
        reader.await.unwrap().unwrap_err();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    memo.get(1).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 2, "it is not kept");

    let first = reads();
    settle().await;
    memo.refresh(1).await.unwrap_err();
    first.await.unwrap().unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 4, "a forced refresh asks for itself");
}

#[tokio::test(start_paused = true)]
async fn different_keys_are_fetched_side_by_side_however_many() {
    for keys in [50, 10_000] {
        let it = Fixture::with(|memo| memo.max_entries(20_000)).await;
        it.source.behave(Behaviour::Late(SECOND));
        let before = it.clock.now().monotonic();
        let readers: Vec<_> = (0..keys)
            .map(|n| {
                it.source.set(n.to_string(), n.to_string());
                it.reads(&n.to_string())
            })
            .collect();
        for (n, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.await.unwrap().unwrap(), n.to_string());
        }
        assert_eq!((it.clock.now().monotonic() - before, it.calls()), (SECOND, keys));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_gives_up_leaves_the_others_and_nothing_behind() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let (impatient, patient) = (it.reads("x"), it.reads("x"));
    settle().await;
    impatient.abort();
    settle().await;
    it.source.release();
    assert_eq!(patient.await.unwrap().unwrap(), "1");

    it.clock.advance(MINUTE);
    let alone = it.reads("x");
    settle().await;
    alone.abort();
    settle().await;
    it.source.behave(Behaviour::Answer);
    it.source.release();
    settle().await;
    assert_eq!((it.get("x").await.unwrap(), it.source.in_flight()), ("1".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_nobody_waits_for_any_more_is_not_begun_and_does_no_harm() {
    let it = Fixture::built(|builder| builder.mode(Mode::SnapStart), |memo| memo).await;
    it.get("x").await.unwrap();
    it.invocations.before_snapshot().await.unwrap();
    // Nothing is begun before the restore, so these readers go while theirs are still to be.
    let gone = it.reads("x");
    settle().await;
    gone.abort();
    settle().await;
    let stays = it.reads("x");
    let gone = it.reads("y");
    settle().await;
    gone.abort();
    settle().await;
    it.invocations.after_restore().await.unwrap();
    assert_eq!(stays.await.unwrap().unwrap(), "1");
    settle().await;
    assert_eq!(it.source.calls(), [["x"], ["x"]]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_does_not_take_what_was_asked_for_before_it() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    let first = it.reads("x");
    settle().await;
    it.source.set("x", "2");
    assert_eq!(*it.memo.refresh("x".to_owned()).await.unwrap(), "2");
    assert_eq!(first.await.unwrap().unwrap(), "1");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_memo_that_is_dropped_leaves_neither_values_nor_fetches() {
    let (it, token) = (Fixture::new().await, Arc::new(()));
    let value = Arc::clone(&token);
    let memo: Memo<u8, Arc<()>> = it
        .cache
        .memo("tokens", move |key: u8| {
            let value = Arc::clone(&value);
            async move {
                match key {
                    0 => Ok(value),
                    _ => std::future::pending::<Result<_, Error>>().await,
                }
            }
        })
        .build()
        .unwrap();
    memo.get(0).await.unwrap();
    let waiting = memo.get(1);
    tokio::time::timeout(SECOND, waiting).await.unwrap_err();
    drop(memo);
    // The operation timeout ends what was under way.
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(Arc::strong_count(&token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_a_memo_that_is_gone_is_ended() {
    let cache = Builder::new().mode(Mode::OnDemand).spawn().await.unwrap();
    let (fetching, ended) = oneshot::channel::<()>();
    let fetching = Mutex::new(Some(fetching));
    let never = move |_: u8| {
        let fetching = fetching.lock().unwrap().take();
        async move {
            std::future::pending::<()>().await;
            drop(fetching);
            Ok::<_, std::io::Error>(())
        }
    };
    let memo: Memo<u8, ()> = cache.memo("never", never).build().unwrap();
    let reader = tokio::spawn(async move { memo.get(1).await.map(|_| ()) });
    settle().await;
    reader.abort();
    assert!(tokio::time::timeout(SECOND, ended).await.expect("its end").is_err());
}

#[tokio::test(start_paused = true)]
async fn readers_share_a_fetch_that_takes_longer_than_those_of_entries_may() {
    let it = Fixture::built(
        |builder| builder.operation_timeout(SECOND),
        |memo| memo.timeout(30 * SECOND),
    )
    .await;
    it.source.behave(Behaviour::Late(20 * SECOND));
    let mut readers = Vec::new();
    for _ in 0..19 {
        readers.push(it.reads("x"));
        tokio::time::sleep(SECOND).await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), "1");
    }
    assert_eq!(it.calls(), 1);
}
