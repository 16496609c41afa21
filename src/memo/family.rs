//! All keys of one memo: what is held of each, and their fetches, which the refresher runs.
//!
//! A key's slot is judged as an entry's is, so the promise is the same. The lock is held only to
//! change who waits for what, never while anything is fetched, decoded or waited for.

use std::any::TypeId;
use std::collections::HashSet;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use super::answers::{Answers, Wish};
use super::counts::Counts;
use super::flights::{Flights, Outcome};
use super::kept::{Bound, Kept, Known};
use crate::clock::{Clocks, Stamp};
use crate::entry::{Definition, Version};
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Bounds};
use crate::refresher::{Keyed, Launch};
use crate::snapshot::{AnyValue, Failure, Held, Read, Retry, Slot, Value, Verdict};
use crate::sources::{Answered, Calls, Fetch, FetchError};

/// What a family of keys is, as declared.
pub(super) struct Design<K, V> {
    pub(super) definition: Definition,
    pub(super) bound: Bound<K>,
    /// How long an error is kept for a key that has nothing to serve.
    pub(super) cache_errors_for: Duration,
    pub(super) patience: Duration,
    pub(super) clock: Clocks,
    pub(super) answers: Arc<dyn Answers<K, V>>,
}

pub(super) struct Family<K, V> {
    design: Design<K, V>,
    kept: Kept<K>,
    flights: Mutex<Flights<K>>,
    pub(super) counts: Counts,
}

/// What a read finds.
pub(super) struct Found<V> {
    pub(super) answer: Result<Value<V>, Error>,
    /// Whether it should be fetched ahead of need.
    pub(super) due: bool,
}

