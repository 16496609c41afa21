//! No value that came from a source is ever printed, logged, or put into an error.

use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{DecodeError, ErrorKind};

use crate::fixture::{Fixture, MINUTE, builder, pass};
use crate::log::Log;

const SECRET: &str = "hunter2-hunter2";

#[tokio::test(start_paused = true)]
async fn neither_debug_nor_errors_nor_traces_show_a_value() {
    let log = Log::listen();
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("secret", SECRET);
    let mut builder = builder(&clock);
    let secret = builder.add(source.entry("secret"));
    let number = builder.add(
        source
            .decoded("secret", |_| -> Result<u8, _> { Err(DecodeError::new("not a number")) })
            .name("number")
            .lazy(),
    );
    let mut seen = format!("{builder:?} {secret:?} {source:?} {clock:?}");
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    let value = cache.get(secret).await.unwrap();
    seen += &format!("{cache:?} {snapshot:?} {value:?} {:?}", value.version());
    let error = cache.get(number).await.unwrap_err();
    seen += &format!("{error} {error:?}");
    source.behave(Behaviour::Fail(ErrorKind::Source));
    clock.advance(MINUTE);
    let error = cache.get(secret).await.unwrap_err();
    seen += &format!("{error} {error:?} {:?}", cache.snapshot().await);
    assert!(!seen.contains(SECRET), "{seen}");
    let log = log.text();
    assert!(log.contains("refresh failed") && log.contains("refresh{"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_a_span_and_an_invocation_an_event_that_say_what_happened() {
    let log = Log::listen();
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.clock.freeze(50 * crate::fixture::SECOND);
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    let invoked = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    crate::fixture::settle().await;
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap().unwrap();
    let log = log.text();
    for part in [
        r#"refresh{entry="x" source="test:Get x" cause="init" batch=1 outcome="changed""#,
        r#"cause="probe" batch=1 outcome="changed" duration_ms="#,
        r#"invocation request_id="request-0" due=1 refreshed=1 failed=0 held_ms="#,
    ] {
        assert!(log.contains(part), "{log} lacks {part}");
    }
}

#[tokio::test(start_paused = true)]
async fn spans_and_events_say_how_long_it_took_and_what_failed() {
    let log = Log::listen();
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(MINUTE / 600));
    it.clock.freeze(50 * crate::fixture::SECOND);
    it.invocations.next().invoke().await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(50 * crate::fixture::SECOND);
    pass(it.invocations.next()).await;
    it.invocations.next().invoke().await.unwrap();
    let log = log.text();
    for part in [r#"outcome="unchanged" duration_ms=100.0"#, "refreshed=0 failed=1"] {
        assert!(log.contains(part), "{log} lacks {part}");
    }
}
