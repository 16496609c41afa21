//! How fetches begin and are cut off: queued, planned, in flight, cancelled, started again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::Span;

use super::units::{Cause, Fetching, Origin, Readers, Stage, Unit};
use super::{Attempted, Effect, Engine, Fetch, FetchOf, JobId, JobKind, Part, Phase};
use crate::clock::Stamp;
use crate::entry::Version;
use crate::freshness::{Bounds, RETRY_PAUSE};
use crate::snapshot::{Asked, Attempt, Slot};

impl Engine {
    /// Queues all that is due; says how much that is.
    pub(super) fn queue_due(&mut self, cause: Cause, now: Stamp) -> usize {
        let mut due = 0;
        for request in self.schedule.broken(now) {
            let unit = Unit::Request(request);
            // The end of a pause is looked at here, since it is nobody else's business.
            if self.units.request(request).pause.is_some() {
                self.units.request_mut(request).pause = None;
                self.reschedule(request, now);
                if self.schedule.admits(request, now) {
                    continue;
                }
            }
            self.units.queue(unit, cause);
            due += 1;
        }
        due
    }

    /// Works out anew when a request is due in the background.
    pub(super) fn reschedule(&mut self, request: usize, now: Stamp) {
        let fetching = self.units.request(request);
        let distance = fetching.latency.distance();
        let due = |&entry: &usize| {
            let policy = &self.board.definition(entry).policy;
            match self.board.slot(entry) {
                // A schedule for what every read fetches would be a hot loop.
                _ if policy.max_age == Some(Duration::ZERO) => Bounds::ALWAYS,
                _ if self.deriving.contains_key(&entry) => Bounds::ALWAYS,
                Slot::Ready(stored) => stored.due(policy, fetching.jitter, distance),
                Slot::Failed(_, failure) => failure.back_off,
                Slot::Empty => Bounds::NEVER,
                Slot::NotRequested => Bounds::ALWAYS,
            }
        };
        let due = match fetching.stage {
            Stage::Idle | Stage::Queued(_) => {
                fetching.entries().iter().map(due).fold(Bounds::ALWAYS, Bounds::and)
            }
            Stage::Planning { .. } | Stage::InFlight { .. } | Stage::Landing(_) => Bounds::ALWAYS,
        };
        // A pause puts off what is due, and makes nothing due.
        let due = match fetching.pause {
            Some(pause) if due != Bounds::ALWAYS && pause.admits(now) => pause,
            _ => due,
        };
        self.schedule.set(request, due);
    }

