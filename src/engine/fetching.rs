//! How fetches begin and are cut off: queued, planned, in flight, cancelled, started again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::Span;

use super::jobs::JobKind;
use super::units::{Fetching, Origin, Readers, Stage, Unit};
use super::{Cause, Effect, Engine, Fetch, FetchOf, JobId, Part, Phase};
use crate::clock::Stamp;
use crate::entry::Version;
use crate::freshness::{Bounds, Rhythm};
use crate::snapshot::{Asked, Slot};

impl Engine {
    /// Queues everything due; returns how many requests that is.
    pub(super) fn queue_due(&mut self, cause: Cause, now: Stamp) -> usize {
        // A pause that has ended no longer hides what it put off.
        for request in self.schedule.broken(now) {
            if self.units.request_mut(request).pause.take().is_some() {
                self.reschedule(request);
            }
        }
        let due = self.schedule.broken(now);
        for &request in &due {
            let expired = cause == Cause::Invoke && self.is_expired(request, now);
            let cause = if expired { Cause::Expired } else { cause };
            self.units.queue(Unit::Request(request), cause);
        }
        due.len()
    }

    fn is_expired(&self, request: usize, now: Stamp) -> bool {
        self.units.request(request).entries().iter().any(|&entry| {
            let policy = &self.board.definition(entry).policy;
            let stored = self.board.slot(entry).stored();
            stored.is_some_and(|stored| !stored.fresh(policy).admits(now))
        })
    }

    /// Recomputes when a request is due in the background.
    pub(super) fn reschedule(&mut self, request: usize) {
        let fetching = self.units.request(request);
        let (pace, distance) = (self.pace(), fetching.latency.distance());
        let rhythm = Rhythm { pace, jitter: fetching.jitter, distance };
        let due = |&entry: &usize| {
            let policy = &self.board.definition(entry).policy;
            match self.board.slot(entry) {
                // A schedule for what every read fetches would be a hot loop.
                _ if policy.max_age == Some(Duration::ZERO) => Bounds::ALWAYS,
                _ if self.deriving.contains_key(&entry) => Bounds::ALWAYS,
                Slot::Ready(stored) => stored.due(policy, rhythm),
                Slot::Failed(_, failure) => failure.back_off,
                Slot::Empty => Bounds::NEVER,
                Slot::NotRequested => Bounds::ALWAYS,
            }
        };
        let end = |&entry: &usize| match self.board.slot(entry) {
            Slot::Ready(stored) if !self.deriving.contains_key(&entry) => {
                let policy = &self.board.definition(entry).policy;
                policy.looks_ahead().map_or(Bounds::ALWAYS, |(age, _)| stored.end(age))
            }
            _ => Bounds::ALWAYS,
        };
        let entries = || fetching.entries().iter();
        let (due, end) = match fetching.stage {
            Stage::Idle | Stage::Queued(_) => (
                entries().map(due).fold(Bounds::ALWAYS, Bounds::and),
                entries().map(end).fold(Bounds::ALWAYS, Bounds::and),
            ),
            Stage::Planning { .. } | Stage::InFlight { .. } | Stage::Landing => {
                (Bounds::ALWAYS, Bounds::ALWAYS)
            }
        };
        self.ends.set(request, end);
        // What is due stands in for the pause when that has ended (`queue_due`).
        self.schedule.set(request, fetching.pause.unwrap_or(due));
    }

    /// Plans what is queued: its origins say which units go together. Expired entries come first.
    pub(super) fn launch(&mut self, now: Stamp) {
        let phase = &self.life.phase;
        if !self.units.is_any_queued()
            || !phase.may_fetch()
            || matches!(phase, Phase::Cancelling { .. })
        {
            return;
        }
        let ahead = phase.may_fetch_ahead();
        let expired: BTreeSet<usize> = self.board.broken(now).into_iter().collect();
        let mut plans: BTreeMap<(bool, Origin, Duration), Vec<Unit>> = BTreeMap::new();
        for unit in self.units.queued() {
            let Some(Fetching { origin, timeout, readers, .. }) = self.units.get(unit) else {
                continue;
            };
            let (origin, timeout) = (*origin, *timeout);
            let later = match readers {
                Readers::Entries(entries) => !entries.iter().any(|it| expired.contains(it)),
                Readers::Key { .. } => false,
            };
            match unit {
                // Nobody waits, and the environment may freeze: leave it for the next invocation.
                Unit::Ticket(_) if !ahead && !self.units.has_readers(unit) => {}
                _ => plans.entry((later, origin, timeout)).or_default().push(unit),
            }
        }
        while let Some(((_, origin, timeout), units)) = plans.pop_first() {
            // What is due as well goes along with what has expired, if there is room, and else after it.
            let mut along = plans.remove(&(true, origin, timeout)).unwrap_or_default();
            let waiting: Vec<Unit> = units.iter().chain(&along).copied().collect();
            along.extend(self.along(&waiting, (origin, timeout), now));
            let job = self.begin_job(JobKind::Plan, waiting.clone());
            if let Some(job) = self.jobs.get_mut(&job) {
                job.along = along.iter().copied().collect();
            }
            for unit in waiting {
                let Some(Stage::Queued(cause)) = self.units.get(unit).map(|it| it.stage) else {
                    continue;
                };
                self.units.set_stage(unit, Stage::Planning { job, cause });
                if let Unit::Request(request) = unit {
                    self.reschedule(request);
                }
            }
            self.effects.push(Effect::Plan { job, origin, units, along, ahead });
        }
    }

