//! Values that are derived from what was fetched: once per change, apart from the fetch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestSource};
use lambda_cache::{Builder, Cache, Clock, ErrorKind, Key, Mode, from_fn};
use tokio::sync::watch;

use crate::fixture::{MINUTE, SECOND, builder, settle};

/// What an entry's function does, and how often it was called.
#[derive(Clone)]
struct Derivation {
    calls: Arc<AtomicUsize>,
    way: Arc<watch::Sender<Way>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    AtOnce,
    Late(Duration),
    Never,
    Fail,
    FailLate(Duration),
    Panic,
}

impl Derivation {
    fn new() -> Self {
        Self { calls: Arc::default(), way: Arc::new(watch::Sender::new(Way::AtOnce)) }
    }

    fn does(&self, way: Way) {
        self.way.send_replace(way);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn run(self, text: String) -> Result<Pool, std::io::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let way = *self.way.borrow();
        match way {
            Way::AtOnce => {}
            Way::Late(delay) => tokio::time::sleep(delay).await,
            Way::Never => std::future::pending().await,
            Way::Fail => return Err(std::io::Error::other("no connection")),
            Way::FailLate(delay) => {
                tokio::time::sleep(delay).await;
                return Err(std::io::Error::other("no connection"));
            }
            Way::Panic => panic!("as the test said"),
        }
        Ok(Pool(format!("pool of {text}")))
    }
}

/// Nothing that can be cloned or compared, as a pool of connections.
struct Pool(String);

struct World {
    source: TestSource,
    clock: TestClock,
    derivation: Derivation,
    cache: Cache,
    text: Key<String>,
    pool: Key<Pool>,
}

impl World {
    /// One text as it is, and the same one derived.
    async fn new() -> Self {
        Self::built(|builder| builder).await
    }

    async fn built(build: impl FnOnce(Builder) -> Builder) -> Self {
        let (source, clock, derivation) = (TestSource::new(), TestClock::new(), Derivation::new());
        source.set("x", "1");
        let mut builder = build(builder(&clock));
        let text = builder.add(source.entry("x"));
        let derive = derivation.clone();
        let derive = move |text| derive.clone().run(text);
        let pool = builder.add(source.entry("x").name("pool").derive(derive));
        let cache = builder.spawn().await.unwrap();
        Self { source, clock, derivation, cache, text, pool }
    }

