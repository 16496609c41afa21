//! All keys of one memo: what is stored of each, and who waits for which.
//!
//! A key's slot is judged as an entry's is, so the promise is the same. The lock is held to change
//! who waits for what and what is stored, never while anything is fetched, decoded, weighed or waited
//! for. Reads of what is stored do not take it, and neither does the refresher: a key's `Hash`, `Eq`
//! and `Clone` run under it.

use std::hash::Hash;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::loader::Loader;
use super::store::{Bound, KeyState, Landed, Store};
use super::tickets::{Tickets, Waiter};
use crate::clock::{Clocks, Stamp};
use crate::engine::{KeyAsked, MemoOptions};
use crate::entry::Definition;
use crate::error::Error;
use crate::freshness::Bounds;
use crate::snapshot::{
    Failure, Look, Read, ReadKind, Slot, Stored, Turn, Value, Verdict, WaitCount,
};
use crate::stats::MemoCounts;
use crate::sync::{Mutex, MutexGuard};

/// What a memo is, as declared.
pub(super) struct MemoConfig<K, V> {
    pub(super) definition: Definition,
    pub(super) bound: Bound<K>,
    /// How long an error is kept.
    pub(super) cache_errors_for: Duration,
    pub(super) timeout: Duration,
    pub(super) frozen_after: Duration,
    pub(super) clock: Clocks,
    pub(super) loader: Arc<dyn Loader<K, V>>,
}

pub(super) struct MemoCore<K, V> {
    pub(super) number: u64,
    pub(super) config: MemoConfig<K, V>,
    pub(super) store: Store<K>,
    tickets: Mutex<Tickets<K>>,
    pub(super) counts: MemoCounts,
}

/// A read of a key, and when it looks.
#[derive(Clone, Copy)]
pub(super) struct KeyLook {
    pub(super) read: Read,
    pub(super) turn: Turn,
    /// The fetch that it waits for has taken longer than reads of a failing key wait.
    pub(super) slow: bool,
}

/// What a read finds.
pub(super) struct Found<V> {
    pub(super) answer: Result<Value<V>, Error>,
    /// Whether it should be fetched ahead of need.
    pub(super) due: bool,
}

/// A reader that must wait.
pub(super) struct Joined {
    pub(super) waiter: Waiter,
    /// The key's last fetch failed.
    pub(super) failing: bool,
}

