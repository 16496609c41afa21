//! One fetch for all who want it, and none that nobody can use.

use std::time::Duration;

use futures_util::future::join_all;
use lambda_cache::Mode;
use lambda_cache::testing::{Behaviour, TestClock, TestSource};

use crate::fixture::{Fixture, MINUTE, SECOND, builder, settle};

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_an_expired_entry_make_one_call_and_all_get_its_result() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    it.source.set("x", "2");
    it.clock.advance(MINUTE);
    let snapshots = (0..500).map(|_| async { it.read().await.unwrap() });
    let values = (0..500).map(|_| async { it.cache.get(it.x).await.unwrap().to_string() });
    let (snapshots, values) = tokio::join!(join_all(snapshots), join_all(values));
    assert!(snapshots.iter().chain(&values).all(|value| value == "2"));
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_gives_up_cancels_nothing_for_the_others() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND));
    it.source.set("x", "2");
    it.clock.advance(MINUTE);
    let patient = tokio::spawn({
        let cache = it.cache.clone();
        let x = it.x;
        async move { cache.get(x).await.map(|value| value.to_string()) }
    });
    let hasty = tokio::time::timeout(SECOND / 2, it.cache.get(it.x)).await;
    assert!(hasty.is_err());
    assert_eq!(patient.await.unwrap().unwrap(), "2");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_age_of_zero_fetches_for_every_read_and_readers_in_step_share() {
    let it = Fixture::with(|entry| entry.max_age(Duration::ZERO)).await;
    for version in 2..6 {
        it.source.set("x", version.to_string());
        assert_eq!(it.read().await.unwrap(), version.to_string());
        assert_eq!(*it.cache.get(it.x).await.unwrap(), version.to_string());
    }
    assert_eq!(it.calls(), 1 + 8);
    it.source.behave(Behaviour::Late(SECOND));
    join_all((0..100).map(|_| it.cache.get(it.x))).await;
    assert_eq!(it.calls(), 1 + 8 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_age_zero_does_not_take_an_answer_that_was_asked_for_before_it_came() {
    let it = Fixture::with(|entry| entry.max_age(Duration::ZERO)).await;
    it.source.behave(Behaviour::Late(SECOND));
    let first = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.get(x).await.map(|value| value.to_string()) }
    });
    settle().await;
    it.source.set("x", "2");
    assert_eq!(*it.cache.get(it.x).await.unwrap(), "2");
    assert_eq!(first.await.unwrap().unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn readers_with_bounds_of_their_own_share_one_entry() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.advance(10 * SECOND);
    assert_eq!(*it.cache.get_within(it.x, 11 * SECOND).await.unwrap(), "1");
    assert_eq!(*it.cache.get_within(it.x, 10 * SECOND).await.unwrap(), "2");
    it.clock.advance(10 * SECOND);
    assert_eq!(*it.cache.get_within(it.x, 11 * SECOND).await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
    // The entry's own bound holds as well.
    it.clock.advance(MINUTE);
    it.cache.get_within(it.x, 10 * MINUTE).await.unwrap();
    assert_eq!(it.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_forced_refresh_fetches_what_is_fresh_and_waits_for_no_earlier_fetch() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    assert_eq!(*it.cache.refresh(it.x).await.unwrap(), "2");
    it.source.behave(Behaviour::Late(SECOND));
    let early = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.refresh(x).await.map(|value| value.to_string()) }
    });
    settle().await;
    it.source.set("x", "3");
    assert_eq!(*it.cache.refresh(it.x).await.unwrap(), "3");
    assert_eq!(early.await.unwrap().unwrap(), "2");
    assert_eq!(it.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_value_for_ever_is_fetched_once_unless_asked_to() {
    let it = Fixture::with(|entry| entry.never_expires()).await;
    it.source.set("x", "2");
    it.clock.freeze(100 * 365 * 24 * 60 * MINUTE);
    it.clock.step_back(MINUTE);
    assert_eq!(it.read().await.unwrap(), "1");
    assert_eq!(it.calls(), 1);
    it.cache.invalidate(it.x).await.unwrap();
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn entries_that_ask_for_the_same_share_one_fetch_and_each_is_decoded() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("n", "17");
    let mut builder = builder(&clock);
    let text = builder.add(source.entry("n"));
    let number = builder.add(
        source
            .decoded("n", |text| text.parse::<u32>().map_err(|_| unparsable()))
            .name("number")
            .max_age(10 * SECOND),
    );
    let cache = builder.spawn().await.unwrap();
    source.set("n", "18");
    clock.advance(10 * SECOND);
    let snapshot = cache.snapshot().await;
    assert_eq!((snapshot.get(text).unwrap().as_str(), *snapshot.get(number).unwrap()), ("18", 18));
    assert_eq!(source.calls(), [["n"], ["n"]]);
}

fn unparsable() -> lambda_cache::DecodeError {
    lambda_cache::DecodeError::new("not a number")
}

#[tokio::test(start_paused = true)]
async fn what_is_due_together_is_fetched_in_batches() {
    let (source, clock) = (TestSource::new().batch_limit(10), TestClock::new());
    let mut builder = builder(&clock);
    let keys: Vec<_> = (0..23)
        .map(|n| {
            source.set(n.to_string(), "1");
            builder.add(source.entry(n.to_string()))
        })
        .collect();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(source.calls().len(), 3);
    source.behave(Behaviour::Late(SECOND));
    clock.freeze(10 * MINUTE);
    let before = lambda_cache::Clock::now(&clock).monotonic();
    let snapshot = cache.snapshot().await;
    assert!(keys.iter().all(|&key| snapshot.get(key).is_ok()));
    assert_eq!(source.calls().len(), 6);
    let waited = lambda_cache::Clock::now(&clock).monotonic() - before;
    assert_eq!(waited, SECOND, "one round trip, not 23 and not 3");
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_together_is_refreshed_together_for_ever_after() {
    let (source, clock) = (TestSource::new().batch_limit(10), TestClock::new());
    let mut builder = builder(&clock).mode(Mode::Elsewhere);
    for n in 0..20 {
        source.set(n.to_string(), "1");
        builder.add(source.entry(n.to_string()));
    }
    let _cache = builder.spawn().await.unwrap();
    tokio::time::sleep(60 * MINUTE).await;
    assert!(source.calls().len() > 100);
    assert!(source.calls().iter().all(|names| names.len() == 10), "{:?}", source.calls());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_not_kept_waiting_by_slow_entries_that_expire_in_turn() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    let mut builder = builder(&clock).operation_timeout(2 * SECOND);
    let entry = |name: &str, age| source.entry(name).max_age(age).lazy();
    let (x, y) = (builder.add(entry("x", SECOND / 20)), builder.add(entry("y", 3 * SECOND)));
    source.set("x", "1");
    source.set("y", "1");
    let cache = builder.spawn().await.unwrap();
    source.behave(Behaviour::Late(SECOND + SECOND / 2 + SECOND / 10));
    let load = async |key| cache.get(key).await.map(|_| ());
    let snapshot = async {
        // When both have been asked for, and fetches of neither can be an answer to this.
        settle().await;
        tokio::time::timeout(5 * SECOND, cache.snapshot()).await
    };
    let later = async {
        tokio::task::yield_now().await;
        load(y).await
    };
    let (first, second, snapshot) = tokio::join!(load(x), later, snapshot);
    first.and(second).unwrap();
    let snapshot = snapshot.expect("a snapshot, after two fetches of each");
    assert_eq!((snapshot.get(x).unwrap().as_str(), snapshot.get(y).unwrap().as_str()), ("1", "1"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_same_version_keeps_the_value_and_renews_its_age() {
    let it = Fixture::new().await;
    let before = it.cache.get(it.x).await.unwrap().into_inner();
    it.clock.advance(MINUTE);
    let value = it.cache.get(it.x).await.unwrap();
    assert_eq!(value.age(), Duration::ZERO);
    assert_eq!(value.version().as_str(), "1");
    assert!(std::sync::Arc::ptr_eq(&before, &value.into_inner()), "not decoded again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_asked_for_before_an_invalidate_is_discarded() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hold);
    let joined = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.refresh(x).await.map(|value| value.to_string()) }
    });
    settle().await;
    it.source.set("x", "2");
    it.cache.invalidate(it.x).await.unwrap();
    assert!(it.cache.peek(it.x).is_err(), "nothing is held any more");
    it.source.behave(Behaviour::Answer);
    it.source.release();
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(joined.await.unwrap().unwrap(), "2", "a waiting reader gets another fetch's");
}