impl<K, V> Family<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new(design: Design<K, V>) -> Self {
        let kept = Kept::new(design.bound.clone());
        let (flights, counts) = (Mutex::new(Flights::new()), Counts::default());
        Self { design, kept, flights, counts }
    }

    pub(super) fn design(&self) -> &Design<K, V> {
        &self.design
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// What a read gets of what is held.
    pub(super) fn look(&self, key: &K, read: Read) -> Option<Found<V>> {
        self.judge(&self.kept.read(key)?.slot, read)
    }

    /// What a read gets of a slot.
    pub(super) fn judge(&self, slot: &Slot, read: Read) -> Option<Found<V>> {
        let Design { definition, patience, clock, .. } = &self.design;
        let now = clock.now();
        let (held, stale) = match slot.verdict(definition, read, now, *patience) {
            Verdict::Serve(held) => (held, false),
            Verdict::ServeStale(held) => (held, true),
            Verdict::Refuse(failure) => {
                let answer = Err(slot.error(definition, &failure.error, now));
                return Some(Found { answer, due: false });
            }
            Verdict::Unread | Verdict::Wait => return None,
        };
        let Some(value) = Value::new(held, &definition.policy, now, stale) else {
            unreachable!("a memo's values are of its value type");
        };
        // Keys that were fetched together have one jitter, so that they stay together.
        let jitter = fastrand::Rng::with_seed(held.fetch).f64();
        let backs_off = slot.failure().is_some_and(|failure| failure.backs_off(now));
        let due = !backs_off && !held.due(&definition.policy, jitter).admits(now);
        Some(Found { answer: Ok(value), due })
    }

    /// Joins the fetch of a key, unless what is held will do by now.
    pub(super) fn join(&self, key: &K, read: Read) -> Result<Found<V>, watch::Receiver<Outcome>> {
        let mut flights = self.flights();
        // What has landed since the last look is in place before its flight is gone.
        self.look(key, read).ok_or_else(|| {
            let now = self.design.clock.now();
            flights.join(key, now, self.design.patience)
        })
    }

    /// Has a key fetched ahead of need; says whether the refresher has to be told.
    pub(super) fn ahead(&self, key: &K) -> bool {
        self.flights().ahead(key, self.design.clock.now())
    }

    /// Drops what is held of a key; says whether the refresher has to be told.
    pub(super) fn invalidate(&self, key: &K) -> bool {
        let mut flights = self.flights();
        self.kept.remove(key);
        flights.put_back_key(key)
    }

    fn flights(&self) -> MutexGuard<'_, Flights<K>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches of keys as their source would have them. What it leaves out, or all if its code
    /// panics, goes one by one.
    fn plan(&self, keys: Vec<K>) -> Vec<Vec<K>> {
        let mut left: HashSet<K> = keys.iter().cloned().collect();
        let plan = catch_unwind(AssertUnwindSafe(|| self.design.answers.plan(keys)));
        let mut batches = plan.unwrap_or_default();
        batches.iter_mut().for_each(|batch| batch.retain(|key| left.remove(key)));
        batches.retain(|batch| !batch.is_empty());
        batches.extend(left.into_iter().map(|key| vec![key]));
        batches
    }

    /// Fetches one batch. A panic in it is the failure of its keys.
    async fn fetch(self: Arc<Self>, keys: Vec<K>, batch: u64, began: Stamp, timeout: Duration) {
        let landing = Landing { family: Arc::clone(&self), batch, calls: Calls::default() };
        let held = |key: &K| self.kept.peek(key).and_then(|known| version(&known));
        let wishes: Vec<Wish<K>> = keys.iter().map(|key| (key.clone(), held(key))).collect();
        let answers = &self.design.answers;
        let fetch = async { Arc::clone(answers).fetch(wishes, began).await };
        let fetch = landing.calls.of(AssertUnwindSafe(fetch).catch_unwind());
        let error = |kind, message: String| Error::new(kind, message);
        let what = answers.describe();
        let results: Vec<Result<Fetch<V>, Error>> = match tokio::time::timeout(timeout, fetch).await
        {
            Ok(Ok(fetched)) => fetched.into_iter().map(Ok).collect(),
            Ok(Err(_)) => {
                let error = error(ErrorKind::Panic, format!("{what} panicked"));
                keys.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => {
                let message = format!("{what} did not answer within {timeout:.1?}");
                let error = error(ErrorKind::Timeout, message);
                keys.iter().map(|_| Err(error.clone())).collect()
            }
        };
        let missing = || {
            let cause = format!("{} results for {} keys", results.len(), keys.len());
            Err(FetchError::new(ErrorKind::Source, cause))
        };
        let missing: Vec<_> = (results.len()..keys.len()).map(|_| Ok(missing())).collect();
        let results = results.into_iter().chain(missing);
        for (key, result) in keys.into_iter().zip(results) {
            let fetched = result.and_then(|fetched| {
                fetched.map_err(|FetchError { kind, cause }| {
                    Error::new(kind, format!("{what} failed")).caused_by(cause)
                })
            });
            self.land(key, batch, began, fetched);
        }
    }

    /// Puts what a fetch brought in its place, and tells those who wait.
    fn land(
        &self,
        key: K,
        batch: u64,
        began: Stamp,
        fetched: Result<crate::sources::Fetched<V>, Error>,
    ) {
        let mut flights = self.flights();
        let Some(outcome) = flights.land(&key, batch) else { return };
        let known = self.kept.peek(&key);
        let held = known.as_ref().and_then(|known| known.slot.held());
        let (slot, failures) = match fetched {
            Ok(fetched) => {
                let lifetime = freshness::lifetime(began, fetched.valid_until);
                match (fetched.answer, held) {
                    (Answered::Unchanged, Some(held)) => {
                        (Slot::Ready(Held { began, fetch: batch, lifetime, ..held.clone() }), 0)
                    }
                    (Answered::Current(_, Some(version)), Some(held))
                        if held.version == version =>
                    {
                        (Slot::Ready(Held { began, fetch: batch, lifetime, ..held.clone() }), 0)
                    }
                    (Answered::Current(value, version), _) => {
                        let version =
                            version.unwrap_or_else(|| Version::new(format_args!("fetch {batch}")));
                        let value: AnyValue = Arc::new(value);
                        (Slot::Ready(Held { value, began, fetch: batch, version, lifetime }), 0)
                    }
                    (Answered::Unchanged, None) => {
                        // It has been evicted or invalidated since it was asked for.
                        let message = "it was said to be unchanged, but is held no more";
                        let error = Error::new(ErrorKind::Source, message);
                        (self.failed(None, error, batch, 1), 1)
                    }
                }
            }
            Err(error) => {
                let failures = known.as_ref().map_or(0, |known| known.failures).saturating_add(1);
                (self.failed(held, error, batch, failures), failures)
            }
        };
        match &slot {
            Slot::Failed(..) => self.counts.failed(),
            _ => self.counts.refreshed(),
        }
        let keep = match &slot {
            Slot::Failed(None, _) => !self.design.cache_errors_for.is_zero(),
            Slot::Ready(_) => self.design.definition.policy.max_age != Some(Duration::ZERO),
            _ => true,
        };
        if keep {
            self.kept.put(key, slot.clone(), failures);
        } else {
            self.kept.remove(&key);
        }
        outcome.send_replace(Some(Arc::new(slot)));
    }

    /// The slot of a key whose fetch failed. Its error is kept for as long as the user said, or, if
    /// there is a value to serve meanwhile, until the next attempt.
    fn failed(&self, held: Option<&Held>, error: Error, batch: u64, failures: u32) -> Slot {
        let Design { definition, cache_errors_for, clock, .. } = &self.design;
        let (now, policy) = (clock.now(), &definition.policy);
        tracing::warn!(memo = %definition.name, %error, "refresh failed");
        let jitter = fastrand::Rng::with_seed(batch).f64();
        let back_off = Bounds::of(now, freshness::back_off(failures, jitter));
        let servable = held.map_or(Bounds::NEVER, |held| held.stale(policy));
        let kept = Bounds::of(now, *cache_errors_for);
        let retry = if kept.admits(now) { kept } else { back_off.and(servable) };
        let failure = Failure { error, ended: now, fetch: batch, retry: Retry::After(retry) };
        Slot::Failed(held.cloned(), Box::new(failure))
    }
}

fn version(known: &Known) -> Option<Version> {
    known.slot.held().map(|held| held.version.clone())
}

/// What a batch leaves behind however it ends, cancelled in the middle included.
struct Landing<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    family: Arc<Family<K, V>>,
    batch: u64,
    calls: Calls,
}

