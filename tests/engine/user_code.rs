//! Code of users' that the refresher comes across: it may panic or take its time, and neither ends
//! nor stalls anything but what it belongs to.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, Fetched, Source, Wanted,
};
use lambda_cache::testing::{Invocations, TestClock, TestSource};
use lambda_cache::{Cache, Error, Key, Mode, from_fn};
use tokio::sync::Semaphore;

use crate::fixture::{MINUTE, builder, pass, settle};

/// Where a user's code waits, in whatever thread it runs, until the test lets it go on.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Waits while the gate is closed. A test that has failed does not keep it waiting for ever.
    fn pass(&self) {
        let (closed, changed) = &*self.0;
        let closed = closed.lock().unwrap();
        let patience = Duration::from_secs(20);
        let waited = changed.wait_timeout_while(closed, patience, |closed| *closed).unwrap();
        drop(waited);
    }

    fn close(&self, closed: bool) {
        *self.0.0.lock().unwrap() = closed;
        self.0.1.notify_all();
    }
}

/// What a user's code does.
#[derive(Clone)]
struct Trouble {
    gate: Gate,
    panics: Arc<AtomicBool>,
    /// A permit for each value that was dropped.
    dropped: Arc<Semaphore>,
}

impl Default for Trouble {
    fn default() -> Self {
        let dropped = Arc::new(Semaphore::new(0));
        Self { gate: Gate::default(), panics: Arc::default(), dropped }
    }
}

impl Trouble {
    fn happens(&self) {
        assert!(!self.panics.load(SeqCst), "as the test said");
        self.gate.pass();
    }
}

/// A value whose `Drop` is trouble.
struct Troublesome(Trouble);

impl Drop for Troublesome {
    fn drop(&mut self) {
        self.0.dropped.add_permits(1);
        self.0.happens();
    }
}

/// A cache with an entry whose value is trouble, and one that is well.
struct World {
    source: TestSource,
    clock: TestClock,
    cache: Cache,
    troublesome: Key<Troublesome>,
    well: Key<String>,
    trouble: Trouble,
}

impl World {
    async fn new() -> Self {
        let (source, clock, trouble) = (TestSource::new(), TestClock::new(), Trouble::default());
        source.set("troublesome", "1");
        source.set("well", "1");
        let mut builder = builder(&clock);
        let made = trouble.clone();
        let troublesome = source.decoded("troublesome", move |_| Ok(Troublesome(made.clone())));
        let troublesome = builder.add(troublesome);
        let well = builder.add(source.entry("well"));
        let cache = builder.spawn().await.unwrap();
        Self { source, clock, cache, troublesome, well, trouble }
    }

    /// The refresher is alive and well: it fetches, it publishes, and it hears of invocations.
    async fn is_well(&self, value: &str) {
        self.source.set("well", value);
        let all = async {
            assert_eq!(*self.cache.refresh(self.well).await.unwrap(), value);
            pass(Invocations::new(&self.cache, &self.clock).next()).await;
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("it is stalled");
    }
}

#[tokio::test]
async fn a_drop_that_panics_ends_nothing() {
    let it = World::new().await;
    it.trouble.panics.store(true, SeqCst);
    for n in 2..6 {
        it.source.set("troublesome", n.to_string());
        it.cache.refresh(it.troublesome).await.unwrap();
        it.is_well(&n.to_string()).await;
    }
    it.cache.invalidate(it.troublesome).await.unwrap();
    it.is_well("6").await;
    it.trouble.panics.store(false, SeqCst);
}

#[tokio::test]
async fn a_drop_that_takes_its_time_delays_nothing() {
    let it = World::new().await;
    it.trouble.gate.close(true);
    it.source.set("troublesome", "2");
    it.cache.refresh(it.troublesome).await.unwrap();
    it.is_well("2").await;
    it.cache.invalidate(it.troublesome).await.unwrap();
    it.is_well("3").await;
    it.trouble.gate.close(false);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_fetched_for_nobody_is_dropped_elsewhere_too() {
    let it = World::new().await;
    it.trouble.panics.store(true, SeqCst);
    it.source.behave(lambda_cache::testing::Behaviour::Hold);
    it.source.set("troublesome", "2");
    let reader = tokio::spawn({
        let (cache, key) = (it.cache.clone(), it.troublesome);
        async move { drop(cache.refresh(key).await) }
    });
    settle().await;
    it.cache.invalidate(it.troublesome).await.unwrap();
    it.source.release();
    reader.abort();
    it.source.behave(lambda_cache::testing::Behaviour::Answer);
    settle().await;
    it.is_well("2").await;
    // What was invalidated, and what was fetched for nobody.
    _ = it.trouble.dropped.acquire_many(2).await.unwrap();
    it.trouble.panics.store(false, SeqCst);
}

/// A source whose requests' `Display` is trouble, and which plans with trouble.
#[derive(Clone)]
struct Words(Trouble);

#[derive(Clone)]
struct Word(Trouble);

impl PartialEq for Word {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Word {}

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.happens();
        f.write_str("a word")
    }
}

impl Source for Words {
    type Request = Word;
    type Payload = ();

