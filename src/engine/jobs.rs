//! The tasks that the shell runs, and how they are cut off: at the end of a hold, or since they may have been
//! frozen in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tracing::Span;

use super::units::{Origin, Stage, Unit};
use super::{Cause, Effect, Engine, JobId, Phase};
use crate::clock::Stamp;

/// A task that the shell runs.
pub(super) struct Job {
    pub(super) kind: JobKind,
    pub(super) units: Vec<Unit>,
    /// What it may take along.
    pub(super) along: BTreeSet<Unit>,
    pub(super) spans: HashMap<usize, Span>,
    /// It was aborted, and from then on, by the monotonic clock, its end is not waited for.
    pub(super) given_up: Option<i64>,
}

impl Job {
    /// Whether its end is waited for no longer.
    pub(super) fn is_given_up(&self, now: Stamp) -> bool {
        self.given_up.is_some_and(|at| at <= now.monotonic)
    }
}

/// How long the end of an aborted job is waited for. It takes longer only where code of a user's blocks
/// its thread, such as a decoder, and then nothing is under way on the network.
const ABORT_WAIT: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobKind {
    Plan,
    Fetch,
    Derive(usize),
    Land,
    Age,
    Clear,
    Reset,
}

impl JobKind {
    /// Whether it talks to somebody outside the environment.
    fn is_cut_off_by_a_freeze(self) -> bool {
        matches!(self, Self::Fetch | Self::Derive(_))
    }

    fn is_cancellable(self) -> bool {
        matches!(self, Self::Fetch | Self::Derive(_) | Self::Plan)
    }
}

impl Engine {
    pub(super) fn begin_job(&mut self, kind: JobKind, units: Vec<Unit>) -> JobId {
        self.last_job += 1;
        let spans = HashMap::new();
        let along = BTreeSet::new();
        let job = Job { kind, units, along, spans, given_up: None };
        self.jobs.insert(self.last_job, job);
        self.last_job
    }

    /// Whether nothing is in flight. Aborted jobs are waited for only for a moment, but before a snapshot
    /// every job must have ended.
    pub(super) fn is_still(&self, now: Stamp) -> bool {
        match self.life.phase {
            Phase::Suspending(_) => self.jobs.is_empty(),
            _ => self.jobs.values().all(|job| job.is_given_up(now)),
        }
    }

    pub(super) fn abort(&mut self, job: JobId, now: Stamp) {
        if let Some(running) = self.jobs.get_mut(&job) {
            running.given_up.get_or_insert(now.later_by(ABORT_WAIT).monotonic);
            self.effects.push(Effect::Abort(job));
        }
    }

    /// The environment may have been frozen. Requests that were in flight may have expired signatures and
    /// dead connections, so they are started again, and so is what was cancelled while a reader waited.
    // guarantee 10
    pub(super) fn restart_frozen_fetches(&mut self, now: Stamp) {
        let frozen = |(&id, job): (&JobId, &Job)| job.kind.is_cut_off_by_a_freeze().then_some(id);
        let frozen: Vec<JobId> = self.jobs.iter().filter_map(frozen).collect();
        for job in frozen {
            for unit in self.cut_off(job, now) {
                self.units.queue(unit, Cause::Restart);
            }
        }
        for unit in self.units.with_readers() {
            if self.is_idle(unit) {
                self.units.queue(unit, Cause::Restart);
            }
        }
    }

    /// Cancels what no reader waits for.
    pub(super) fn cancel_unwanted(&mut self, now: Stamp) {
        self.cancel(now, |engine, unit| !engine.units.has_readers(unit));
    }

    /// Cancels what was begun for a reader in spite of a pause, if no reader waits any more: the last fetch
    /// took longer than the hold limit, so this one is not worth another hold.
    pub(super) fn cancel_paused(&mut self, now: Stamp) {
        self.cancel(now, |engine, unit| {
            !engine.units.has_readers(unit)
                && engine.units.get(unit).is_some_and(|it| it.is_paused(now))
        });
    }

