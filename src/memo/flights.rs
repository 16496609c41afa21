//! Which of a memo's keys are being fetched, or are to be, and who waits for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Stamp;
use crate::freshness::{Bounds, LONGEST_BACK_OFF};
use crate::snapshot::Slot;

/// What becomes of a fetch: nothing yet, or the key's slot.
pub(super) type Outcome = Option<Arc<Slot>>;

/// The first pause after a fetch ahead of need had to be cancelled.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Flights<K> {
    of: HashMap<K, Flight>,
    /// Cancellations in a row, and until when they keep keys from being fetched ahead of need.
    cancelled: u32,
    pause: Bounds,
}

/// The fetch of one key.
struct Flight {
    stage: Stage,
    /// Its receivers are who waits.
    outcome: watch::Sender<Outcome>,
}

enum Stage {
    /// The refresher has not started it yet, or has had to cancel it.
    Wanted,
    Running {
        batch: u64,
        began: Stamp,
    },
}

impl<K: Clone + Eq + Hash> Flights<K> {
    pub(super) fn new() -> Self {
        Self { of: HashMap::new(), cancelled: 0, pause: Bounds::NEVER }
    }

    /// Waits for a key's fetch: the one in flight, if it was not frozen there, or a new one.
    pub(super) fn join(
        &mut self,
        key: &K,
        now: Stamp,
        patience: Duration,
    ) -> watch::Receiver<Outcome> {
        if let Some(flight) = self.of.get_mut(key) {
            if flight.began().is_some_and(|began| !Bounds::of(began, patience).admits(now)) {
                flight.stage = Stage::Wanted;
            }
            return flight.outcome.subscribe();
        }
        let (outcome, wait) = watch::channel(None);
        self.of.insert(key.clone(), Flight { stage: Stage::Wanted, outcome });
        wait
    }

    /// Has a key fetched that nobody waits for; says whether that is new.
    pub(super) fn ahead(&mut self, key: &K, now: Stamp) -> bool {
        if self.of.contains_key(key) || self.cancelled > 0 && self.pause.admits(now) {
            return false;
        }
        let outcome = watch::Sender::new(None);
        self.of.insert(key.clone(), Flight { stage: Stage::Wanted, outcome });
        true
    }

    /// The keys to be fetched now.
    pub(super) fn wanted(&self) -> Vec<K> {
        let wanted = self.of.iter().filter(|(_, flight)| matches!(flight.stage, Stage::Wanted));
        wanted.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn start(&mut self, keys: &[K], batch: u64, began: Stamp) {
        for key in keys {
            if let Some(flight) = self.of.get_mut(key) {
                flight.stage = Stage::Running { batch, began };
            }
        }
    }

    /// Ends a key's fetch, if `batch` is the one that is waited for.
    pub(super) fn land(&mut self, key: &K, batch: u64) -> Option<watch::Sender<Outcome>> {
        if self.of.get(key)?.batch() != Some(batch) {
            return None;
        }
        self.cancelled = 0;
        self.of.remove(key).map(|flight| flight.outcome)
    }

    pub(super) fn is_wanted(&self, batch: u64) -> bool {
        let mut of = self.of.values().filter(|flight| flight.batch() == Some(batch));
        of.any(Flight::is_awaited)
    }

    /// Whatever a batch brings is to be discarded, or with `None` whatever any does: what is waited
    /// for is wanted again.
    pub(super) fn put_back(&mut self, batch: Option<u64>) {
        self.of.retain(|_, flight| match (flight.batch(), batch) {
            (Some(running), Some(batch)) if running != batch => true,
            (None, _) => true,
            _ => {
                flight.stage = Stage::Wanted;
                flight.is_awaited()
            }
        });
    }

    /// Whatever a key's fetch brings is to be discarded; says whether another is waited for.
    pub(super) fn put_back_key(&mut self, key: &K) -> bool {
        let Some(flight) = self.of.get_mut(key) else { return false };
        flight.stage = Stage::Wanted;
        let awaited = flight.is_awaited();
        if !awaited {
            self.of.remove(key);
        }
        awaited
    }

    pub(super) fn cancelled(&mut self, now: Stamp) {
        self.cancelled = self.cancelled.saturating_add(1);
        let pause = FIRST_PAUSE * 2u32.pow(self.cancelled.min(6) - 1);
        self.pause = Bounds::of(now, pause.min(LONGEST_BACK_OFF));
    }
}

impl Flight {
    fn batch(&self) -> Option<u64> {
        match self.stage {
            Stage::Running { batch, .. } => Some(batch),
            Stage::Wanted => None,
        }
    }

    fn began(&self) -> Option<Stamp> {
        match self.stage {
            Stage::Running { began, .. } => Some(began),
            Stage::Wanted => None,
        }
    }

    fn is_awaited(&self) -> bool {
        self.outcome.receiver_count() > 0
    }
}
