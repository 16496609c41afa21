//! How fetches and derivations end.

use tracing::Span;

use super::jobs::{Job, JobKind};
use super::units::{Origin, Stage, Unit};
use super::{Came, CameAs, Deriving, Effect, Engine, JobId, Landing, Part, Retired, Word};
use crate::clock::{self, Stamp};
use crate::error::{Attempts, Error, ErrorKind};
use crate::freshness::{self, Bounds, Rhythm};
use crate::snapshot::{Answer, AnyValue, Asked, Attempt, Failure, NewValue, Slot};
use crate::sources::Derivation;

/// How a request's fetch ended, for traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Unchanged,
    Changed,
    Deriving,
    Failed,
    /// It did not count.
    Discarded,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Deriving => "deriving",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }
}

impl Engine {
    pub(super) fn fetched(&mut self, id: JobId, calls: u64, parts: Vec<Part<Came>>, now: Stamp) {
        let Some(job) = self.ended(id, calls) else { return };
        // One draw for all that was fetched together, so that it stays together.
        let jitter = self.random.f64();
        for Part { request, entries } in parts {
            let unit = Unit::Request(request);
            let span = job.spans.get(&request);
            // guarantee 7: only the fetch that the request waits for counts.
            let Some(asked) = self.in_flight_by(unit, id) else {
                record(span, Ending::Discarded);
                self.discard(entries);
                continue;
            };
            self.units.set_stage(unit, Stage::Idle);
            self.units.request_mut(request).jitter = jitter;
            let outcome = self.land(request, asked, entries, now);
            record(span, outcome);
            took(span, asked, now);
        }
    }