impl<K, V> Drop for Landing<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.family.counts.called(self.calls.count());
        self.family.put_back(self.batch);
    }
}

impl<K, V> Keyed for Family<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn launch(self: Arc<Self>, launch: &mut Launch<'_>) {
        let wanted = self.flights().wanted();
        if wanted.is_empty() {
            return;
        }
        for keys in self.plan(wanted) {
            let (batch, began) = ((launch.number)(), launch.now);
            self.flights().start(&keys, batch, began);
            let fetch = Arc::clone(&self).fetch(keys, batch, began, launch.timeout);
            launch.batches.push((batch, Box::pin(fetch)));
        }
    }

    fn is_wanted(&self, batch: u64) -> bool {
        self.flights().is_wanted(batch)
    }

    fn put_back(&self, batch: u64) {
        self.flights().put_back(Some(batch));
    }

    fn cancelled(&self, now: Stamp) {
        self.flights().cancelled(now);
    }

    fn age_by_witness(&self, witness: i64, now: Stamp) {
        let policy = &self.design.definition.policy;
        self.kept.age(now, |slot, aged| slot.aged_by_witness(policy, witness, aged, now));
    }

    fn clear(&self) {
        let mut flights = self.flights();
        self.kept.clear();
        flights.put_back(None);
    }

    fn reset(&self) {
        // A source that cannot connect anew says so at its next fetch.
        _ = catch_unwind(AssertUnwindSafe(|| self.design.answers.reset()));
    }
}

/// A family's definition: that of an entry whose requests are its keys.
pub(super) fn definition<V: 'static>(
    options: crate::entry::Options,
    source: String,
) -> Result<Definition, Error> {
    options.check(None, (0, source), TypeId::of::<V>())
}
