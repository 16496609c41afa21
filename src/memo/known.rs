//! What is known of one key: its slot, and what follows from it once and for all reads.

use std::sync::Arc;

use crate::clock::Stamp;
use crate::freshness::{self, Bounds, Policy};
use crate::snapshot::{Held, Slot};

#[derive(Clone)]
pub(super) struct Known {
    pub(super) slot: Slot,
    /// The share of the memo's bound that it takes.
    pub(super) weight: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When a witness last made the value look older.
    pub(super) aged: Option<Stamp>,
    /// How much earlier than the soft bound it is due: drawn once for all that was fetched together,
    /// so that it stays together.
    jitter: f64,
    /// Within this the value is fresh.
    fresh: Bounds,
    /// Within this it need not be fetched ahead of need, ...
    due: Bounds,
    /// ... nor within this: the last attempt failed, or was cancelled.
    pause: Bounds,
    /// Cancellations in a row.
    cancelled: u32,
}

/// What a fetch that began then has brought.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) known: Arc<Known>,
    pub(super) began: Stamp,
}

impl Known {
    /// What a fetch comes to.
    pub(super) fn new(slot: Slot, weight: u64, policy: &Policy, jitter: f64) -> Self {
        let held = slot.held();
        let pause = slot.failure().map_or(Bounds::NEVER, |failure| failure.retry_due());
        Self {
            weight,
            failures: 0,
            aged: None,
            jitter,
            fresh: held.map_or(Bounds::NEVER, |held| held.fresh(policy)),
            due: held.map_or(Bounds::ALWAYS, |held| held.due(policy, jitter)),
            pause,
            cancelled: 0,
            slot,
        }
    }

    /// The same with what outlasts a fetch: so many failures in a row, and when a witness last acted.
    pub(super) fn following(self, before: Option<&Self>, failures: u32) -> Self {
        Self { failures, aged: before.and_then(|before| before.aged), ..self }
    }

    /// The value, if it is fresh.
    #[inline]
    pub(super) fn fresh(&self, now: Stamp) -> Option<&Held> {
        self.slot.held().filter(|_| self.fresh.admits(now))
    }

    /// Whether it should be fetched ahead of need.
    #[inline]
    pub(super) fn is_due(&self, now: Stamp) -> bool {
        !self.due.admits(now) && !self.pause.admits(now)
    }

    /// The same with a slot that looks older, as a witness would have it.
    pub(super) fn aged(&self, older: Slot, policy: &Policy, now: Stamp) -> Self {
        let older = Self::new(older, self.weight, policy, self.jitter);
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