    /// Cancels everything. What readers wait for is started again by the next invocation.
    pub(super) fn cancel_all(&mut self, now: Stamp) {
        self.cancel(now, |_, _| true);
    }

    /// Cancels the jobs whose units are all selected, and what is queued of them.
    fn cancel(&mut self, now: Stamp, which: impl Fn(&Self, Unit) -> bool) {
        _ = self.units.with_readers();
        for unit in self.units.queued() {
            // Keys that are due stay queued until an invocation has time for them.
            if which(self, unit)
                && (matches!(unit, Unit::Request(_)) || self.units.has_readers(unit))
            {
                self.units.set_stage(unit, Stage::Idle);
            }
        }
        let all = |engine: &Self, units: &[Unit]| units.iter().all(|&unit| which(engine, unit));
        let cancelled = |(&id, job): (&JobId, &Job)| {
            (job.kind.is_cancellable() && all(self, &job.units)).then_some(id)
        };
        let cancelled: Vec<JobId> = self.jobs.iter().filter_map(cancelled).collect();
        let cut_off: BTreeSet<Unit> =
            cancelled.into_iter().flat_map(|job| self.cut_off(job, now)).collect();
        let mut paused: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for unit in cut_off {
            if let Some(fetching) = self.units.get_mut(unit) {
                fetching.pause_after_cancellation(now);
            }
            match (unit, self.units.get(unit).map(|it| it.origin)) {
                (Unit::Ticket(ticket), Some(Origin::Memo(memo))) => {
                    paused.entry(memo).or_default().push(ticket);
                    if !self.units.has_readers(unit) {
                        self.units.remove(ticket);
                    }
                }
                (Unit::Request(request), _) => self.reschedule(request),
                _ => {}
            }
        }
        for (memo, tickets) in paused {
            self.effects.push(Effect::Pause { memo, tickets, now });
        }
    }

    /// Aborts a job; returns its units, which are idle then.
    fn cut_off(&mut self, id: JobId, now: Stamp) -> Vec<Unit> {
        let Some(job) = self.jobs.get(&id) else { return Vec::new() };
        let (kind, units) = (job.kind, job.units.clone());
        self.abort(id, now);
        let mut cut_off = Vec::new();
        for unit in units {
            let stage = self.units.get(unit).map(|it| it.stage);
            let counts = match (kind, stage) {
                (JobKind::Derive(entry), _) => {
                    let counts = self.deriving.get(&entry).is_some_and(|it| it.job == id);
                    if counts {
                        self.deriving.remove(&entry);
                    }
                    counts
                }
                (_, Some(Stage::Planning { job, .. } | Stage::InFlight { job, .. })) => {
                    if job == id {
                        self.units.set_stage(unit, Stage::Idle);
                    }
                    job == id
                }
                _ => false,
            };
            if counts {
                self.end_attempts(unit);
                cut_off.push(unit);
            }
        }
        cut_off
    }

    /// What is being derived for an entry is discarded.
    pub(super) fn stop_deriving(&mut self, entry: usize) {
        self.deriving.remove(&entry);
    }

    /// Whether nothing is on its way for a unit.
    pub(super) fn is_idle(&self, unit: Unit) -> bool {
        self.units.get(unit).is_some_and(|it| {
            it.stage == Stage::Idle
                && !it.entries().iter().any(|entry| self.deriving.contains_key(entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_aborted_job_is_waited_for_up_to_an_instant() {
        let now = Stamp { monotonic: 0, wall: 0 };
        let at = now.later_by(ABORT_WAIT);
        let job = |given_up| Job {
            kind: JobKind::Fetch,
            units: Vec::new(),
            along: BTreeSet::new(),
            spans: HashMap::new(),
            given_up,
        };
        assert!(!job(None).is_given_up(at));
        assert!(!job(Some(at.monotonic)).is_given_up(now));
        assert!(job(Some(at.monotonic)).is_given_up(at));
    }
}
