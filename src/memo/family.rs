//! All keys of one memo: what is held of each, and who waits for which.
//!
//! A key's slot is judged as an entry's is, so the promise is the same. The lock is held to change
//! who waits for what and what is kept, never while anything is fetched, decoded, weighed or waited
//! for. Reads of what is kept do not take it.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::answers::Answers;
use super::counts::Counts;
use super::flights::{Flights, Outcome};
use super::kept::{Bound, Kept};
use super::known::{Known, Landed};
use crate::clock::Clocks;
use crate::entry::Definition;
use crate::error::Error;
use crate::freshness::Bounds;
use crate::snapshot::{Read, ReadKind, Value, Verdict};

/// What a family of keys is, as declared.
pub(super) struct Design<K, V> {
    pub(super) definition: Definition,
    pub(super) bound: Bound<K>,
    /// How long an error is kept.
    pub(super) cache_errors_for: Duration,
    pub(super) patience: Duration,
    pub(super) clock: Clocks,
    pub(super) answers: Arc<dyn Answers<K, V>>,
}

pub(super) struct Family<K, V> {
    pub(super) design: Design<K, V>,
    pub(super) kept: Kept<K>,
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
    pub(super) fn shared(design: Design<K, V>) -> Arc<Self> {
        let kept = Kept::new(&design.bound);
        let (flights, counts) = (Mutex::new(Flights::new()), Counts::default());
        Arc::new(Self { design, kept, flights, counts })
    }

    /// What a read gets of what is held.
    #[inline]
    pub(super) fn look(&self, key: &K, read: Read) -> Option<Found<V>> {
        self.judge(&*self.kept.read(key)?, read)
    }

    /// What a read gets of what came of the fetch that it waited for. That this failed is an answer
    /// to everybody who waited, unless a freeze has held it up.
    pub(super) fn accept(&self, landed: &Landed, read: Read) -> Option<Found<V>> {
        let Design { patience, clock, .. } = &self.design;
        let own = |fetch: u64| Read { after: read.after.min(fetch.saturating_sub(1)), ..read };
        let read = match landed.known.slot.failure() {
            Some(failure)
                if read.kind != ReadKind::Forced
                    && Bounds::of(landed.began, *patience).admits(clock.now()) =>
            {
                own(failure.fetch)
            }
            _ => read,
        };
        self.judge(&landed.known, read)
    }

    #[inline]
    fn judge(&self, known: &Known, read: Read) -> Option<Found<V>> {
        let Design { definition, patience, clock, .. } = &self.design;
        let (slot, now) = (&known.slot, clock.now());
        let (held, stale) = match known.fresh(now) {
            Some(held) if read.kind == ReadKind::Entry => (held, false),
            _ => match slot.verdict(definition, read, now, *patience) {
                Verdict::Serve(held) => (held, false),
                Verdict::ServeStale(held) => (held, true),
                Verdict::Refuse(failure) => {
                    let answer = Err(slot.error(definition, &failure.error, now));
                    return Some(Found { answer, due: false });
                }
                Verdict::Unread | Verdict::Wait => return None,
            },
        };
        let Some(value) = Value::new(held, &definition.policy, now, stale) else {
            unreachable!("a memo's values are of its value type");
        };
        Some(Found { answer: Ok(value), due: known.is_due(now) })
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

    /// A reader of a key waits no longer.
    pub(super) fn leave(&self, key: &K) {
        self.flights().leave(key);
    }

    /// Has a key fetched ahead of need; says whether the refresher has to be told.
    pub(super) fn ahead(&self, key: &K) -> bool {
        self.flights().ahead(key)
    }

    /// Drops what is held of a key; says whether the refresher has to be told.
    pub(super) fn invalidate(&self, key: &K) -> bool {
        let mut flights = self.flights();
        self.kept.remove(key);
        flights.put_back_key(key)
    }

    /// `error`, as that of a read of this key.
    pub(super) fn error(&self, key: &K, error: &Error) -> Error {
        let Design { definition, clock, .. } = &self.design;
        match self.kept.peek(key) {
            Some(known) => known.slot.error(definition, error, clock.now()),
            None => error.clone().entry_named(&definition.name),
        }
    }

    pub(super) fn flights(&self) -> MutexGuard<'_, Flights<K>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
