//! Watching an entry.

use lambda_cache::testing::{Behaviour, kill_refresher};
use lambda_cache::{Builder, ErrorKind};

use crate::fixture::{Fixture, MINUTE, settle};

#[tokio::test(start_paused = true)]
async fn each_new_version_is_seen_once_and_a_revalidation_is_none() {
    let it = Fixture::new().await;
    let mut changes = it.cache.changed(it.x);
    let watcher = tokio::spawn(async move {
        let first = changes.next().await.unwrap();
        (first.clone(), changes)
    });
    it.cache.refresh(it.x).await.unwrap();
    settle().await;
    assert!(!watcher.is_finished(), "the same version is no change");
    it.source.set("x", "2");
    it.cache.refresh(it.x).await.unwrap();
    let (value, mut changes) = watcher.await.unwrap();
    assert_eq!((value.as_str(), value.version().as_str()), ("2", "2"));
    it.source.set("x", "3");
    it.cache.refresh(it.x).await.unwrap();
    it.source.set("x", "4");
    it.cache.refresh(it.x).await.unwrap();
    assert_eq!(*changes.next().await.unwrap(), "4", "what came and went is not seen");
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_call_and_the_wait_is_not_lost() {
    let it = Fixture::new().await;
    let mut changes = it.cache.changed(it.x);
    it.source.set("x", "2");
    it.cache.refresh(it.x).await.unwrap();
    assert_eq!(*changes.next().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_dropped_loses_nothing() {
    let it = Fixture::new().await;
    let mut changes = it.cache.changed(it.x);
    tokio::time::timeout(MINUTE / 60, changes.next()).await.unwrap_err();
    it.source.set("x", "2");
    it.cache.refresh(it.x).await.unwrap();
    assert_eq!(*changes.next().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn the_first_fetch_of_a_lazy_entry_is_a_change_and_a_failure_is_none() {
    let it = Fixture::with(|entry| entry.lazy()).await;
    let mut changes = it.cache.changed(it.x);
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    it.cache.get(it.x).await.unwrap_err();
    it.source.behave(Behaviour::Answer);
    it.cache.refresh(it.x).await.unwrap();
    assert_eq!(*changes.next().await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_fresh_is_not_handed_out() {
    let it = Fixture::new().await;
    let mut changes = it.cache.changed(it.x);
    it.source.set("x", "2");
    it.cache.refresh(it.x).await.unwrap();
    it.clock.freeze(MINUTE);
    let watcher = tokio::spawn(async move { changes.next().await.unwrap() });
    settle().await;
    assert!(!watcher.is_finished());
    it.source.set("x", "3");
    assert_eq!(it.read().await.unwrap(), "3");
    assert_eq!(*watcher.await.unwrap(), "3");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_key_and_a_dead_refresher_are_errors() {
    let it = Fixture::new().await;
    let other = Builder::new().spawn().await.unwrap();
    assert_eq!(other.changed(it.x).next().await.unwrap_err().kind(), ErrorKind::Key);
    let mut changes = it.cache.changed(it.x);
    kill_refresher(&it.cache);
    assert_eq!(changes.next().await.unwrap_err().kind(), ErrorKind::Stopped);
}
