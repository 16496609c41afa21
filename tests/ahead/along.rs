//! What a call takes along that is made for something else.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestSource};
use lambda_cache::{Ahead, Builder, Cache, Cause, ErrorKind, Key, Mode};

const SECOND: Duration = Duration::from_secs(1);
const MAX_AGES: [u32; 7] = [30, 60, 90, 120, 180, 240, 300];

struct World {
    source: TestSource,
    clock: TestClock,
    cache: Cache,
    keys: Vec<Key<String>>,
    invocations: Invocations,
}

impl World {
    /// Entries with these max ages, in seconds, of one source, which takes so many in a call.
    async fn new(ages: &[u32], limit: usize, mode: Mode) -> Self {
        let (source, clock) = (TestSource::new().batch_limit(limit), TestClock::new());
        let mut builder = Builder::new().clock(clock.clone()).mode(mode).seed(1);
        let keys = ages.iter().enumerate().map(|(number, &age)| {
            source.set(number.to_string(), "1");
            builder.add(source.entry(number.to_string()).max_age(age * SECOND))
        });
        let keys = keys.collect();
        let cache = builder.spawn().await.expect("the source answers");
        let invocations = Invocations::new(&cache, &clock);
        Self { source, clock, cache, keys, invocations }
    }

    async fn invoke(&self, gap: Duration) {
        self.clock.freeze(gap);
        let invocation = self.invocations.next();
        invocation.handler_begins().await.expect("a refresher");
        let snapshot = async {
            let snapshot = self.cache.snapshot().await;
            for &key in &self.keys {
                _ = snapshot.get(key);
            }
            invocation.handler_ends().await.expect("a refresher");
        };
        let (told, ()) = tokio::join!(invocation.invoke(), snapshot);
        told.expect("a refresher");
    }

    /// What was asked for in each call since so many.
    fn calls_since(&self, before: usize) -> Vec<Vec<String>> {
        self.source.calls().split_off(before)
    }
}

/// How many calls an hour of steady traffic takes, with an invocation each second.
async fn calls_an_hour(limit: usize) -> usize {
    let world = World::new(&MAX_AGES, limit, Mode::OnDemand).await;
    for _ in 0..3600 {
        world.invoke(SECOND).await;
    }
    world.source.calls().len() - 1
}

#[tokio::test(start_paused = true)]
async fn entries_with_different_max_ages_share_calls() {
    // At three quarters of each max age, in calls of their own, it was 418.
    let calls = calls_an_hour(10).await;
    assert!(calls <= 418 * 45 / 100, "{calls}");
    // One by one they cannot.
    assert!(calls_an_hour(1).await > 300);
}

#[tokio::test(start_paused = true)]
async fn timers_share_calls_as_well() {
    let world = World::new(&MAX_AGES, 10, Mode::Elsewhere).await;
    tokio::time::sleep(3600 * SECOND).await;
    let calls = world.source.calls().len() - 1;
    assert!(calls <= 418 * 45 / 100, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn what_lasts_until_the_next_call_is_not_taken_along() {
    let world = World::new(&[60, 300], 10, Mode::OnDemand).await;
    world.invoke(50 * SECOND).await;
    assert_eq!(world.calls_since(1), [["0"]]);
    // Both are due: one has expired, and the other would have after another such gap.
    world.invoke(180 * SECOND).await;
    assert_eq!(world.calls_since(2), [["0", "1"]]);
    let cause = |name: &str| world.cache.status().entry(name).unwrap().cause;
    assert_eq!((cause("0"), cause("1")), (Some(Cause::Expired), Some(Cause::Ahead)));
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_before_the_next_call_is_taken_along() {
    let world = World::new(&[60, 100], 10, Mode::OnDemand).await;
    world.invoke(40 * SECOND).await;
    assert_eq!(world.calls_since(1), [["0", "1"]]);
    assert_eq!(world.cache.status().entry("1").unwrap().cause, Some(Cause::Along));
}

#[tokio::test(start_paused = true)]
async fn no_further_call_is_made_for_what_might_be_taken_along() {
    let world = World::new(&[60, 60, 100, 100, 100], 3, Mode::OnDemand).await;
    world.invoke(40 * SECOND).await;
    let calls = world.calls_since(2);
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].len(), 3, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn who_sets_a_soft_bound_or_would_rather_wait_is_not_taken_along() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
    for name in ["leads", "fixed", "never", "forever"] {
        source.set(name, "1");
    }
    builder.add(source.entry("leads"));
    builder.add(source.entry("fixed").max_age(100 * SECOND).refresh_after(90 * SECOND));
    builder.add(source.entry("never").max_age(100 * SECOND).ahead(Ahead::Never));
    builder.add(source.entry("forever").never_expires());
    let cache = builder.spawn().await.unwrap();
    clock.freeze(40 * SECOND);
    Invocations::new(&cache, &clock).next().invoke().await.unwrap();
    assert_eq!(source.calls().split_off(1), [["leads"]]);
}

#[tokio::test(start_paused = true)]
async fn reads_and_further_attempts_take_nothing_along() {
    let world = World::new(&[60, 100], 10, Mode::OnDemand).await;
    world.clock.freeze(40 * SECOND);
    world.cache.refresh(world.keys[0]).await.unwrap();
    assert_eq!(world.calls_since(1), [["0"]]);
    world.cache.get_within(world.keys[0], Duration::ZERO).await.unwrap();
    assert_eq!(world.calls_since(2), [["0"]]);

    world.source.behave(Behaviour::Fail(ErrorKind::Source));
    world.cache.refresh(world.keys[0]).await.unwrap_err();
    world.source.behave(Behaviour::Answer);
    world.invoke(5 * SECOND).await;
    assert_eq!(world.calls_since(4), [["0"]]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_refreshed_by_its_own_horizon_not_by_that_of_another() {
    let world = World::new(&[60, 600], 1, Mode::OnDemand).await;
    world.invoke(10 * SECOND).await;
    world.invoke(10 * SECOND).await;
    assert!(world.calls_since(2).is_empty(), "{:?}", world.source.calls());
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_beside_what_has_expired_shares_the_calls_after_it() {
    let world = World::new(&[50, 60, 60, 60, 60], 3, Mode::OnDemand).await;
    world.invoke(50 * SECOND).await;
    let calls = world.calls_since(2);
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2], "{calls:?}");
    assert!(calls[0].contains(&"0".to_owned()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn what_expires_first_is_taken_along_first() {
    for (ages, first) in [([60, 100, 90], "2"), ([60, 90, 100], "1")] {
        let world = World::new(&ages, 2, Mode::OnDemand).await;
        world.invoke(40 * SECOND).await;
        assert_eq!(world.calls_since(2), [["0", first]]);
    }
}
