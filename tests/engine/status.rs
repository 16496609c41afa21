//! What a cache says of itself.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{Ahead, Cause, ErrorKind};

use crate::fixture::{Fixture, MINUTE, SECOND, builder};

#[tokio::test(start_paused = true)]
async fn each_entry_tells_its_name_source_age_bounds_version_error_and_counts() {
    let it = Fixture::with(|entry| entry.stale_if_error(MINUTE)).await;
    it.clock.advance(5 * SECOND);
    let status = it.cache.status();
    let x = status.entry("x").unwrap();
    assert_eq!((&*x.name, &*x.source), ("x", "test:Get x"));
    assert_eq!((x.age, x.max_age), (Some(5 * SECOND), Some(MINUTE)));
    assert_eq!((x.refresh_after, x.stale_if_error), (Some(MINUTE * 15 / 16), MINUTE));
    assert_eq!((x.ahead, x.cause), (Ahead::Expected, Some(Cause::Init)));
    assert_eq!(x.version.as_ref().unwrap().as_str(), "1");
    assert!(x.last_error.is_none());
    assert_eq!((x.refreshes, x.failures, x.api_calls), (1, 0, 1));

    it.source.behave(Behaviour::Fail(ErrorKind::Throttled));
    it.cache.refresh(it.x).await.unwrap_err();
    let status = it.cache.status();
    let x = &status.entries()[0];
    assert_eq!(x.last_error.as_ref().unwrap().kind(), ErrorKind::Throttled);
    assert_eq!((x.age, x.refreshes, x.failures, x.api_calls), (Some(5 * SECOND), 1, 1, 2));

    it.source.behave(Behaviour::Answer);
    it.cache.refresh(it.x).await.unwrap();
    let x = it.cache.status().entry("x").unwrap().clone();
    assert!(x.last_error.is_none());
    assert_eq!((x.age, x.refreshes, x.failures, x.api_calls), (Some(Duration::ZERO), 2, 1, 3));
    assert_eq!(x.cause, Some(Cause::Forced));
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_counts_once_for_the_cache_and_for_each_entry_in_it() {
    let source = TestSource::new().batch_limit(2);
    let mut builder = builder(&TestClock::new());
    for name in ["a", "b", "c"] {
        source.set(name, name);
        builder.add(source.entry(name));
    }
    let cache = builder.spawn().await.unwrap();
    let status = cache.status();
    assert_eq!(status.api_calls(), 2);
    let calls: Vec<u64> = status.entries().iter().map(|entry| entry.api_calls).collect();
    assert_eq!(calls, [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_cut_off_counts() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.cache.refresh(it.x).await.unwrap_err();
    assert_eq!(it.cache.status().api_calls(), 2);

    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let extension = invocation.clone();
    let invoked = tokio::spawn(async move { extension.invoke().await.unwrap() });
    invocation.handler_begins().await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    let status = it.cache.status();
    assert_eq!((status.api_calls(), status.entries()[0].api_calls), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_nobody_has_read_says_so() {
    let it = Fixture::with(|entry| entry.lazy().never_expires()).await;
    let status = it.cache.status();
    let x = status.entry("x").unwrap();
    assert_eq!((x.age, x.version.as_ref(), x.refreshes), (None, None, 0));
    let text = status.to_string();
    assert!(text.contains("x (test:Get x): not loaded, never expires"), "{text}");
}
