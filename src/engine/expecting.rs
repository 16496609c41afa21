//! What an invocation does for the next one: refreshes what would have expired by then.

use std::time::Duration;

use super::{Cause, Engine, Unit};
use crate::clock::Stamp;
use crate::freshness::{Ahead, Bounds, Pace};
use crate::snapshot::{Catalog, Slot};

/// The max ages of entries that are refreshed ahead, each with what a wait is worth.
pub(super) fn kinds(catalog: &Catalog) -> Vec<(Duration, Ahead)> {
    let mut kinds: Vec<_> =
        catalog.entries.iter().filter_map(|entry| entry.policy.looks_ahead()).collect();
    kinds.sort_unstable_by_key(|&(age, ahead)| (age, ahead.calls_for_a_wait()));
    kinds.dedup();
    kinds
}

impl Engine {
    /// Queues what is likely to have expired when the next invocation comes; returns how many requests
    /// that is.
    ///
    /// What does not expire within the furthest horizon is not looked at, so that an invocation with
    /// nothing to do costs the same however many entries there are.
    pub(super) fn queue_expected(&mut self, now: Stamp) -> usize {
        let horizons = self.kinds.iter().map(|&(age, ahead)| self.horizon(age, ahead));
        let Some(furthest) = horizons.max() else { return 0 };
        let mut queued = 0;
        for request in self.ends.broken(now.later_by(furthest)) {
            if let Some(cause) = self.expected(request, now)
                && self.units.queue(Unit::Request(request), cause)
            {
                queued += 1;
            }
        }
        queued
    }

    /// Why a request is worth a call now, if it is.
    fn expected(&self, request: usize, now: Stamp) -> Option<Cause> {
        let fetching = self.units.request(request);
        if fetching.is_paused(now) {
            return None;
        }
        let distance = fetching.latency.distance();
        let each = fetching.entries().iter().filter_map(|&entry| {
            let (age, ahead) = self.board.definition(entry).policy.looks_ahead()?;
            let Slot::Ready(stored) = self.board.slot(entry) else { return None };
            if Bounds::of(stored.began, distance).admits(now) {
                return None;
            }
            let expires_within = |horizon: Duration| !stored.end(age).admits(now.later_by(horizon));
            let known = self.arrivals.horizon(age, ahead);
            match () {
                () if expires_within(known) => Some(Cause::Ahead),
                () if expires_within(self.horizon(age, ahead)) => Some(Cause::Probe),
                () => None,
            }
        });
        each.max_by_key(|cause| *cause == Cause::Ahead)
    }

    /// How long before its end a value is worth a refresh. Half of the max age as long as little is known
    /// of the traffic: some multiple of each shorter period falls into the second half.
    fn horizon(&self, max_age: Duration, ahead: Ahead) -> Duration {
        let known = self.arrivals.horizon(max_age, ahead);
        if self.arrivals.are_few() { known.max(max_age / 2) } else { known }
    }

    /// What drives refreshes of entries.
    pub(super) fn pace(&self) -> Pace {
        if self.life.freezes() { Pace::Invocations } else { Pace::Timers }
    }

    /// What drives refreshes of a memo's keys. The gaps between the reads of each key would take more
    /// memory than most values, and a write at each hit, so it is those between invocations that count: a
    /// key that is in use is read in most of them.
    pub(super) fn pace_of_keys(&self, memo: u64) -> Pace {
        let policy = self.memos.get(&memo).map(|memo| memo.options.policy);
        match policy.and_then(|policy| policy.looks_ahead()) {
            Some((age, ahead)) if self.life.freezes() => Pace::Reads(self.horizon(age, ahead)),
            _ => Pace::Timers,
        }
    }
}
