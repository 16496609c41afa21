//! A memo of numbered answers, and a record of when each was asked for: each read is checked against
//! that, and not against what the memo says of itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Builder, Memo, Mode};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fixture::SECOND;

const TIMEOUT: Duration = Duration::from_secs(5);
/// What was asked for longer ago has been frozen, even if the reader waited for it.
const PATIENCE: Duration = Duration::from_secs(6);

/// How fetches behave that begin from now on.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    After(Duration),
    /// Until [`World::release`].
    Held,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) memo: Memo<u8, usize>,
    pub(crate) invocations: Arc<Invocations>,
    max_age: Duration,
    stale: Duration,
    record: Arc<Record>,
}

struct Record {
    clock: TestClock,
    /// Orders what happens at the same instant.
    events: AtomicU64,
    /// When each answer was asked for.
    asked: Mutex<Vec<Event>>,
    /// When each key was last invalidated.
    invalidated: Mutex<[Option<Event>; 8]>,
    behaviour: Mutex<(Behaviour, bool)>,
    releases: watch::Sender<()>,
    in_flight: AtomicUsize,
}

/// An instant in true time, which no clock of the environment has to see.
#[derive(Clone, Copy)]
struct Event {
    number: u64,
    at: SystemTime,
}

impl Record {
    fn event(&self) -> Event {
        Event { number: self.events.fetch_add(1, Ordering::Relaxed), at: self.clock.true_now() }
    }

    async fn answer(self: Arc<Self>) -> Result<usize, std::io::Error> {
        let _under_way = UnderWay::begin(&self);
        let mut releases = self.releases.subscribe();
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(self.event());
            asked.len() - 1
        };
        let (behaviour, fails) = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::After(delay) => tokio::time::sleep(delay).await,
            Behaviour::Held => _ = releases.changed().await,
        }
        if fails { Err(std::io::Error::other("away")) } else { Ok(number) }
    }
}

struct UnderWay(Arc<Record>);

impl UnderWay {
    fn begin(record: &Arc<Record>) -> Self {
        record.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(record))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl World {
    pub(crate) async fn new(max_age: Duration, stale: Duration, seed: u64) -> Self {
        let clock = TestClock::new();
        let builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(seed);
        let cache = builder.operation_timeout(TIMEOUT).spawn().await.unwrap();
        let record = Arc::new(Record {
            clock: clock.clone(),
            events: AtomicU64::new(0),
            asked: Mutex::default(),
            invalidated: Mutex::default(),
            behaviour: Mutex::new((Behaviour::After(Duration::ZERO), false)),
            releases: watch::Sender::new(()),
            in_flight: AtomicUsize::new(0),
        });
        let answers = Arc::clone(&record);
        let memo = cache.memo("numbers", move |_| Arc::clone(&answers).answer());
        let memo = memo.max_entries(3).max_age(max_age).stale_if_error(stale).build().unwrap();
        let invocations = Arc::new(Invocations::new(&cache, &clock));
        Self { clock, memo, invocations, max_age, stale, record }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour, fails: bool) {
        *self.record.behaviour.lock().unwrap() = (behaviour, fails);
    }

    pub(crate) fn release(&self) {
        self.record.releases.send_replace(());
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.record.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) async fn invalidate(&self, key: u8) {
        self.memo.invalidate(key).await.unwrap();
        self.record.invalidated.lock().unwrap()[usize::from(key)] = Some(self.record.event());
    }

    /// A reader in a task of its own, which ends in a panic if it gets what it must not.
    pub(crate) fn reads(&self, key: u8, forced: bool, history: &str) -> JoinHandle<()> {
        let (world, history) = (self.clone(), history.to_owned());
        tokio::spawn(async move {
            let began = world.record.event();
            let invalidated = world.record.invalidated.lock().unwrap()[usize::from(key)];
            let value = match forced {
                true => world.memo.refresh(key).await,
                false => world.memo.get(key).await,
            };
            let Ok(value) = value else { return };
            let asked = world.record.asked.lock().unwrap()[*value];
            let age = world.clock.true_now().duration_since(asked.at).unwrap();
            let own = asked.number > began.number && age < world.max_age.max(PATIENCE);
            let fresh = age < world.max_age && !forced;
            let stale = value.is_stale() && age < world.max_age + world.stale && !forced;
            assert!(own || fresh || stale, "{history}: {age:?} old, forced: {forced}");
            assert!(
                invalidated.is_none_or(|it| asked.number > it.number),
                "{history}: asked for before it was invalidated"
            );
        })
    }

    /// Ends what is left in an invocation of its own, in which all is well.
    pub(crate) async fn end(self, readers: Vec<JoinHandle<()>>, history: &str) {
        self.behave(Behaviour::After(Duration::ZERO), false);
        self.release();
        self.invocations.next().handler_begins().await.unwrap();
        for reader in readers {
            let end = tokio::time::timeout(60 * SECOND, reader).await;
            end.unwrap_or_else(|_| panic!("{history}: a reader waits for ever")).unwrap();
        }
    }
}
