//! One batch of a memo's keys: fetched, and what came put in its place.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::family::{Design, Family};
use super::known::{Known, Landed};
use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Bounds};
use crate::snapshot::{Failure, Held, Retry, Slot};
use crate::sources::{Answered, Calls, Fetch, FetchError, Fetched};

/// A fetch of some keys.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) began: Stamp,
    pub(super) timeout: Duration,
    pub(super) jitter: f64,
}

impl<K, V> Family<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Fetches one batch.
    pub(super) async fn fetch(self: Arc<Self>, keys: Arc<[K]>, batch: Batch) {
        let _ending = Ending { family: &*self, batch: batch.number };
        // What is revalidated is what was held when it was asked for: it may be displaced meanwhile.
        let held = |key: &K| self.kept.peek(key).and_then(|known| known.slot.held().cloned());
        let asked: Vec<Option<Held>> = keys.iter().map(held).collect();
        let results = self.ask(&keys, &asked, batch).await;
        for ((key, asked), result) in keys.iter().zip(asked).zip(results) {
            let fetched = result.and_then(|fetched| self.hold(asked, fetched, batch));
            self.land(key, fetched, batch);
        }
    }

    /// One result for each key. A panic is the failure of them all.
    async fn ask(
        &self,
        keys: &[K],
        asked: &[Option<Held>],
        batch: Batch,
    ) -> Vec<Result<Fetched<V>, Error>> {
        let answers = &self.design.answers;
        let version = |held: &Option<Held>| held.as_ref().map(|held| held.version.clone());
        let wishes = keys.iter().cloned().zip(asked.iter().map(version)).collect();
        let counted = Counted { family: self, calls: Calls::default() };
        let fetch = async { Arc::clone(answers).fetch(wishes, batch.began).await };
        let fetch = counted.calls.of(AssertUnwindSafe(fetch).catch_unwind());
        let what = answers.describe();
        let failed = |kind, message| {
            keys.iter().map(|_| Err(Error::new(kind, String::clone(&message)))).collect()
        };
        let fetched: Vec<Fetch<V>> = match tokio::time::timeout(batch.timeout, fetch).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(_)) => return failed(ErrorKind::Panic, format!("{what} panicked")),
            Err(_) => {
                let message = format!("{what} did not answer within {:.1?}", batch.timeout);
                return failed(ErrorKind::Timeout, message);
            }
        };
        let missing = format!("{} results for {} keys", fetched.len(), keys.len());
        let missing = || Err(FetchError::new(ErrorKind::Source, missing.clone()));
        let fetched = fetched.into_iter().chain(std::iter::repeat_with(missing));
        let error = |FetchError { kind, cause }| {
            Error::new(kind, format!("{what} failed")).caused_by(cause)
        };
        fetched.take(keys.len()).map(|it| it.map_err(error)).collect()
    }

    /// What is held of a key from now on, of which `asked` was when it was asked for.
    fn hold(&self, asked: Option<Held>, fetched: Fetched<V>, batch: Batch) -> Result<Held, Error> {
        let Batch { number: fetch, began, .. } = batch;
        let lifetime = freshness::lifetime(began, fetched.valid_until);
        let (value, version) = match (fetched.answer, asked) {
            (Answered::Unchanged, Some(held)) => (held.value, held.version),
            (Answered::Unchanged, None) => {
                let message = "it says \"unchanged\", but nothing is held";
                return Err(Error::new(ErrorKind::Source, message));
            }
            (Answered::Current(_, Some(version)), Some(held)) if held.version == version => {
                (held.value, version)
            }
            (Answered::Current(value, version), _) => {
                let numbered = || Version::new(format_args!("fetch {fetch}"));
                (Arc::new(value) as _, version.unwrap_or_else(numbered))
            }
        };
        Ok(Held { value, began, fetch, version, lifetime })
    }

    /// Puts what a fetch brought in its place, and tells those who wait.
    fn land(&self, key: &K, fetched: Result<Held, Error>, batch: Batch) {
        let Design { definition, bound, .. } = &self.design;
        let policy = &definition.policy;
        let weight = |held: &Held| bound.weight(key, Some(&held.value));
        let weighed = fetched.and_then(|held| {
            let weight = catch_unwind(AssertUnwindSafe(|| weight(&held)));
            let panicked = || Error::new(ErrorKind::Panic, "weighing its value panicked");
            weight.map(|weight| (held, weight)).map_err(|_| panicked())
        });
        let mut flights = self.flights();
        let Some(outcome) = flights.land(key, batch.number) else { return };
        let before = self.kept.peek(key);
        let before = before.as_deref();
        let (slot, weight, failures) = match weighed {
            Ok((held, weight)) => {
                self.counts.refreshed();
                (Slot::Ready(held), weight, 0)
            }
            Err(error) => {
                self.counts.failed();
                let failures = before.map_or(0, |before| before.failures).saturating_add(1);
                let held = before.and_then(|before| before.slot.held().cloned());
                let weight = before.map_or_else(|| bound.weight(key, None), |it| it.weight);
                (self.failed(held, error, failures, batch), weight, failures)
            }
        };
        let known = Known::new(slot, weight, policy, batch.jitter).following(before, failures);
        let known = Arc::new(known);
        if self.is_worth_keeping(&known.slot) {
            self.kept.put(key.clone(), Arc::clone(&known));
        } else {
            self.kept.remove(key);
        }
        drop(flights);
        if let Some(Failure { error, .. }) = known.slot.failure() {
            tracing::warn!(memo = %definition.name, %error, "refresh failed");
        }
        outcome.send_replace(Some(Landed { known, began: batch.began }));
    }

    /// The slot of a key whose fetch failed. Its error is kept for as long as the user said, or, if
    /// there is a value to serve meanwhile, until the next attempt.
    fn failed(&self, held: Option<Held>, error: Error, failures: u32, batch: Batch) -> Slot {
        let Design { definition, cache_errors_for, clock, .. } = &self.design;
        let now = clock.now();
        let back_off = Bounds::of(now, freshness::back_off(failures, batch.jitter));
        let servable = held.as_ref().map_or(Bounds::NEVER, |held| held.stale(&definition.policy));
        let kept = Bounds::of(now, *cache_errors_for);
        let retry = if kept.admits(now) { kept } else { back_off.and(servable) };
        let failure =
            Failure { error, ended: now, fetch: batch.number, retry: Retry::After(retry) };
        Slot::Failed(held, Box::new(failure))
    }

    /// Whether any later read can get something of it.
    fn is_worth_keeping(&self, slot: &Slot) -> bool {
        let policy = &self.design.definition.policy;
        let is_served = policy.max_age != Some(Duration::ZERO) || !policy.stale_if_error.is_zero();
        match slot {
            Slot::Failed(None, _) => !self.design.cache_errors_for.is_zero(),
            _ => is_served,
        }
    }
}

/// Counts the calls of a fetch, however it ends.
struct Counted<'a, K, V> {
    family: &'a Family<K, V>,
    calls: Calls,
}

impl<K, V> Drop for Counted<'_, K, V> {
    fn drop(&mut self) {
        self.family.counts.called(self.calls.count());
    }
}

/// The end of a batch, cancelled in the middle included: what it has not brought is put back.
struct Ending<'a, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    family: &'a Family<K, V>,
    batch: u64,
}

impl<K, V> Drop for Ending<'_, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.family.flights().put_back(self.batch);
    }
}