    /// Has the origins of what is queued say which units go together, what has expired first.
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
        let mut forgotten: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for unit in self.units.queued() {
            let Some(Fetching { origin, timeout, readers, .. }) = self.units.get(unit) else {
                continue;
            };
            let (origin, timeout) = (*origin, *timeout);
            let later = match readers {
                Readers::Entries(entries) => !entries.iter().any(|it| expired.contains(it)),
                Readers::Key { .. } => false,
            };
            match (unit, origin) {
                (Unit::Ticket(ticket), Origin::Memo(memo)) if !self.is_ticket_needed(unit) => {
                    self.units.remove(ticket);
                    forgotten.entry(memo).or_default().push(ticket);
                }
                // Ahead of need, and the environment may freeze: it waits for the next invocation.
                (Unit::Ticket(_), _) if !ahead && !self.units.is_awaited(unit) => {}
                _ => plans.entry((later, origin, timeout)).or_default().push(unit),
            }
        }
        for (memo, tickets) in forgotten {
            self.effects.push(Effect::Forget { memo, tickets, cancelled: None });
        }
        for ((_, origin, _), units) in plans {
            let job = self.begin_job(JobKind::Plan, units.clone());
            for &unit in &units {
                let Some(Stage::Queued(cause)) = self.units.get(unit).map(|it| it.stage) else {
                    continue;
                };
                self.units.set_stage(unit, Stage::Planning { job, cause });
                if let Unit::Request(request) = unit {
                    self.reschedule(request, now);
                }
            }
            self.effects.push(Effect::Plan { job, origin, units, ahead });
        }
    }

    /// An origin has said which units go together. What it leaves out goes one by one.
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
            let batch: Vec<Unit> = batch.into_iter().filter(|unit| left.remove(unit)).collect();
            if !batch.is_empty() {
                self.start(batch, now);
            }
        }
        for unit in left {
            self.start(vec![unit], now);
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
                    let span = self.span(&part, units.len());
                    if let Some(job) = self.jobs.get_mut(&job) {
                        job.spans.insert(request, span);
                    }
                    parts.push(part);
                }
                Unit::Ticket(ticket) => tickets.push(ticket),
            }
            self.units.set_stage(unit, Stage::InFlight { job, asked });
            self.begin_attempts(unit, asked, now);
        }
        let what = match origin {
            Origin::Source(_) => FetchOf::Requests(parts),
            Origin::Memo(_) => FetchOf::Tickets(tickets),
        };
        self.effects.push(Effect::Fetch(Fetch { job, origin, asked, timeout, what }));
    }

    /// A fetch is given less time than the invocation has left, so that the handler can still say what
    /// was wrong.
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

    fn span(&self, part: &Part<Option<Version>>, batch: usize) -> Span {
        let cause = match self.units.request(part.request).stage {
            Stage::Planning { cause, .. } => cause,
            _ => Cause::Restart,
        };
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

    /// A fetch is also the attempt that follows the failures of what it is for: reads wait for it, but
    /// not for long.
    fn begin_attempts(&mut self, unit: Unit, asked: Asked, now: Stamp) {
        let Some(fetching) = self.units.get(unit) else { return };
        match (unit, &fetching.readers) {
            (Unit::Ticket(ticket), Readers::Key { failing: true, .. }) => {
                let Origin::Memo(memo) = fetching.origin else { return };
                let Some(memo) = self.memos.get(&memo) else { return };
                let wait = memo.options.wait_if_failing;
                let wait = wait.unwrap_or(memo.latency.wait_if_failing());
                let at = now.later_by(wait).monotonic;
                self.slow.insert((at, Attempted::Ticket(ticket), asked.number));
            }
            (_, Readers::Key { .. }) => {}
            (_, Readers::Entries(entries)) => {
                let usual = fetching.latency.wait_if_failing();
                for entry in entries.clone() {
                    let attempt = Attempt::Running(asked.number);
                    if self.set_attempt(entry, attempt) {
                        let wait = self.board.definition(entry).policy.wait_if_failing;
                        let at = now.later_by(wait.unwrap_or(usual)).monotonic;
                        self.slow.insert((at, Attempted::Entry(entry), asked.number));
                    }
                }
            }
        }
    }

    /// The attempt of what a unit is for is no longer under way.
    pub(super) fn end_attempts(&mut self, unit: Unit) {
        let entries = self.units.get(unit).map(|it| it.entries().to_vec());
        for entry in entries.unwrap_or_default() {
            self.set_attempt(entry, Attempt::None);
        }
    }

    /// Says whether the entry is failing at all.
    pub(super) fn set_attempt(&mut self, entry: usize, attempt: Attempt) -> bool {
        let Some(failure) = self.board.slot(entry).failure() else { return false };
        if failure.attempt != attempt
            && let Some(slot) = self.board.slot(entry).with_failure(|it| it.attempt = attempt)
        {
            self.board.set(entry, slot);
        }
        true
    }

    /// Reads have waited long enough for attempts that are still under way.
    pub(super) fn attempts_slow_down(&mut self, now: Stamp) {
        while let Some(&(at, attempted, number)) = self.slow.first()
            && at <= now.monotonic
        {
            self.slow.pop_first();
            match attempted {
                Attempted::Entry(entry) => {
                    let attempt = self.board.slot(entry).failure().map(|it| it.attempt);
                    if attempt == Some(Attempt::Running(number)) {
                        self.set_attempt(entry, Attempt::Slow(number));
                    }
                }
                Attempted::Ticket(ticket) => {
                    let fetching = self.units.get(Unit::Ticket(ticket));
                    let in_flight = fetching.and_then(Fetching::in_flight);
                    if in_flight.is_some_and(|asked| asked.number == number)
                        && let Some(Origin::Memo(memo)) = fetching.map(|it| it.origin)
                    {
                        self.effects.push(Effect::Slow { memo, ticket });
                    }
                }
            }
        }
    }

    /// A new invocation may try once more what failed in an earlier one, unless that was a moment ago
    /// or the service asked for fewer requests.
    pub(super) fn allow_retries(&mut self, now: Stamp) {
        for entry in self.board.failing() {
            let Some(failure) = self.board.slot(entry).failure() else { continue };
            let just_now = Bounds::of(failure.ended, RETRY_PAUSE).admits(now);
            if failure.backs_off(now) && !just_now && !failure.is_throttled() {
                let slot = self.board.slot(entry).with_failure(|it| it.back_off = Bounds::NEVER);
                if let Some(slot) = slot {
                    self.board.set(entry, slot);
                }
                self.reschedule(self.board.definition(entry).request, now);
            }
        }
    }

    /// The environment may have been frozen since the last word. Fetches that were in flight then may
    /// be signed too long ago and their sockets dead, so they are started again; so is what was
    /// cancelled while a reader waited for it.
    // guarantee 10
    pub(super) fn restart_frozen_fetches(&mut self, now: Stamp) {
        let frozen = |(&id, job): (&JobId, &super::Job)| {
            (job.thaws < self.thaws && job.kind.is_cut_off_by_a_freeze()).then_some(id)
        };
        let frozen: Vec<JobId> = self.jobs.iter().filter_map(frozen).collect();
        let mut forgotten: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for job in frozen {
            for unit in self.cut_off(job, now) {
                match (unit, self.units.get(unit).map(|it| it.origin)) {
                    (Unit::Ticket(ticket), Some(Origin::Memo(memo)))
                        if !self.units.is_awaited(unit) =>
                    {
                        self.units.remove(ticket);
                        forgotten.entry(memo).or_default().push(ticket);
                    }
                    _ => self.units.queue(unit, Cause::Restart),
                }
            }
        }
        for (memo, tickets) in forgotten {
            self.effects.push(Effect::Forget { memo, tickets, cancelled: None });
        }
        for unit in self.units.awaited() {
            if self.is_idle(unit) {
                self.units.queue(unit, Cause::Restart);
            }
        }
    }

    /// Cancels what no reader waits for.
    pub(super) fn cancel_unwanted(&mut self, now: Stamp) {
        self.cancel(now, |engine, unit| !engine.units.is_awaited(unit));
    }

    /// Cancels what no reader waits for and was begun in spite of a pause: its last fetch took longer
    /// than the hold limit, so this one is not worth another hold.
    pub(super) fn cancel_paused(&mut self, now: Stamp) {
        self.cancel(now, |engine, unit| {
            !engine.units.is_awaited(unit)
                && engine.units.get(unit).is_some_and(|it| it.is_paused(now))
        });
    }

    /// Cancels everything. What readers wait for is started again by the next invocation.
    pub(super) fn cancel_all(&mut self, now: Stamp) {
        self.cancel(now, |_, _| true);
    }

    /// Cancels the fetches of which `which` says so of every unit, and what is queued.
    fn cancel(&mut self, now: Stamp, which: impl Fn(&Self, Unit) -> bool) {
        _ = self.units.awaited();
        for unit in self.units.queued() {
            // Keys that are due wait for an invocation that has time for them.
            if which(self, unit)
                && (matches!(unit, Unit::Request(_)) || self.units.is_awaited(unit))
            {
                self.units.set_stage(unit, Stage::Idle);
            }
        }
        let all = |engine: &Self, units: &[Unit]| units.iter().all(|&unit| which(engine, unit));
        let cancelled = |(&id, job): (&JobId, &super::Job)| {
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
                    if !self.units.is_awaited(unit) {
                        self.units.remove(ticket);
                    }
                }
                (Unit::Request(request), _) => self.reschedule(request, now),
                _ => {}
            }
        }
        for (memo, tickets) in paused {
            self.effects.push(Effect::Forget { memo, tickets, cancelled: Some(now) });
        }
    }

    /// Ends a job whose result will not count; gives its units, which are idle then.
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

impl JobKind {
    /// Whether it talks to somebody outside the environment.
    fn is_cut_off_by_a_freeze(self) -> bool {
        matches!(self, Self::Fetch | Self::Derive(_))
    }

    fn is_cancellable(self) -> bool {
        matches!(self, Self::Fetch | Self::Derive(_) | Self::Plan)
    }
}
