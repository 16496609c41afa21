//! Stores what a fetch brought for a memo's keys, and wakes their readers.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::core::{MemoConfig, MemoCore};
use super::store::{KeyState, Landed};
use super::tickets::{Progress, Ticket};
use crate::engine::Landing;
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Bounds};
use crate::refresher::{FetchedKeys, retire};
use crate::snapshot::{Answer, AnyValue, Asked, Attempt, Failure, NewValue, Slot, Stored};
use crate::sources::Answered;

/// What a fetch brought.
pub(super) struct Fetched<K, V> {
    core: Arc<MemoCore<K, V>>,
    keys: Vec<FetchedKey<K>>,
}

struct FetchedKey<K> {
    ticket: Arc<Ticket<K>>,
    /// What was stored when it was asked for.
    asked: Option<Stored>,
    came: Result<Weighed, Error>,
}

/// A value, or the confirmation of one, and the share of the memo's bound that it takes.
struct Weighed {
    answer: Answer,
    weight: u64,
    lifetime: Option<Duration>,
}

type Answers<K, V> = (Arc<Ticket<K>>, (Option<Stored>, Result<crate::sources::Fetched<V>, Error>));

impl<K, V> Fetched<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new(
        core: Arc<MemoCore<K, V>>,
        asked: Asked,
        answers: impl Iterator<Item = Answers<K, V>>,
    ) -> Self {
        let key = |(ticket, (stored, answer)): Answers<K, V>| {
            let came = answer.and_then(|it| core.weigh(&ticket.key, stored.as_ref(), it, asked));
            FetchedKey { ticket, asked: stored, came }
        };
        let keys = answers.map(key).collect();
        Self { core, keys }
    }

    /// For traces.
    pub(super) fn outcome(&self) -> &'static str {
        let came = || self.keys.iter().map(|key| &key.came);
        let is_unchanged = |weighed: &Weighed| matches!(weighed.answer, Answer::Unchanged(_));
        if came().any(Result::is_err) {
            "failed"
        } else if came().flatten().all(is_unchanged) {
            "unchanged"
        } else {
            "changed"
        }
    }
}

impl<K, V> FetchedKeys for Fetched<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn tickets(&self) -> Vec<(u64, bool)> {
        self.keys.iter().map(|key| (key.ticket.number, key.came.is_ok())).collect()
    }

    fn land(self: Box<Self>, tickets: &[u64], landing: Landing) {
        let Self { core, keys } = *self;
        for key in keys.into_iter().filter(|key| tickets.contains(&key.ticket.number)) {
            let ticket = Arc::clone(&key.ticket);
            // A key's `Clone`, `Eq` or `Hash` may panic. Its readers get an error then.
            if catch_unwind(AssertUnwindSafe(|| core.land(key, landing))).is_err() {
                core.land_panic(&ticket, landing);
            }
        }
    }
}

