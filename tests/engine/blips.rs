//! A source that is away for a moment: one failure does not outlast its cause.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestInvocation, TestSource};
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key};

use crate::fixture::{Fixture, MINUTE, SECOND, builder, settle};

const LATENCY: Duration = Duration::from_millis(20);

/// How invocations come, and what they do.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    every: Duration,
    frozen_between: bool,
    invoke_first: bool,
    handler: Duration,
    /// A handler asks for one entry, or for a snapshot.
    gets: bool,
}

/// Every kind of traffic.
fn traffics(every: Duration) -> impl Iterator<Item = Traffic> {
    (0..16).map(move |n: u8| Traffic {
        every,
        frozen_between: n & 1 != 0,
        invoke_first: n & 2 != 0,
        handler: if n & 4 != 0 { SECOND / 10 } else { Duration::ZERO },
        gets: n & 8 != 0,
    })
}

impl Traffic {
    async fn read(self, cache: &Cache, key: Key<String>) -> Result<(), Error> {
        match self.gets {
            true => cache.get(key).await.map(|_| ()),
            false => cache.snapshot().await.get(key).map(|_| ()),
        }
    }

    /// One invocation, and the pause after it: what its handler reads, and how long that took.
    async fn invocation(self, it: &Fixture) -> (Result<(), Error>, Duration) {
        let invocation = it.invocations.next();
        let invoke = |invocation: &TestInvocation| {
            let invocation = invocation.clone();
            tokio::spawn(async move { invocation.invoke().await })
        };
        let early = self.invoke_first.then(|| invoke(&invocation));
        settle().await;
        invocation.handler_begins().await.unwrap();
        let invoked = early.unwrap_or_else(|| invoke(&invocation));
        let before = it.clock.now().monotonic();
        let read = self.read(&it.cache, it.x).await;
        let took = it.clock.now().monotonic() - before;
        tokio::time::sleep(self.handler).await;
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap().unwrap();
        assert_eq!(it.source.in_flight(), 0, "{self:?}");
        match self.frozen_between {
            true => it.clock.freeze(self.every),
            false => tokio::time::sleep(self.every).await,
        }
        (read, took)
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_blip_of_one_invocation_no_further_invocation_fails() {
    let away =
        [Behaviour::Fail(ErrorKind::Source), Behaviour::Fail(ErrorKind::Denied), Behaviour::Hang];
    for away in away {
        for traffic in traffics(7 * SECOND) {
            let it = Fixture::with(|entry| entry.max_age(5 * SECOND)).await;
            it.source.behave(Behaviour::Late(LATENCY));
            for n in 0..12 {
                if n == 5 {
                    it.source.behave(away.clone());
                }
                let (read, took) = traffic.invocation(&it).await;
                assert_eq!(read.is_ok(), n != 5, "{away:?}, {traffic:?}: invocation {n}");
                assert!(n == 5 || took <= LATENCY, "{away:?}, {traffic:?}: {n} took {took:?}");
                it.source.behave(Behaviour::Late(LATENCY));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_dense_traffic_the_first_invocation_after_an_outage_is_well() {
    for away in [Behaviour::Fail(ErrorKind::Source), Behaviour::Hang] {
        for traffic in traffics(SECOND / 100) {
            let it = Fixture::with(|entry| entry.max_age(5 * SECOND)).await;
            it.source.behave(Behaviour::Late(LATENCY));
            for n in 0..400 {
                match n {
                    100 => it.source.behave(away.clone()),
                    300 => it.source.behave(Behaviour::Late(LATENCY)),
                    _ => {}
                }
                let (read, _) = traffic.invocation(&it).await;
                let well = !(100..300).contains(&n);
                assert!(read.is_ok() || !well, "{away:?}, {traffic:?}: invocation {n}");
                if n == 100 {
                    it.clock.freeze(MINUTE);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_source_hangs_an_invocation_waits_for_a_moment_once() {
    for traffic in traffics(SECOND) {
        let it = Fixture::with(|entry| entry.max_age(5 * SECOND)).await;
        it.source.behave(Behaviour::Late(LATENCY));
        it.clock.freeze(MINUTE);
        assert!(traffic.invocation(&it).await.0.is_ok());
        it.source.behave(Behaviour::Hang);
        it.clock.freeze(MINUTE);
        // The first one finds an entry that has not failed yet.
        assert!(traffic.invocation(&it).await.0.is_err());
        for n in 0..20 {
            let invocation = it.invocations.next();
            invocation.handler_begins().await.unwrap();
            let mut waits = Vec::new();
            for _ in 0..3 {
                let before = it.clock.now().monotonic();
                assert!(traffic.read(&it.cache, it.x).await.is_err());
                waits.push(it.clock.now().monotonic() - before);
                tokio::time::sleep(SECOND / 100).await;
            }
            assert_eq!(waits, [LATENCY * 3, Duration::ZERO, Duration::ZERO], "{traffic:?}: {n}");
            invocation.handler_ends().await.unwrap();
            it.clock.freeze(traffic.every);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_after_a_moment_while_its_source_hangs() {
    let it = Fixture::with(|entry| entry.max_age(5 * SECOND).stale_if_error(60 * MINUTE)).await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(MINUTE);
    it.invocations.next().handler_begins().await.unwrap();
    assert!(it.cache.get(it.x).await.unwrap().is_stale(), "once its refresh has failed");
    for _ in 0..5 {
        // Longer than any failure is remembered for.
        it.clock.freeze(10 * MINUTE);
        it.invocations.next().handler_begins().await.unwrap();
        let before = it.clock.now().monotonic();
        assert!(it.cache.get(it.x).await.unwrap().is_stale());
        assert_eq!(it.clock.now().monotonic() - before, SECOND / 20);
        assert!(it.cache.snapshot().await.is_stale(it.x).unwrap());
        assert_eq!(it.clock.now().monotonic() - before, SECOND / 20, "once an invocation");
    }
}

#[tokio::test(start_paused = true)]
async fn an_option_says_how_long_reads_wait_while_an_entry_fails() {
    for wait in [Duration::ZERO, 2 * SECOND] {
        let it = Fixture::with(|entry| entry.wait_if_failing(wait)).await;
        it.source.behave(Behaviour::Hang);
        it.clock.freeze(MINUTE);
        it.invocations.next().handler_begins().await.unwrap();
        assert_eq!(it.read().await.unwrap_err().kind(), ErrorKind::Timeout);
        it.clock.freeze(MINUTE);
        it.invocations.next().handler_begins().await.unwrap();
        let before = it.clock.now().monotonic();
        assert!(it.read().await.is_err());
        assert_eq!(it.clock.now().monotonic() - before, wait);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_service_gets_no_more_attempts_than_its_back_off() {
    let it = Fixture::with(|entry| entry.max_age(SECOND)).await;
    it.source.behave(Behaviour::Fail(ErrorKind::Throttled));
    it.clock.freeze(MINUTE);
    for _ in 0..600 {
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.read().await.unwrap_err().kind(), ErrorKind::Throttled);
        assert!(it.cache.get(it.x).await.is_err());
        invocation.handler_ends().await.unwrap();
        it.clock.freeze(SECOND / 10);
    }
    // In a minute: 200 ms, 400 ms, ... 30 s, each times a random part of it.
    let attempts = it.calls() - 1;
    assert!((4..25).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_well_is_never_slowed_by_one_that_fails() {
    let (good, bad, clock) = (TestSource::new(), TestSource::new(), TestClock::new());
    good.set("good", "1");
    bad.set("bad", "1");
    let mut builder = builder(&clock);
    let (g, _) = (builder.add(good.entry("good")), builder.add(bad.entry("bad")));
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    bad.behave(Behaviour::Hang);
    clock.freeze(MINUTE);
    for _ in 0..5 {
        invocations.next().handler_begins().await.unwrap();
        let before = clock.now().monotonic();
        assert_eq!(*cache.get(g).await.unwrap(), "1");
        assert_eq!(clock.now().monotonic(), before);
        let snapshot = cache.snapshot().await;
        assert_eq!(snapshot.get(g).unwrap(), "1");
        clock.freeze(SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_waits_for_one_entry_begins_no_attempt_at_another_that_backs_off() {
    let (source, clock) = (TestSource::new().batch_limit(1), TestClock::new());
    let mut builder = builder(&clock);
    for name in ["well", "failing"] {
        source.set(name, "1");
        builder.add(source.entry(name));
    }
    source.behave(Behaviour::Late(SECOND));
    let cache = builder.spawn().await.unwrap();
    let (well, failing) = (cache.key("well").unwrap(), cache.key("failing").unwrap());
    source.remove("failing");
    let _: Result<_, _> = cache.refresh::<String>(failing).await;
    clock.freeze(MINUTE);
    // Its first attempt after its value has expired.
    cache.get(failing).await.unwrap_err();
    cache.invalidate(well).await.unwrap();
    let before = source.calls().len();
    let snapshot = tokio::spawn(async move { cache.snapshot().await });
    settle().await;
    assert_eq!(source.calls().split_off(before), [["well"]]);
    let snapshot = snapshot.await.unwrap();
    assert!(snapshot.get::<String>(well).is_ok() && snapshot.get::<String>(failing).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_has_been_answered_is_not_asked_for_again_when_others_are() {
    let (source, clock) = (TestSource::new().batch_limit(1), TestClock::new());
    let mut builder = builder(&clock);
    for name in ["quick", "hangs"] {
        source.set(name, "1");
        builder.add(source.entry(name));
    }
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    cache.invalidate(cache.key::<String>("quick").unwrap()).await.unwrap();
    _ = cache.snapshot().await;
    cache.invalidate(cache.key::<String>("hangs").unwrap()).await.unwrap();
    source.behave(Behaviour::Hang);
    let invocation = invocations.next();
    invocation.handler_begins().await.unwrap();
    let waiting = cache.clone();
    let snapshot = tokio::spawn(async move { drop(waiting.snapshot().await) });
    settle().await;
    let before = source.calls().len();
    // The next invocation begins while the snapshot waits: it was frozen with its fetch.
    clock.freeze(SECOND);
    invocations.next().handler_begins().await.unwrap();
    settle().await;
    assert_eq!(source.calls().split_off(before), [["hangs"]]);
    snapshot.abort();
}
