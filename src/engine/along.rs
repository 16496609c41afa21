//! What a call takes along that is made for something else.
//!
//! One call has room for many requests. What would need a call of its own before the next call that it
//! could share is taken along now, so that entries with different max ages drift together instead of
//! apart. The source says what costs nothing more.

use std::time::Duration;

use super::units::{Origin, Stage, Unit};
use super::{Cause, Engine};
use crate::clock::Stamp;
use crate::freshness::Bounds;
use crate::snapshot::Slot;

/// The most requests that are offered to a call. No service takes more in one.
const MOST_ALONG: usize = 128;

impl Engine {
    /// What the calls for these units may take along, the most urgent first.
    ///
    /// The next call for one of them comes before it expires, so what falls due later than that can wait
    /// for that call. Nothing is taken along by a call that a reader has asked for, which should be quick
    /// and is not part of any rhythm, nor by another attempt at what has failed, which may fail again.
    pub(super) fn along(
        &self,
        units: &[Unit],
        (origin, timeout): (Origin, Duration),
        now: Stamp,
    ) -> Vec<Unit> {
        let ages = units.iter().map(|&unit| self.leads_for(unit));
        let Some(next_call) =
            ages.collect::<Option<Vec<_>>>().and_then(|ages| ages.into_iter().min())
        else {
            return Vec::new();
        };
        let due = self.schedule.broken(now.later_by(next_call));
        let mut along: Vec<(Duration, Unit)> = due
            .into_iter()
            .filter(|&request| {
                let fetching = self.units.request(request);
                (fetching.origin, fetching.timeout) == (origin, timeout)
                    && self.may_ride(request, now)
            })
            .map(|request| (self.schedule.remaining(request, now), Unit::Request(request)))
            .collect();
        along.sort_unstable();
        along.truncate(MOST_ALONG);
        along.into_iter().map(|(_, unit)| unit).collect()
    }

    /// How long it is at most until the next call for this unit; `None` if it takes nothing along.
    fn leads_for(&self, unit: Unit) -> Option<Duration> {
        let fetching = self.units.get(unit)?;
        if matches!(fetching.stage, Stage::Queued(Cause::Read | Cause::Forced)) {
            return None;
        }
        let fails = |&entry: &usize| self.board.slot(entry).failure().is_some();
        if fetching.entries().iter().any(fails) {
            return None;
        }
        let age = |&entry: &usize| self.board.definition(entry).policy.max_age;
        fetching.entries().iter().filter_map(age).min()
    }

    /// Whether a request may be taken along: all is well with it, a good part of its life is over, and its
    /// user leaves it to the cache when it is refreshed.
    pub(super) fn may_ride(&self, request: usize, now: Stamp) -> bool {
        let fetching = self.units.request(request);
        let is_well = |&entry: &usize| {
            let policy = &self.board.definition(entry).policy;
            match (self.board.slot(entry), policy.looks_ahead()) {
                (Slot::Ready(stored), Some((age, _))) => {
                    !Bounds::of(stored.began, age / 4).admits(now)
                }
                _ => false,
            }
        };
        self.is_idle(Unit::Request(request))
            && !fetching.is_paused(now)
            && fetching.entries().iter().all(is_well)
    }
}
