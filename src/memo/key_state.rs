//! What is known of one key: its slot, and what follows from it once and for all reads.

use std::sync::Arc;

use crate::clock::Stamp;
use crate::engine::Landing;
use crate::freshness::{self, Bounds, Policy};
use crate::snapshot::{Slot, Stored};

#[derive(Clone)]
pub(super) struct KeyState {
    pub(super) slot: Slot,
    /// The share of the memo's bound that it takes.
    pub(super) weight: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When a trace id last made the value look older.
    pub(super) aged: Option<Stamp>,
    /// The fetch that brought it.
    landing: Landing,
    /// Within this the value is fresh.
    fresh: Bounds,
    /// Within this it need not be fetched ahead of need, ...
    due: Bounds,
    /// ... nor within this: the last attempt failed, or was cancelled.
    pause: Bounds,
    /// Cancellations in a row.
    cancelled: u32,
}

/// What a fetch has brought.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) state: Arc<KeyState>,
    pub(super) began: Stamp,
}

impl KeyState {
    pub(super) fn new(slot: Slot, weight: u64, policy: &Policy, landing: Landing) -> Self {
        let stored = slot.stored();
        let pause = slot.failure().map_or(Bounds::NEVER, |failure| failure.back_off);
        let due = |stored: &Stored| stored.due(policy, landing.jitter, landing.distance);
        Self {
            weight,
            failures: 0,
            aged: None,
            landing,
            fresh: stored.map_or(Bounds::NEVER, |stored| stored.fresh(policy)),
            due: stored.map_or(Bounds::ALWAYS, due),
            pause,
            cancelled: 0,
            slot,
        }
    }

    /// The same with what outlasts a fetch: so many failures in a row, and when a trace id last acted.
    pub(super) fn following(self, before: Option<&Self>, failures: u32) -> Self {
        Self { failures, aged: before.and_then(|before| before.aged), ..self }
    }

    /// The value, if it is fresh.
    #[inline]
    pub(super) fn fresh(&self, now: Stamp) -> Option<&Stored> {
        self.slot.stored().filter(|_| self.fresh.admits(now))
    }

    /// Whether it should be fetched ahead of need.
    #[inline]
    pub(super) fn is_due(&self, now: Stamp) -> bool {
        !self.due.admits(now) && !self.pause.admits(now)
    }

    /// The same with a slot that looks older, as a trace id would have it.
    pub(super) fn aged(&self, older: Slot, policy: &Policy, now: Stamp) -> Self {
        let older = Self::new(older, self.weight, policy, self.landing);
        let Self { failures, pause, cancelled, .. } = *self;
        Self { failures, pause, cancelled, aged: Some(now), ..older }
    }

    /// The same after its fetch had to be cancelled for lack of time.
    pub(super) fn cancelled(&self, now: Stamp) -> Self {
        let cancelled = self.cancelled.saturating_add(1);
        let pause = Bounds::of(now, freshness::pause(cancelled));
        Self { cancelled, pause, ..self.clone() }
    }
}
