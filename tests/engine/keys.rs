//! Keys and names: never one entry's value for another's.

use std::time::Duration;

use lambda_cache::testing::{TestClock, TestSource};
use lambda_cache::{Builder, ErrorKind, Key};

use crate::fixture::{Fixture, MINUTE, builder};

#[tokio::test(start_paused = true)]
async fn a_key_of_another_cache_is_an_error() {
    let (one, other) = (Fixture::new().await, Fixture::new().await);
    let foreign = other.x;
    let snapshot = one.cache.snapshot().await;
    for error in [
        snapshot.get(foreign).map(|_| ()).unwrap_err(),
        snapshot.age(foreign).map(|_| ()).unwrap_err(),
        one.cache.get(foreign).await.map(|_| ()).unwrap_err(),
        one.cache.refresh(foreign).await.map(|_| ()).unwrap_err(),
        one.cache.invalidate(foreign).await.unwrap_err(),
        one.cache.peek(foreign).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_found_by_name_and_type() {
    let it = Fixture::new().await;
    let found: Key<String> = it.cache.key("x").unwrap();
    assert_eq!(it.cache.snapshot().await.get(found).unwrap(), "1");
    assert_eq!(it.cache.key::<u32>("x").unwrap_err().kind(), ErrorKind::Key);
    let error = it.cache.key::<String>("y").unwrap_err();
    assert!(error.to_string().contains("\"y\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn names_are_last_segments_unless_said_otherwise_and_values_never_mix() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    for name in ["/prod/x", "/test/x", "/test/X"] {
        source.set(name, name);
    }
    let mut builder = builder(&clock);
    let prod = builder.add(source.entry("/prod/x"));
    let test = builder.add(source.entry("/test/x").name("test"));
    let upper = builder.add(source.entry("/test/X"));
    let cache = builder.spawn().await.unwrap();
    for _ in 0..3 {
        let snapshot = cache.snapshot().await;
        assert_eq!(snapshot.get(prod).unwrap(), "/prod/x");
        assert_eq!(snapshot.get(test).unwrap(), "/test/x");
        assert_eq!(snapshot.get(upper).unwrap(), "/test/X");
        assert_eq!(snapshot.get(cache.key::<String>("x").unwrap()).unwrap(), "/prod/x");
        clock.advance(MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_wrongly_is_reported_together_before_any_request() {
    let source = TestSource::new();
    let mut builder: Builder = builder(&TestClock::new());
    builder.add(source.entry("/prod/x"));
    builder.add(source.entry("/test/x"));
    builder.add(source.entry("a").refresh_after(2 * MINUTE));
    builder.add(source.entry("b").refresh_after(Duration::ZERO));
    builder.add(source.entry("c").name(""));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    let mut names: Vec<_> = error.others().iter().filter_map(|it| it.entry()).collect();
    names.sort_unstable();
    assert_eq!(names, ["", "a", "b", "x"]);
    assert!(source.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_never_changes_and_keeps_its_values_alive() {
    let it = Fixture::new().await;
    let snapshot = it.cache.snapshot().await;
    it.source.set("x", "2");
    it.cache.refresh(it.x).await.unwrap();
    it.clock.advance(10 * MINUTE);
    assert_eq!(snapshot.get(it.x).unwrap(), "1");
    assert_eq!(snapshot.version(it.x).unwrap().as_str(), "1");
    assert_eq!(it.cache.snapshot().await.version(it.x).unwrap().as_str(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_peek_makes_no_request_and_says_how_old_the_value_is() {
    let it = Fixture::new().await;
    it.clock.freeze(10 * MINUTE);
    let value = it.cache.peek(it.x).unwrap();
    assert_eq!((value.age(), value.is_stale()), (10 * MINUTE, true));
    it.clock.step_back(20 * MINUTE);
    assert_eq!(it.cache.peek(it.x).unwrap().age(), Duration::MAX);
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_without_entries_works() {
    let cache = builder(&TestClock::new()).spawn().await.unwrap();
    assert_eq!(format!("{:?}", cache.snapshot().await), "{}");
}