    /// A derivation has ended. It counts if it is the entry's present one.
    pub(super) fn derived(&mut self, id: JobId, value: Result<AnyValue, Error>, now: Stamp) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let JobKind::Derive(entry) = job.kind else { return };
        let request = self.board.definition(entry).request;
        let span = job.spans.get(&request);
        let Some(deriving) = self.deriving.get(&entry).filter(|it| it.job == id) else {
            record(span, Ending::Discarded);
            self.retired.push(Retired::Derived(value));
            return;
        };
        let asked = deriving.asked;
        let (answer, lifetime) = match value {
            Ok(value) => {
                let version = Some(deriving.version.clone());
                (CameAs::Changed(NewValue { value, version }), deriving.lifetime)
            }
            Err(error) => (CameAs::Failed(error), None),
        };
        self.deriving.remove(&entry);
        let outcome = self.land(request, asked, vec![(entry, Came { answer, lifetime })], now);
        record(span, outcome);
        took(span, asked, now);
    }

    /// Puts the answers to one request into its entries' slots.
    fn land(
        &mut self,
        request: usize,
        asked: Asked,
        entries: Vec<(usize, Came)>,
        now: Stamp,
    ) -> Ending {
        let failures = entries.iter().filter_map(|(_, came)| match &came.answer {
            CameAs::Failed(error) => Some(error.kind() == ErrorKind::Throttled),
            _ => None,
        });
        // That of the request, or of what one of its entries made of the answer.
        if let Some(is_throttled) = failures.max() {
            let fetching = self.units.request_mut(request);
            fetching.failures = fetching.failures.saturating_add(1);
            fetching.throttled = fetching.throttled.saturating_add(u32::from(is_throttled));
        }
        let mut outcome = Ending::Deriving;
        let mut landed = false;
        for (entry, came) in entries {
            if let Some(came) = self.came(entry, asked, came, now) {
                outcome = came;
                landed = true;
            }
        }
        let failing = |&entry: &usize| self.board.slot(entry).failure().is_some();
        if !self.units.request(request).entries().iter().any(failing) {
            self.units.request_mut(request).well_again();
        }
        let unit = Unit::Request(request);
        if self.is_idle(unit) {
            if outcome != Ending::Failed {
                let took = clock::duration(now.monotonic.saturating_sub(asked.began.monotonic));
                self.units.request_mut(request).latency.record(took);
            }
            self.completed(unit);
        }
        if landed && let Some(tally) = self.life.phase.tally() {
            let count = match outcome {
                Ending::Failed => &mut tally.failed,
                _ => &mut tally.refreshed,
            };
            *count += 1;
        }
        self.reschedule(request);
        outcome
    }

    /// A unit has become idle. Readers look at what is published, and ask again if that is not enough.
    fn completed(&mut self, unit: Unit) {
        if let Some(fetching) = self.units.get_mut(unit) {
            fetching.cancelled = 0;
            fetching.pause = None;
        }
        self.units.set_wanted(unit, false);
    }

    /// Puts one answer into an entry's slot; `None` if nothing follows from it, or not yet.
    fn came(&mut self, entry: usize, asked: Asked, came: Came, now: Stamp) -> Option<Ending> {
        let Came { answer, lifetime } = came;
        // One derivation at a time: it goes on, whatever another fetch brings. A fetch that confirms its
        // version gives it its stamp.
        if let Some(deriving) = self.deriving.get_mut(&entry) {
            match answer {
                CameAs::Unchanged(version) if version == deriving.version => {
                    deriving.asked = asked;
                    deriving.lifetime = lifetime;
                }
                other => self.discard(vec![(entry, Came { answer: other, lifetime })]),
            }
            return None;
        }
        let (answer, outcome) = match answer {
            CameAs::Unchanged(version) => (Answer::Unchanged(version), Ending::Unchanged),
            CameAs::Changed(value) => (Answer::Changed(value), Ending::Changed),
            CameAs::ToDerive(derivation, version) => {
                let deriving = Deriving {
                    job: self.begin_job(
                        JobKind::Derive(entry),
                        vec![Unit::Request(self.board.definition(entry).request)],
                    ),
                    asked,
                    version: asked.numbered(version),
                    lifetime,
                };
                self.derive(entry, derivation, deriving, now);
                return None;
            }
            CameAs::Failed(error) => {
                (Answer::Failed(Box::new(self.failure(entry, error, asked, now))), Ending::Failed)
            }
        };
        let Some(slot) = self.board.slot(entry).after(asked, answer, lifetime) else {
            // The answer was about another version than the one that is stored.
            self.set_attempt(entry, Attempt::None);
            self.wakes = true;
            return None;
        };
        match outcome {
            Ending::Failed => self.counters.failed(entry),
            _ => self.counters.refreshed(entry),
        }
        self.board.set(entry, slot);
        Some(outcome)
    }

    fn derive(&mut self, entry: usize, derivation: Derivation, deriving: Deriving, now: Stamp) {
        let definition = self.board.definition(entry);
        let request = definition.request;
        let began = deriving.asked.began.monotonic;
        let spent = clock::duration(now.monotonic.saturating_sub(began));
        let limit = self.units.request(request).timeout.saturating_sub(spent);
        let timeout = self.timeout(limit, now);
        let span = tracing::debug_span!(
            "derive",
            entry = %definition.name,
            outcome = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        );
        let job = deriving.job;
        if let Some(job) = self.jobs.get_mut(&job) {
            job.spans.insert(request, span);
        }
        self.deriving.insert(entry, deriving);
        self.effects.push(Effect::Derive { job, entry, derivation, timeout });
    }

    fn failure(&self, entry: usize, error: Error, asked: Asked, now: Stamp) -> Failure {
        let definition = self.board.definition(entry);
        let fetching = self.units.request(definition.request);
        tracing::warn!(entry = %definition.name, %error, "refresh failed");
        let attempts = Attempts { made: fetching.failures, throttled: fetching.throttled };
        let pause = match &self.init {
            Some(init) => init.back_off(&error, attempts, fetching.jitter, now),
            None => freshness::back_off(fetching.failures, fetching.jitter),
        };
        let error = if self.init.is_some() { error.after(attempts) } else { error };
        Failure {
            error,
            ended: now,
            fetch: asked.number,
            back_off: Bounds::of(now, pause),
            attempt: Attempt::None,
        }
    }

    /// A fetch of keys has ended: has its memo store what counts.
    pub(super) fn keys_fetched(&mut self, id: JobId, tickets: &[(u64, bool)], now: Stamp) {
        let Some(job) = self.jobs.remove(&id) else { return };
        for unit in job.units {
            // A ticket that its memo has forgotten was not fetched.
            if let Unit::Ticket(ticket) = unit
                && self.in_flight_by(unit, id).is_some()
                && !tickets.iter().any(|&(fetched, _)| fetched == ticket)
            {
                self.units.remove(ticket);
            }
        }
        let jitter = self.random.f64();
        let mut landing = None;
        let mut landed = Vec::new();
        for &(ticket, is_value) in tickets {
            let unit = Unit::Ticket(ticket);
            let Some(asked) = self.in_flight_by(unit, id) else { continue };
            let Some(Origin::Memo(memo)) = self.units.get(unit).map(|it| it.origin) else {
                continue;
            };
            landing = Some((memo, asked));
            landed.push(ticket);
            if is_value && let Some(memo) = self.memos.get_mut(&memo) {
                let took = clock::duration(now.monotonic.saturating_sub(asked.began.monotonic));
                memo.latency.record(took);
            }
        }
        let Some((memo, asked)) = landing else {
            self.effects.push(Effect::Discard { fetched: id });
            return;
        };
        let distance = self.memos.get(&memo).map(|it| it.latency.distance()).unwrap_or_default();
        let units: Vec<Unit> = landed.iter().map(|&ticket| Unit::Ticket(ticket)).collect();
        let job = self.begin_job(JobKind::Land, units.clone());
        for unit in units {
            self.units.set_stage(unit, Stage::Landing);
        }
        let pace = self.pace_of_keys(memo);
        let landing = Landing { asked, now, rhythm: Rhythm { pace, jitter, distance } };
        self.effects.push(Effect::Land { job, fetched: id, tickets: landed, landing });
    }

    pub(super) fn done(&mut self, id: JobId, now: Stamp) {
        let Some(job) = self.jobs.remove(&id) else { return };
        match job.kind {
            JobKind::Land => {
                for unit in job.units {
                    if let Unit::Ticket(ticket) = unit {
                        self.units.remove(ticket);
                    }
                }
            }
            JobKind::Reset => self.told(Word::Reset, now),
            JobKind::Age => self.answers.extend(self.aging.remove(&id)),
            JobKind::Clear | JobKind::Plan | JobKind::Fetch | JobKind::Derive(_) => {}
        }
    }

    pub(super) fn aborted(&mut self, id: JobId, calls: u64) {
        if let Some(job) = self.ended(id, calls) {
            job.spans.values().for_each(|span| _ = span.record("outcome", "cancelled"));
        }
    }

    /// A job panicked.
    pub(super) fn panicked(&mut self, id: JobId, calls: u64, error: &Error, now: Stamp) {
        let Some(job) = self.jobs.get(&id) else { return };
        match job.kind {
            JobKind::Plan => self.planned(id, Vec::new(), Vec::new(), now),
            JobKind::Derive(_) => self.derived(id, Err(error.clone()), now),
            JobKind::Fetch => {
                // Memos catch the panics of what they fetch.
                let parts = self.all_failed(id, error);
                self.fetched(id, calls, parts, now);
            }
            JobKind::Land | JobKind::Age | JobKind::Clear | JobKind::Reset => self.done(id, now),
        }
    }

    /// The same error for every entry of a job that still counts.
    fn all_failed(&self, id: JobId, error: &Error) -> Vec<Part<Came>> {
        let units = self.jobs.get(&id).map(|job| job.units.clone()).unwrap_or_default();
        let parts = units.into_iter().filter_map(|unit| {
            let Unit::Request(request) = unit else { return None };
            let entries = self.units.request(request).entries().iter().copied();
            let entries =
                entries.filter(|&entry| !matches!(self.board.slot(entry), Slot::NotRequested));
            let failed = |entry| {
                let answer = CameAs::Failed(error.clone());
                (entry, Came { answer, lifetime: None })
            };
            Some(Part { request, entries: entries.map(failed).collect() })
        });
        parts.collect()
    }

    /// A fetch has ended, in one way or another.
    fn ended(&mut self, id: JobId, calls: u64) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        let entries = job.units.iter().filter_map(|&unit| self.units.get(unit));
        let entries: Vec<usize> = entries.flat_map(|it| it.entries().to_vec()).collect();
        if job.kind == JobKind::Fetch {
            self.counters.called(entries.into_iter(), calls);
        }
        Some(job)
    }

    /// The fetch of a unit, if it is this job's.
    fn in_flight_by(&self, unit: Unit, id: JobId) -> Option<Asked> {
        match self.units.get(unit)?.stage {
            Stage::InFlight { job, asked } if job == id => Some(asked),
            _ => None,
        }
    }

    /// Gives up answers that nothing waits for.
    fn discard(&mut self, entries: Vec<(usize, Came)>) {
        self.retired.push(Retired::Came(entries));
    }
}

fn record(span: Option<&Span>, outcome: Ending) {
    span.map(|span| span.record("outcome", outcome.as_str()));
}

fn took(span: Option<&Span>, asked: Asked, now: Stamp) {
    let took = clock::duration(now.monotonic.saturating_sub(asked.began.monotonic));
    span.map(|span| span.record("duration_ms", took.as_secs_f64() * 1e3));
}
