//! Which of a memo's keys are being fetched, or are to be, and who waits for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::known::Landed;
use crate::clock::Stamp;
use crate::freshness::Bounds;

/// What becomes of a fetch: nothing yet, or this.
pub(super) type Outcome = Option<Landed>;

/// Where so many keys wait to be started, none is added that nobody waits for.
const MOST_AHEAD: usize = 1024;

pub(super) struct Flights<K> {
    of: HashMap<K, Flight>,
    /// The keys whose flights are `Queued`, in the order in which they were asked for.
    queue: Vec<K>,
    /// The keys of each batch in flight.
    batches: HashMap<u64, Arc<[K]>>,
}

/// The fetch of one key.
struct Flight {
    stage: Stage,
    /// Its receivers are who waits.
    outcome: watch::Sender<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The refresher has not started it yet, or has had to cancel it.
    Queued,
    /// It is being started.
    Taken,
    Running {
        batch: u64,
        began: Stamp,
    },
}

impl<K: Clone + Eq + Hash> Flights<K> {
    pub(super) fn new() -> Self {
        Self { of: HashMap::new(), queue: Vec::new(), batches: HashMap::new() }
    }

    /// Waits for a key's fetch: the one in flight, if it was not frozen there, or a new one.
    pub(super) fn join(
        &mut self,
        key: &K,
        now: Stamp,
        patience: Duration,
    ) -> watch::Receiver<Outcome> {
        if let Some(flight) = self.of.get_mut(key) {
            let wait = flight.outcome.subscribe();
            if flight.began().is_some_and(|began| !Bounds::of(began, patience).admits(now)) {
                self.put_back_key(key);
            }
            return wait;
        }
        let (outcome, wait) = watch::channel(None);
        self.begin(key, outcome);
        wait
    }

    /// A reader of a key has gone: what nobody waits for any more is not started.
    pub(super) fn leave(&mut self, key: &K) {
        if self.of.get(key).is_some_and(|it| it.stage == Stage::Queued && !it.is_awaited()) {
            self.remove(key);
        }
    }

    /// Has a key fetched that nobody waits for; says whether that is new.
    pub(super) fn ahead(&mut self, key: &K) -> bool {
        let new = self.queue.len() < MOST_AHEAD && !self.of.contains_key(key);
        if new {
            self.begin(key, watch::Sender::new(None));
        }
        new
    }

    /// The keys to be started now: those that somebody waits for and, if there is time `ahead` of
    /// need, the others too. They then must be worth it still, or they are forgotten.
    pub(super) fn take(&mut self, ahead: bool, is_worth_it: impl Fn(&K) -> bool) -> Vec<K> {
        let mut taken = Vec::new();
        for key in std::mem::take(&mut self.queue) {
            let Some(flight) = self.of.get_mut(&key) else { continue };
            if flight.is_awaited() || ahead && is_worth_it(&key) {
                flight.stage = Stage::Taken;
                taken.push(key);
            } else if ahead {
                self.of.remove(&key);
            } else {
                self.queue.push(key);
            }
        }
        taken
    }

    pub(super) fn start(&mut self, keys: Arc<[K]>, batch: u64, began: Stamp) {
        for key in &*keys {
            // One that was put back while it was being started has to wait its turn again.
            if let Some(flight) = self.of.get_mut(key).filter(|it| it.stage == Stage::Taken) {
                flight.stage = Stage::Running { batch, began };
            }
        }
        self.batches.insert(batch, keys);
    }

    /// Ends a key's fetch, if `batch` is the one that is waited for.
    pub(super) fn land(&mut self, key: &K, batch: u64) -> Option<watch::Sender<Outcome>> {
        self.of.get(key).filter(|flight| flight.batch() == Some(batch))?;
        self.of.remove(key).map(|flight| flight.outcome)
    }

    pub(super) fn is_wanted(&self, batch: u64) -> bool {
        self.of_batch(batch).any(|key| self.of.get(key).is_some_and(Flight::is_awaited))
    }

    /// Whatever a batch brings is to be discarded: what is waited for is queued again. Gives the
    /// keys that were in flight.
    pub(super) fn put_back(&mut self, batch: u64) -> Vec<K> {
        let keys: Vec<K> = self.of_batch(batch).cloned().collect();
        self.batches.remove(&batch);
        keys.iter().for_each(|key| _ = self.put_back_key(key));
        keys
    }

    /// The same for one key; says whether it is waited for.
    pub(super) fn put_back_key(&mut self, key: &K) -> bool {
        let Some(flight) = self.of.get_mut(key) else { return false };
        if !flight.is_awaited() {
            self.remove(key);
            return false;
        }
        if flight.stage != Stage::Queued {
            flight.stage = Stage::Queued;
            self.queue.push(key.clone());
        }
        true
    }

