//! What an invocation does for the next one: refreshes what would have expired by then.
//!
//! A call that is made anyway has room for more. What would need a call of its own before the next call
//! that it could share is taken along now, so that entries with different max ages drift together instead
//! of apart. The source says what costs nothing more.

use std::time::Duration;

use super::units::{Origin, Stage};
use super::{Cause, Engine, Unit};
use crate::clock::Stamp;
use crate::freshness::{Ahead, Bounds, Pace};
use crate::snapshot::{Catalog, Slot};

/// With more kinds of entries than this it takes longer to find the furthest horizon than to look at a few
/// entries too many.
const MANY_KINDS: usize = 16;
/// The most requests that are offered to a call. No service takes more in one.
const MOST_ALONG: usize = 128;

/// The max ages of entries that are refreshed ahead, each with what a wait is worth; or, if these are many,
/// a kind whose horizon is as far as that of any.
pub(super) fn kinds(catalog: &Catalog) -> Vec<(Duration, Ahead)> {
    let mut kinds: Vec<_> =
        catalog.entries.iter().filter_map(|entry| entry.policy.looks_ahead()).collect();
    kinds.sort_unstable_by_key(|&(age, ahead)| (age, ahead.calls_for_a_wait()));
    kinds.dedup();
    match kinds.last() {
        Some(&(longest, _)) if kinds.len() > MANY_KINDS => vec![(longest, Ahead::Always)],
        _ => kinds,
    }
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
        let then = now.later_by(furthest);
        if self.ends.all().admits(then) {
            return 0;
        }
        let mut queued = 0;
        for request in self.ends.broken(then) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entry::{Definition, Loading};
    use crate::freshness::Policy;

    fn catalog(ages: impl Iterator<Item = u64>) -> Catalog {
        let entry = |age| Definition {
            name: Arc::from("x"),
            policy: Policy { max_age: Some(Duration::from_secs(age)), ..Policy::default() },
            loading: Loading::AtInit,
            timeout: None,
            request: 0,
            source: Arc::from("source"),
            holds: std::any::TypeId::of::<u64>(),
        };
        Catalog { entries: ages.map(entry).collect(), frozen_after: Duration::ZERO }
    }

    #[test]
    fn ten_thousand_entries_of_two_max_ages_are_two_kinds() {
        let kinds = kinds(&catalog((0..10_000).map(|entry| 60 + entry % 2)));
        assert_eq!(kinds.len(), 2);
    }

    #[test]
    fn a_few_kinds_keep_their_horizons() {
        let few = MANY_KINDS as u64;
        assert_eq!(kinds(&catalog(1..=few)).len(), MANY_KINDS);
        assert_eq!(kinds(&catalog(1..=few + 1)).len(), 1);
    }

    #[test]
    fn many_kinds_are_one_whose_horizon_is_as_far_as_any() {
        let catalog = catalog(1..10_000);
        let kinds = kinds(&catalog);
        assert_eq!(kinds, [(Duration::from_secs(9999), Ahead::Always)]);
        let gaps = [1_000, 40_000, 900_000, 20_000_000];
        let furthest = super::super::ahead::horizon(&gaps, kinds[0].0, kinds[0].1);
        for entry in &catalog.entries {
            let Some((age, ahead)) = entry.policy.looks_ahead() else { continue };
            assert!(super::super::ahead::horizon(&gaps, age, ahead) <= furthest, "{age:?}");
        }
    }
}