    /// Starts the planned batches. Units that the plan leaves out are fetched one by one.
    pub(super) fn planned(
        &mut self,
        job: JobId,
        batches: Vec<Vec<Unit>>,
        dropped: Vec<u64>,
        now: Stamp,
    ) {
        let Some(planned) = self.jobs.remove(&job) else { return };
        let is_planned = |engine: &Self, unit: Unit| match engine.units.get(unit).map(|it| it.stage)
        {
            Some(Stage::Planning { job: of, .. }) => of == job,
            _ => false,
        };
        for ticket in dropped {
            if is_planned(self, Unit::Ticket(ticket)) {
                self.units.remove(ticket);
            }
        }
        let mut left: BTreeSet<Unit> =
            planned.units.into_iter().filter(|&unit| is_planned(self, unit)).collect();
        for batch in batches {
            // No call is made for what may only be taken along.
            if batch.iter().all(|unit| planned.along.contains(unit)) {
                continue;
            }
            let rides = |unit: &Unit| match *unit {
                Unit::Request(request) => self.may_ride(request, now),
                Unit::Ticket(_) => false,
            };
            let batch = batch.into_iter().filter(|unit| left.remove(unit) || rides(unit));
            let batch: Vec<Unit> = batch.collect();
            if !batch.is_empty() {
                self.start(batch, now);
            }
        }
        for unit in left {
            match self.units.get(unit).map(|it| it.stage) {
                // There was no room for it.
                Some(Stage::Planning { cause, .. }) if planned.along.contains(&unit) => {
                    self.units.set_stage(unit, Stage::Queued(cause));
                }
                _ => self.start(vec![unit], now),
            }
        }
    }

    /// Starts a fetch.
    // guarantee 1: stamped and numbered before the request leaves, a fetch is as old as its question.
    fn start(&mut self, units: Vec<Unit>, now: Stamp) {
        let Some(first) = self.units.get(units[0]) else { return };
        let (origin, timeout) = (first.origin, self.timeout(first.timeout, now));
        self.fetches += 1;
        let asked = Asked { number: self.fetches, began: now };
        let job = self.begin_job(JobKind::Fetch, units.clone());
        let mut parts = Vec::new();
        let mut tickets = Vec::new();
        for &unit in &units {
            match unit {
                Unit::Request(request) => {
                    let part = self.part(request);
                    let cause = match self.units.request(request).stage {
                        Stage::Planning { cause, .. } => cause,
                        _ => Cause::Along,
                    };
                    part.entries.iter().for_each(|&(entry, _)| self.counters.begun(entry, cause));
                    let span = self.span(&part, cause, units.len());
                    if let Some(job) = self.jobs.get_mut(&job) {
                        job.spans.insert(request, span);
                    }
                    parts.push(part);
                }
                Unit::Ticket(ticket) => tickets.push(ticket),
            }
            self.units.set_stage(unit, Stage::InFlight { job, asked });
            if let Unit::Request(request) = unit {
                self.reschedule(request);
            }
            self.begin_attempts(unit, asked, now);
        }
        let is_retried = self.init.is_some() && matches!(origin, Origin::Source(_));
        let what = match origin {
            Origin::Source(_) => FetchOf::Requests(parts),
            Origin::Memo(_) => FetchOf::Tickets(tickets),
        };
        self.effects.push(Effect::Fetch(Fetch { job, origin, asked, timeout, is_retried, what }));
    }

    /// Limits a fetch to the time the invocation has left, so that the handler can still report an error.
    pub(super) fn timeout(&self, limit: Duration, now: Stamp) -> Duration {
        self.life.phase.time_left(now).map_or(limit, |left| limit.min(left))
    }

    /// A request, and for each entry that has been asked for the version that is known.
    fn part(&self, request: usize) -> Part<Option<Version>> {
        let version = |entry| match self.deriving.get(&entry) {
            Some(deriving) => Some(deriving.version.clone()),
            None => self.board.slot(entry).stored().map(|stored| stored.version.clone()),
        };
        let entries = self.units.request(request).entries().iter().copied();
        let entries = entries
            .filter(|&entry| !matches!(self.board.slot(entry), Slot::NotRequested))
            .map(|entry| (entry, version(entry)));
        Part { request, entries: entries.collect() }
    }

    fn span(&self, part: &Part<Option<Version>>, cause: Cause, batch: usize) -> Span {
        let definitions = || part.entries.iter().map(|&(entry, _)| self.board.definition(entry));
        tracing::debug_span!(
            "refresh",
            entry = definitions().map(|it| &*it.name).collect::<Vec<_>>().join(","),
            source = definitions().next().map_or("", |it| &*it.source),
            cause = cause.as_str(),
            batch,
            outcome = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        )
    }
}