impl<K, V> MemoCore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn shared(number: u64, config: MemoConfig<K, V>) -> Arc<Self> {
        let store = Store::new(&config.bound);
        let (tickets, counts) = (Mutex::new(Tickets::new()), MemoCounts::default());
        Arc::new(Self { number, config, store, tickets, counts })
    }

    /// What a read gets of what is stored.
    #[inline]
    pub(super) fn look(&self, key: &K, look: KeyLook) -> Option<Found<V>> {
        self.judge(&*self.store.read(key)?, look)
    }

    /// Judges a finished fetch for a waiting read. That it failed is an answer to everybody who
    /// waited, unless a freeze has held it up.
    pub(super) fn accept(&self, landed: &Landed, mut look: KeyLook) -> Option<Found<V>> {
        let MemoConfig { frozen_after, clock, .. } = &self.config;
        if let Some(failure) = landed.state.slot.failure()
            && look.read.kind != ReadKind::Forced
            && Bounds::of(landed.began, *frozen_after).admits(clock.now())
        {
            look.read.after = look.read.after.min(failure.fetch.saturating_sub(1));
        }
        self.judge(&landed.state, look)
    }

    #[inline]
    fn judge(&self, state: &KeyState, look: KeyLook) -> Option<Found<V>> {
        let now = self.config.clock.now();
        let (stored, stale) = match state.fresh(now) {
            Some(stored) if look.read.kind == ReadKind::Entry => (stored, false),
            _ => match self.judge_expired(&state.slot, look, now)? {
                Ok(found) => found,
                Err(failure) => {
                    let definition = &self.config.definition;
                    let answer = Err(state.slot.error(definition, &failure.error, now));
                    return Some(Found { answer, due: false });
                }
            },
        };
        let policy = &self.config.definition.policy;
        let Some(value) = Value::new(stored, policy, now, stale) else {
            unreachable!("a memo's values are of its value type");
        };
        Some(Found { answer: Ok(value), due: state.is_due(now) })
    }

    /// The value and whether it is stale, or the failure that a read gets instead.
    ///
    /// A slot is judged as an entry's is, but a failure is no answer to a later read: errors are not
    /// kept, unless the memo's user says so.
    fn judge_expired<'a>(
        &self,
        slot: &'a Slot,
        look: KeyLook,
        now: Stamp,
    ) -> Option<Result<(&'a Stored, bool), &'a Failure>> {
        let KeyLook { read, turn, slow } = look;
        let MemoConfig { definition, frozen_after, cache_errors_for, .. } = &self.config;
        let policy = &definition.policy;
        let entry_look = Look { read, now, turn, frozen_after: *frozen_after };
        let verdict = slot.verdict(policy, entry_look);
        if let Verdict::Serve(stored) = verdict {
            return Some(Ok((stored, false)));
        }
        if let Verdict::ServeStale(stored) = verdict {
            return Some(Ok((stored, true)));
        }
        let failure = slot.failure()?;
        let kept = Bounds::of(failure.ended, *cache_errors_for).admits(now) || slow;
        let answers = failure.fetch > read.after || kept && read.kind != ReadKind::Forced;
        answers.then(|| match slot.stored() {
            Some(stored) if read.kind != ReadKind::Forced && stored.stale(policy).admits(now) => {
                Ok((stored, true))
            }
            _ => Err(failure),
        })
    }

    /// Waits for the fetch of a key, unless what is stored will do by now.
    pub(super) fn join(&self, key: &K, look: KeyLook) -> Result<Found<V>, Joined> {
        let mut tickets = self.tickets();
        // What has landed since the last look is in the store before its ticket is gone.
        match self.look(key, look) {
            Some(found) => Ok(found),
            None => Err(Joined { waiter: tickets.join(key), failing: self.is_failing(key) }),
        }
    }

    /// A ticket for a key that is due; none if it has one.
    pub(super) fn ahead(&self, key: &K) -> Option<KeyAsked> {
        let (ticket, waiting) = self.tickets().ahead(key)?;
        Some(KeyAsked { ahead: true, ..self.asked(ticket, waiting, self.is_failing(key)) })
    }

    /// Whether the last fetch of a key failed.
    fn is_failing(&self, key: &K) -> bool {
        self.store.peek(key).is_some_and(|state| state.slot.failure().is_some())
    }

    /// Drops what is stored of a key, and whatever its fetch will bring: readers who wait for that need
    /// another fetch. What is taken out is handed out, to be dropped where no lock is held.
    pub(super) fn invalidate(&self, key: &K) -> (Option<(K, Arc<KeyState>)>, Option<KeyAsked>) {
        let mut tickets = self.tickets();
        let (removed, again) = (self.store.remove(key), tickets.void(key));
        (removed, again.map(|(ticket, waiting)| self.asked(ticket, waiting, false)))
    }

    /// What the refresher is told of a ticket.
    pub(super) fn asked(&self, ticket: u64, waiting: Arc<WaitCount>, failing: bool) -> KeyAsked {
        let MemoConfig { definition, timeout, .. } = &self.config;
        let options = MemoOptions { timeout: *timeout, policy: definition.policy };
        KeyAsked { memo: self.number, options, ticket, waiting, ahead: false, failing }
    }

    /// `error`, as that of a read of this key.
    pub(super) fn error(&self, key: &K, error: &Error) -> Error {
        let MemoConfig { definition, clock, .. } = &self.config;
        match self.store.peek(key) {
            Some(state) => state.slot.error(definition, error, clock.now()),
            None => error.clone().entry_named(&definition.name),
        }
    }

    pub(super) fn tickets(&self) -> MutexGuard<'_, Tickets<K>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