impl<K, V> MemoCore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Weighs an answer.
    fn weigh(
        &self,
        key: &K,
        stored: Option<&Stored>,
        fetched: crate::sources::Fetched<V>,
        asked: Asked,
    ) -> Result<Weighed, Error> {
        let lifetime = freshness::lifetime(asked.began, fetched.valid_until);
        let (answer, value): (Answer, AnyValue) = match (fetched.answer, stored) {
            (Answered::Unchanged, None) => {
                let what = &self.config.definition.source;
                let message = format!("{what} says \"unchanged\", but no version was asked about");
                return Err(Error::new(ErrorKind::Source, message));
            }
            (Answered::Unchanged, Some(stored)) => {
                (Answer::Unchanged(stored.version.clone()), stored.value.clone())
            }
            (Answered::Current(_, Some(version)), Some(stored)) if stored.version == version => {
                (Answer::Unchanged(version), stored.value.clone())
            }
            (Answered::Current(value, version), _) => {
                let value = AnyValue::new(value);
                (Answer::Changed(NewValue { value: value.clone(), version }), value)
            }
        };
        let weight = || self.config.bound.weight(key, Some(&value));
        match catch_unwind(AssertUnwindSafe(weight)) {
            Ok(weight) => Ok(Weighed { answer, weight, lifetime }),
            Err(_) => Err(Error::new(ErrorKind::Panic, "weighing its value panicked")),
        }
    }

    /// Stores what came for one key, unless its ticket has ended.
    fn land(&self, fetched: FetchedKey<K>, landing: Landing) {
        let FetchedKey { ticket, asked, came } = fetched;
        let MemoConfig { definition, bound, .. } = &self.config;
        let mut tickets = self.tickets();
        if tickets.get(ticket.number).is_none() {
            return;
        }
        let before = self.store.peek(&ticket.key);
        let stored = before.as_ref().map_or(&Slot::Empty, |before| &before.slot);
        let (slot, weight, failures) = match came {
            Ok(Weighed { answer, weight, lifetime }) => {
                self.counts.refreshed();
                // What was asked about may have been displaced since.
                let confirmed = asked.map_or(Slot::Empty, Slot::Ready);
                let slot = confirmed.after(landing.asked, answer, lifetime);
                (slot.unwrap_or(Slot::Empty), weight, 0)
            }
            Err(error) => {
                self.counts.failed();
                let failures = before.as_ref().map_or(0, |before| before.failures);
                let failures = failures.saturating_add(1);
                let failure = self.failure(stored.stored(), error, failures, landing);
                let answer = Answer::Failed(Box::new(failure));
                let weight = before.as_ref().map(|before| before.weight);
                let weight = weight.unwrap_or_else(|| bound.weight(&ticket.key, None));
                let slot = stored.after(landing.asked, answer, None);
                (slot.unwrap_or(Slot::Empty), weight, failures)
            }
        };
        let state = KeyState::new(slot, weight, &definition.policy, landing);
        let state = Arc::new(state.following(before.as_deref(), failures));
        let mut removed = if self.is_worth_keeping(&state.slot) {
            self.store.put(ticket.key.clone(), Arc::clone(&state))
        } else {
            self.store.remove(&ticket.key).into_iter().collect()
        };
        removed.extend(before.map(|before| (ticket.key.clone(), before)));
        tickets.remove(ticket.number);
        drop(tickets);
        if let Some(Failure { error, .. }) = state.slot.failure() {
            tracing::warn!(memo = %definition.name, %error, "refresh failed");
        }
        let landed = Landed { state, began: landing.asked.began };
        ticket.progress.send_replace(Progress::Landed(landed));
        retire(removed.into_iter().map(|it| Box::new(it) as _).collect());
    }

    /// A key's own code panicked while its value was being stored.
    fn land_panic(&self, ticket: &Ticket<K>, landing: Landing) {
        self.counts.failed();
        let error = Error::new(ErrorKind::Panic, "the key's `Clone`, `Eq` or `Hash` panicked");
        let failure = self.failure(None, error, 1, landing);
        let slot = Slot::Failed(None, Box::new(failure));
        let state = KeyState::new(slot, 0, &self.config.definition.policy, landing);
        let landed = Landed { state: Arc::new(state), began: landing.asked.began };
        self.tickets().lose(ticket.number);
        ticket.progress.send_replace(Progress::Landed(landed));
    }

    /// The failure of a key's fetch. While there is a value to serve meanwhile, it backs off.
    fn failure(
        &self,
        stored: Option<&Stored>,
        error: Error,
        failures: u32,
        landing: Landing,
    ) -> Failure {
        let MemoConfig { definition, cache_errors_for, .. } = &self.config;
        let Landing { asked, now, rhythm } = landing;
        let back_off = Bounds::of(now, freshness::back_off(failures, rhythm.jitter));
        let servable = stored.map_or(Bounds::NEVER, |stored| stored.stale(&definition.policy));
        let kept = Bounds::of(now, *cache_errors_for);
        let back_off = if kept.admits(now) { kept } else { back_off.and(servable) };
        Failure { error, ended: now, fetch: asked.number, back_off, attempt: Attempt::None }
    }

    /// Whether a later read can be served from it.
    fn is_worth_keeping(&self, slot: &Slot) -> bool {
        let policy = &self.config.definition.policy;
        let is_served = policy.max_age != Some(Duration::ZERO) || !policy.stale_if_error.is_zero();
        match slot {
            Slot::Empty | Slot::NotRequested => false,
            Slot::Failed(None, _) => !self.config.cache_errors_for.is_zero(),
            Slot::Ready(_) | Slot::Failed(Some(_), _) => is_served,
        }
    }
}
