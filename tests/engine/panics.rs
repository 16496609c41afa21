//! Panics are errors of their entry, and a dead refresher is an error of the reads that need it.

use lambda_cache::testing::{Behaviour, TestClock, TestSource, kill_refresher};
use lambda_cache::{DecodeError, ErrorKind};

use crate::fixture::{Fixture, MINUTE, SECOND, builder, settle};

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_the_error_of_the_entries_in_its_call() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Panic);
    it.clock.advance(MINUTE);
    let error = it.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert!(error.to_string().contains("test:Get x panicked"), "{error}");
    it.source.behave(Behaviour::Answer);
    it.clock.advance(MINUTE);
    assert_eq!(it.read().await.unwrap(), "1", "the refresher lives on");
}

#[tokio::test(start_paused = true)]
async fn a_decoder_that_panics_is_the_error_of_its_entry_alone() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("secret", "hunter2");
    let mut builder = builder(&clock);
    let text = builder.add(source.entry("secret"));
    let broken = builder.add(
        source
            .decoded("secret", |text| -> Result<u8, DecodeError> { panic!("bad value {text}") })
            .name("broken")
            .lazy(),
    );
    let cache = builder.spawn().await.unwrap();
    let error = cache.get(broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert_eq!(cache.snapshot().await.get(text).unwrap(), "hunter2");
}

#[tokio::test(start_paused = true)]
async fn when_the_refresher_is_dead_fresh_values_are_read_on_and_then_errors_say_so() {
    let it = Fixture::new().await;
    kill_refresher(&it.cache);
    settle().await;
    assert_eq!(it.read().await.unwrap(), "1");
    assert_eq!(*it.cache.get(it.x).await.unwrap(), "1");
    it.clock.advance(MINUTE);
    let reads = async { (it.read().await.unwrap_err(), it.cache.get(it.x).await.unwrap_err()) };
    let (snapshot, get) = tokio::time::timeout(SECOND, reads).await.expect("no read hangs");
    for error in [snapshot, get] {
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!((error.entry(), error.age()), (Some("x"), Some(MINUTE)));
    }
    assert_eq!(it.cache.refresh(it.x).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(it.cache.invalidate(it.x).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert!(it.invocations.next().invoke().await.is_err());
    assert_eq!(*it.cache.peek(it.x).unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn readers_who_wait_when_the_refresher_dies_are_told() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.advance(MINUTE);
    let waiting = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { (cache.snapshot().await.get(x).cloned(), cache.get(x).await.map(|_| ())) }
    });
    settle().await;
    kill_refresher(&it.cache);
    let told = tokio::time::timeout(SECOND, waiting).await.expect("no read hangs").unwrap();
    assert_eq!(told.0.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(told.1.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_refresher_and_its_fetches_end_with_the_last_handle() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    let cache = it.cache.clone();
    assert!(tokio::time::timeout(SECOND / 10, cache.refresh(it.x)).await.is_err());
    assert_eq!(it.source.in_flight(), 1);
    let source = it.source.clone();
    drop((it, cache));
    settle().await;
    assert_eq!(source.in_flight(), 0);
}