    async fn pool(&self) -> Result<String, ErrorKind> {
        self.cache.get(self.pool).await.map(|it| it.0.clone()).map_err(|error| error.kind())
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_derived_once_per_change_and_shares_the_fetch() {
    let it = World::new().await;
    assert_eq!((it.derivation.calls(), it.source.calls().len()), (1, 1));
    for _ in 0..3 {
        it.clock.advance(MINUTE);
        assert_eq!(it.pool().await.unwrap(), "pool of 1");
    }
    assert_eq!((it.derivation.calls(), it.source.calls().len()), (1, 4));
    it.source.set("x", "2");
    it.clock.advance(MINUTE);
    let snapshot = it.cache.snapshot().await;
    assert_eq!(snapshot.get(it.pool).unwrap().0, "pool of 2");
    assert_eq!(snapshot.get(it.text).unwrap(), "2");
    assert_eq!(snapshot.version(it.pool).unwrap(), snapshot.version(it.text).unwrap());
    assert_eq!((it.derivation.calls(), it.source.calls().len()), (2, 5));
}

#[tokio::test(start_paused = true)]
async fn the_former_value_lives_as_long_as_a_reader_holds_it() {
    let it = World::new().await;
    let held = it.cache.get(it.pool).await.unwrap().into_inner();
    let weak = Arc::downgrade(&held);
    it.source.set("x", "2");
    it.cache.refresh(it.pool).await.unwrap();
    assert_eq!(held.0, "pool of 1");
    drop(held);
    assert!(weak.upgrade().is_none(), "nobody else holds it");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_shares_the_fetch_does_not_wait_for_what_is_derived() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(2 * SECOND));
    it.clock.advance(MINUTE);
    let before = it.clock.now().monotonic();
    assert_eq!(*it.cache.get(it.text).await.unwrap(), "2");
    assert_eq!(it.clock.now().monotonic() - before, Duration::ZERO);
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
    assert_eq!(it.clock.now().monotonic() - before, 2 * SECOND);
    assert_eq!(it.source.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_derived_value_is_as_old_as_what_it_comes_from() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(3 * SECOND));
    let value = it.cache.refresh(it.pool).await.unwrap();
    assert_eq!(value.age(), 3 * SECOND);
    it.clock.advance(57 * SECOND);
    it.derivation.does(Way::AtOnce);
    it.source.set("x", "3");
    assert_eq!(it.pool().await.unwrap(), "pool of 3");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_confirms_the_version_makes_what_is_being_derived_young_again() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(4 * SECOND));
    let (cache, pool) = (it.cache.clone(), it.pool);
    let derived = tokio::spawn(async move { cache.refresh(pool).await.unwrap() });
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(*it.cache.refresh(it.text).await.unwrap(), "2");
    let derived = derived.await.unwrap();
    assert_eq!((derived.0.as_str(), derived.age()), ("pool of 2", SECOND));
    assert_eq!(it.derivation.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_meanwhile_is_derived_next() {
    let it = World::new().await;
    it.derivation.does(Way::Late(4 * SECOND));
    it.source.set("x", "2");
    let (cache, pool) = (it.cache.clone(), it.pool);
    let derived = tokio::spawn(async move { cache.refresh(pool).await.unwrap() });
    tokio::time::sleep(SECOND).await;
    it.source.set("x", "3");
    assert_eq!(*it.cache.refresh(it.text).await.unwrap(), "3");
    assert_eq!(derived.await.unwrap().0, "pool of 2");
    let value = it.cache.refresh(it.pool).await.unwrap();
    assert_eq!(value.0, "pool of 3");
    assert_eq!(it.derivation.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_is_its_entrys_error_alone_and_is_tried_again() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Fail);
    it.clock.advance(MINUTE);
    let snapshot = it.cache.snapshot().await;
    assert_eq!(snapshot.get(it.text).unwrap(), "2");
    assert_eq!(it.pool().await.unwrap_err(), ErrorKind::Derive);
    let error = it.cache.snapshot().await.get(it.pool).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Derive);
    let text = error.to_string();
    for part in ["entry \"pool\"", "test:Get x", "no connection", "max age 60s"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    it.derivation.does(Way::AtOnce);
    it.clock.advance(SECOND);
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_is_its_entrys_error_alone() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Panic);
    assert_eq!(it.cache.refresh(it.pool).await.map(|_| ()).unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(it.cache.snapshot().await.get(it.text).unwrap(), "2");
    assert_eq!(it.pool().await.unwrap(), "pool of 1", "it is fresh, and stays");
    it.derivation.does(Way::AtOnce);
    assert_eq!(it.cache.refresh(it.pool).await.unwrap().0, "pool of 2");
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_back_off() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Fail);
    it.clock.advance(MINUTE);
    let calls = it.derivation.calls();
    for _ in 0..600 {
        _ = it.cache.snapshot().await;
        settle().await;
        it.clock.advance(SECOND / 10);
    }
    let calls = it.derivation.calls() - calls;
    assert!((3..20).contains(&calls), "{calls} attempts in a minute");
}

#[tokio::test(start_paused = true)]
async fn fetch_and_function_together_have_the_operation_timeout() {
    let it = World::built(|builder| builder.operation_timeout(3 * SECOND)).await;
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND));
    it.derivation.does(Way::Never);
    let before = it.clock.now().monotonic();
    let error = it.cache.refresh(it.pool).await.map(|_| ()).unwrap_err();
    assert_eq!(
        (error.kind(), it.clock.now().monotonic() - before),
        (ErrorKind::Timeout, 3 * SECOND)
    );
    assert_eq!(*it.cache.get(it.text).await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn at_the_hold_limit_it_is_cancelled_and_the_next_invocation_starts_it_again() {
    let it = World::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.source.set("x", "2");
    it.derivation.does(Way::Late(SECOND));
    it.clock.freeze(50 * SECOND);
    let invocation = invocations.next();
    let extension = invocation.clone();
    let invoked = tokio::spawn(async move { extension.invoke().await.unwrap() });
    invocation.handler_begins().await.unwrap();
    settle().await;
    assert_eq!(it.derivation.calls(), 2);
    let before = it.clock.now().monotonic();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(
        it.clock.now().monotonic() - before,
        Duration::from_millis(250),
        "held for as long as may be"
    );
    assert_eq!(*it.cache.get(it.text).await.unwrap(), "2", "what was fetched is there");

    it.clock.freeze(MINUTE);
    it.derivation.does(Way::AtOnce);
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
    assert_eq!(it.derivation.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_frozen_while_it_was_derived_is_started_again() {
    let it = World::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.source.set("x", "2");
    it.derivation.does(Way::Never);
    it.clock.freeze(MINUTE);
    let (cache, pool) = (it.cache.clone(), it.pool);
    let reader = tokio::spawn(async move { cache.get(pool).await.map(|it| it.0.clone()) });
    settle().await;
    assert_eq!(it.derivation.calls(), 2);
    it.clock.freeze(SECOND);
    it.derivation.does(Way::AtOnce);
    let invocation = invocations.next();
    let extension = invocation.clone();
    let invoked = tokio::spawn(async move { extension.invoke().await.unwrap() });
    assert_eq!(reader.await.unwrap().unwrap(), "pool of 2");
    invocation.handler_begins().await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_invalidate_what_was_being_derived_is_discarded() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(SECOND));
    let (cache, pool) = (it.cache.clone(), it.pool);
    let reader = tokio::spawn(async move { cache.refresh(pool).await.map(|it| it.0.clone()) });
    settle().await;
    it.source.set("x", "3");
    it.cache.invalidate(it.pool).await.unwrap();
    assert_eq!(it.pool().await.unwrap(), "pool of 3");
    assert_eq!(reader.await.unwrap().unwrap(), "pool of 3");
}

#[tokio::test(start_paused = true)]
async fn derivations_follow_one_another_and_a_functions_result_can_be_derived() {
    let clock = TestClock::new();
    let mut builder = builder(&clock);
    let fetch = async || Ok::<_, std::io::Error>(20);
    let count = from_fn("count", fetch)
        .derive(async |n: u32| Ok::<_, std::io::Error>(n + 1))
        .derive(async |n: u32| Ok::<_, std::io::Error>(n.to_string()));
    let count = builder.add(count);
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(count).await.unwrap(), "21");
}

#[tokio::test(start_paused = true)]
async fn init_fails_with_what_could_not_be_derived() {
    let source = TestSource::new();
    source.set("x", "1");
    let mut builder = builder(&TestClock::new());
    builder.add(source.entry("x").derive(async |_| Err::<(), _>(std::io::Error::other("no"))));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Derive);
    assert_eq!(error.others()[0].entry(), Some("x"));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_meanwhile_does_not_undo_what_is_being_derived() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(4 * SECOND));
    let (cache, pool) = (it.cache.clone(), it.pool);
    let derived = tokio::spawn(async move { cache.refresh(pool).await.unwrap() });
    tokio::time::sleep(SECOND).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Timeout));
    it.cache.refresh(it.text).await.unwrap_err();
    assert_eq!(derived.await.unwrap().0, "pool of 2");
    assert_eq!(it.derivation.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_at_the_hold_limit_is_derived_in_the_next_invocation() {
    let it = World::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.source.set("x", "2");
    it.derivation.does(Way::Never);
    it.clock.freeze(50 * SECOND);
    for calls in [2, 3] {
        let invocation = invocations.next();
        let extension = invocation.clone();
        let invoked = tokio::spawn(async move { extension.invoke().await.unwrap() });
        invocation.handler_begins().await.unwrap();
        settle().await;
        assert_eq!(it.derivation.calls(), calls);
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        it.derivation.does(Way::AtOnce);
        it.clock.freeze(2 * SECOND);
    }
    let before = it.clock.now().monotonic();
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
    assert_eq!((it.clock.now().monotonic() - before, it.derivation.calls()), (Duration::ZERO, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_being_derived_is_not_due() {
    let it = World::built(|builder| builder.mode(Mode::Elsewhere)).await;
    it.source.set("x", "2");
    it.derivation.does(Way::Late(4 * SECOND));
    tokio::time::sleep(50 * SECOND).await;
    assert_eq!((it.source.calls().len(), it.derivation.calls()), (2, 2));
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
}

#[tokio::test(start_paused = true)]
async fn what_a_reader_waits_for_is_not_cancelled_while_its_handler_may_run() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND / 10));
    it.derivation.does(Way::Late(SECOND));
    it.clock.freeze(MINUTE);
    let (cache, pool) = (it.cache.clone(), it.pool);
    let invocation = Invocations::new(&it.cache, &it.clock).next();
    let invoked = tokio::spawn(async move { invocation.invoke().await.unwrap() });
    settle().await;
    let before = it.clock.now().monotonic();
    let reader = tokio::spawn(async move { cache.get(pool).await.map(|it| it.0.clone()) });
    assert_eq!(reader.await.unwrap().unwrap(), "pool of 2");
    assert_eq!((it.clock.now().monotonic() - before, it.derivation.calls()), (SECOND / 10 * 11, 2));
    invoked.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_of_a_version_that_could_not_be_derived_makes_no_other_younger() {
    let it = World::new().await;
    it.clock.advance(50 * SECOND);
    it.source.set("x", "2");
    it.derivation.does(Way::FailLate(SECOND));
    // The first fetch brings "2", which is being derived; the second asks whether it still is "2".
    let refresh = |key: Key<String>| {
        let cache = it.cache.clone();
        tokio::spawn(async move { cache.refresh(key).await.map(|it| it.version().clone()) })
    };
    let first = refresh(it.text);
    settle().await;
    it.source.behave(Behaviour::Late(2 * SECOND));
    let second = refresh(it.text);
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap().as_str(), "2");
    assert_eq!((it.derivation.calls(), it.source.calls().len()), (2, 3));
    assert_eq!(it.cache.peek(it.pool).unwrap().age(), 52 * SECOND, "\"1\" is as old as ever");
    it.source.behave(Behaviour::Answer);
    it.derivation.does(Way::Fail);
    it.clock.advance(10 * SECOND);
    assert_eq!(it.pool().await.unwrap_err(), ErrorKind::Derive);
    let snapshot = it.cache.snapshot().await;
    assert_eq!(snapshot.get(it.pool).map(|it| &it.0).unwrap_err().kind(), ErrorKind::Derive);
}

#[tokio::test(start_paused = true)]
async fn what_is_derived_after_a_cancellation_is_not_fetched_again_and_again() {
    let it = World::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.derivation.does(Way::Never);
    it.source.set("x", "2");
    it.clock.freeze(50 * SECOND);
    let invocation = invocations.next();
    invocation.handler_begins().await.unwrap();
    let invoked = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    settle().await;
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap().unwrap();
    // It was cancelled at the hold limit. In the next invocation it takes longer than its pause.
    it.derivation.does(Way::Late(4 * SECOND));
    it.source.behave(Behaviour::Late(SECOND / 25));
    it.clock.freeze(2 * SECOND);
    let calls = it.source.calls().len();
    let invocation = invocations.next().deadline(it.clock.now().wall() + 15 * MINUTE);
    invocation.handler_begins().await.unwrap();
    let invoked = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(it.source.calls().len() - calls, 1);
    tokio::time::sleep(SECOND).await;
    assert_eq!(it.pool().await.unwrap(), "pool of 2");
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_being_derived_is_not_fetched_ahead_of_need() {
    let it = World::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.derivation.does(Way::Late(SECOND));
    it.source.set("x", "2");
    it.clock.freeze(40 * SECOND);
    let invocation = invocations.next();
    invocation.handler_begins().await.unwrap();
    it.cache.refresh(it.text).await.unwrap();
    let calls = it.source.calls().len();
    // What is derived from "1" has less than half of its life left.
    let invoked = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    settle().await;
    assert_eq!(it.source.calls().len(), calls);
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap().unwrap();
}