    fn begin(&mut self, key: &K, outcome: watch::Sender<Outcome>) {
        self.of.insert(key.clone(), Flight { stage: Stage::Queued, outcome });
        self.queue.push(key.clone());
    }

    fn remove(&mut self, key: &K) {
        if self.of.remove(key).is_some_and(|flight| flight.stage == Stage::Queued) {
            self.queue.retain(|queued| queued != key);
        }
    }

    /// The keys that wait for a batch.
    fn of_batch(&self, batch: u64) -> impl Iterator<Item = &K> {
        let keys = self.batches.get(&batch).into_iter().flat_map(|keys| keys.iter());
        keys.filter(move |&key| self.of.get(key).is_some_and(|it| it.batch() == Some(batch)))
    }
}

impl Flight {
    fn batch(&self) -> Option<u64> {
        match self.stage {
            Stage::Running { batch, .. } => Some(batch),
            Stage::Queued | Stage::Taken => None,
        }
    }

    fn began(&self) -> Option<Stamp> {
        match self.stage {
            Stage::Running { began, .. } => Some(began),
            Stage::Queued | Stage::Taken => None,
        }
    }

    fn is_awaited(&self) -> bool {
        self.outcome.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::freshness::Policy;
    use crate::memo::known::Known;
    use crate::snapshot::{Failure, Retry, Slot};

    const NOW: Stamp = Stamp { monotonic: 0, wall: 0 };
    const PATIENCE: Duration = Duration::from_secs(6);

    fn landed() -> Landed {
        let error = Error::new(ErrorKind::Source, "as the test said");
        let retry = Retry::After(Bounds::NEVER);
        let failure = Failure { error, ended: NOW, fetch: 1, retry };
        let slot = Slot::Failed(None, Box::new(failure));
        let known = Arc::new(Known::new(slot, 1, &Policy::default(), 0.0));
        Landed { known, began: NOW }
    }

    fn check(flights: &Flights<u8>) {
        let mut queue = flights.queue.clone();
        queue.sort_unstable();
        let queued = |(key, it): (&u8, &Flight)| (it.stage == Stage::Queued).then_some(*key);
        let mut queued: Vec<u8> = flights.of.iter().filter_map(queued).collect();
        queued.sort_unstable();
        assert_eq!(queue, queued, "the queue is what is queued, each once");
        for flight in flights.of.values() {
            let batch = flight.batch();
            assert!(batch.is_none_or(|batch| flights.batches.contains_key(&batch)));
        }
    }

    #[test]
    fn whatever_happens_every_reader_is_answered_and_nothing_is_left_behind() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut flights = Flights::new();
            let mut readers: Vec<(u8, watch::Receiver<Outcome>)> = Vec::new();
            let (mut number, mut running) = (0, Vec::new());
            for step in 0..200 {
                let (key, last) = (random.u8(0..6), step >= 150);
                let now = Stamp { monotonic: 0, wall: i64::from(step / 50) * 10_000_000_000 };
                match random.u8(if last { 5..8 } else { 0..8 }) {
                    0 | 1 => readers.push((key, flights.join(&key, now, PATIENCE))),
                    2 => _ = flights.ahead(&key),
                    3 if !readers.is_empty() => {
                        let (key, reader) = readers.swap_remove(random.usize(..readers.len()));
                        drop(reader);
                        flights.leave(&key);
                    }
                    4 => _ = flights.put_back_key(&key),
                    5 => {
                        let taken = flights.take(last || random.bool(), |key| key % 2 == 0);
                        for keys in taken.chunks(2) {
                            number += 1;
                            flights.start(Arc::from(keys), number, now);
                            running.push((number, keys.to_vec()));
                        }
                    }
                    6 if !running.is_empty() => {
                        let (batch, keys) = running.swap_remove(random.usize(..running.len()));
                        for key in keys {
                            if let Some(outcome) = flights.land(&key, batch) {
                                outcome.send_replace(Some(landed()));
                            }
                        }
                        flights.put_back(batch);
                    }
                    7 if !running.is_empty() && !last => {
                        _ = flights.put_back(running[random.usize(..running.len())].0);
                    }
                    _ => {}
                }
                check(&flights);
            }
            assert!(readers.iter().all(|(_, it)| it.borrow().is_some()), "seed {seed}");
            assert!(flights.of.is_empty() && flights.batches.is_empty(), "seed {seed}");
        }
    }
}