    fn plan(&self, due: Vec<Word>) -> Vec<Vec<Word>> {
        self.0.happens();
        vec![due]
    }

    fn fetch(&self, batch: Vec<Wanted<Word>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move { batch.iter().map(|_| Ok(Fetched::current((), None))).collect() })
    }

    fn reset(&self) {
        self.0.happens();
    }
}

impl Declare for Words {
    type Source = Self;

    fn declare(self, connections: &mut Connections) -> Result<Declared<Self>, Error> {
        let request = Word(self.0.clone());
        let source = connections.shared("words", |_| self);
        Ok(Declared { source, request, name: Some("words".to_owned()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_request_whose_display_panics_or_takes_its_time_neither_ends_nor_delays_anything() {
    for panics in [true, false] {
        let (trouble, clock) = (Trouble::default(), TestClock::new());
        let mut builder = builder(&clock);
        let words = builder.add(Entry::new(Words(trouble.clone()), |()| Ok(())));
        let well = builder.add(from_fn("well", async || Ok::<_, Error>("well")));
        let cache = builder.spawn().await.unwrap();
        trouble.panics.store(panics, SeqCst);
        trouble.gate.close(!panics);
        let reader = tokio::spawn({
            let cache = cache.clone();
            async move { cache.refresh(words).await.map(|_| ()) }
        });
        settle().await;
        let read = tokio::time::timeout(Duration::from_secs(10), cache.refresh(well)).await;
        assert_eq!(*read.expect("it is stalled").unwrap(), "well");
        trouble.gate.close(false);
        // A source that cannot plan has its requests fetched one by one.
        reader.await.unwrap().unwrap();
    }
}

/// A memo's key whose `Clone`, `Eq` and `Hash` are trouble, outside of the test's own thread.
struct TroublesomeKey(u8, Trouble);

tokio::task_local! {
    /// Readers are the user's own business.
    static READS: ();
}

impl TroublesomeKey {
    fn happens(&self) {
        if READS.try_with(|()| ()).is_err() {
            self.1.happens();
        }
    }
}

impl Clone for TroublesomeKey {
    fn clone(&self) -> Self {
        self.happens();
        Self(self.0, self.1.clone())
    }
}

impl PartialEq for TroublesomeKey {
    fn eq(&self, other: &Self) -> bool {
        self.happens();
        self.0 == other.0
    }
}

impl Eq for TroublesomeKey {}

impl Hash for TroublesomeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.happens();
        self.0.hash(state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_memos_key_whose_code_panics_or_takes_its_time_neither_ends_nor_delays_anything() {
    for panics in [true, false] {
        let it = World::new().await;
        let memo = it.cache.memo("memo", async |key: TroublesomeKey| Ok::<_, Error>(key.0));
        let memo = memo.max_entries(2).build().unwrap();
        let trouble = Trouble::default();
        let read = |n: u8| {
            let (memo, key) = (memo.clone(), TroublesomeKey(n, trouble.clone()));
            tokio::spawn(READS.scope((), async move { memo.get(key).await.map(|it| *it) }))
        };
        assert_eq!(read(1).await.unwrap().unwrap(), 1);
        trouble.panics.store(panics, SeqCst);
        trouble.gate.close(!panics);
        // Code that takes its time takes a thread of the runtime from everything else.
        let readers: Vec<_> = (2..if panics { 5 } else { 3 }).map(read).collect();
        settle().await;
        it.is_well("2").await;
        trouble.panics.store(false, SeqCst);
        trouble.gate.close(false);
        // What was cancelled at the end of that invocation is fetched in the next one.
        it.is_well("3").await;
        for (n, reader) in readers.into_iter().enumerate() {
            let read = tokio::time::timeout(Duration::from_secs(10), reader).await;
            let read = read.expect("every reader is answered").unwrap();
            assert!(read.is_ok() || panics, "{n}: {read:?}");
        }
        // Afterwards it works as if nothing had been.
        assert_eq!(read(2).await.unwrap().unwrap(), 2);
        it.is_well("4").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_weigher_that_takes_its_time_delays_nothing_but_its_own_value() {
    let it = World::new().await;
    let trouble = Trouble::default();
    let weighs = trouble.clone();
    let memo = it.cache.memo("memo", async |key: u8| Ok::<_, Error>(key));
    let memo = memo
        .max_bytes(1000, move |_, _| {
            weighs.happens();
            1
        })
        .build()
        .unwrap();
    trouble.gate.close(true);
    let reader = tokio::spawn({
        let memo = memo.clone();
        async move { memo.get(1).await.map(|it| *it) }
    });
    settle().await;
    it.is_well("2").await;
    trouble.gate.close(false);
    // What was cancelled at the end of that invocation is fetched in the next one.
    it.is_well("3").await;
    assert_eq!(reader.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn what_a_memo_displaces_is_dropped_where_it_does_no_harm() {
    for panics in [true, false] {
        let it = World::new().await;
        let trouble = Trouble::default();
        let made = trouble.clone();
        let memo = it.cache.memo("memo", move |key: u8| {
            let value = Troublesome(made.clone());
            async move { Ok::<_, Error>((key, value)) }
        });
        let memo = memo.max_entries(1).build().unwrap();
        memo.get(1).await.unwrap();
        trouble.panics.store(panics, SeqCst);
        trouble.gate.close(!panics);
        for key in 2..5 {
            let value = memo.get(key);
            let value = tokio::time::timeout(Duration::from_secs(10), value).await;
            assert_eq!(value.expect("it is stalled").unwrap().0, key);
        }
        it.clock.advance(MINUTE);
        assert_eq!(memo.get(4).await.unwrap().0, 4);
        it.is_well("2").await;
        drop(memo);
        it.is_well("3").await;
        trouble.panics.store(false, SeqCst);
        trouble.gate.close(false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_not_taken_before_a_decoder_has_ended_however_long_it_takes() {
    let (source, clock, gate) = (TestSource::new(), TestClock::new(), Gate::default());
    source.set("x", "1");
    let mut builder = builder(&clock).mode(Mode::SnapStart);
    let well = builder.add(source.entry("x").name("well"));
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let (ended, passed) = (Arc::new(AtomicBool::new(false)), gate.clone());
    let ends = Arc::clone(&ended);
    let x = builder.add(source.decoded("x", move |text| {
        if text == "2" {
            _ = begun.send(());
            passed.pass();
            ends.store(true, SeqCst);
        }
        Ok(())
    }));
    let cache = builder.spawn().await.unwrap();
    source.set("x", "2");
    gate.close(true);
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { drop(cache.refresh(x).await) }
    });
    begins.recv().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    let snapshot = tokio::spawn(async move {
        invocations.before_snapshot().await.unwrap();
        ended.load(SeqCst)
    });
    // Many times as long as the end of other aborted tasks is waited for, and the refresher has seen it.
    for _ in 0..20 {
        clock.advance(MINUTE);
        cache.invalidate(well).await.unwrap();
    }
    gate.close(false);
    assert!(snapshot.await.unwrap(), "it was taken while the decoder ran");
    reader.abort();
}
