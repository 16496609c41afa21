//! Fetches: which requests go together, and what is in flight.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id};
use tracing::Span;

use super::Actor;
use crate::clock::Stamp;
use crate::freshness::{self, Bounds};
use crate::refresher::Cause;
use crate::refresher::job::{Job, Part, Target};
use crate::snapshot::{Retry, Slot};
use crate::sources::Calls;

/// What a fetch leaves of an invocation's time for the handler to answer in.
const RESERVE: Duration = Duration::from_millis(50);

/// One request: what is fetched at once for all the entries that share it.
pub(super) struct Request {
    source: usize,
    local: usize,
    pub(super) entries: Vec<usize>,
    pub(super) flight: Option<Flight>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Cancellations in a row, and until when the last one keeps it from being tried again ahead of
    /// need.
    cancelled: u32,
    pause: Bounds,
    /// What the last fetch drew for how much earlier than the soft bound the next one is due.
    pub(super) jitter: f64,
}

impl Request {
    pub(super) fn new((source, local): (usize, usize)) -> Self {
        Self {
            source,
            local,
            entries: Vec::new(),
            flight: None,
            failures: 0,
            cancelled: 0,
            pause: Bounds::NEVER,
            jitter: 0.0,
        }
    }

    /// Its number at its source.
    pub(super) fn local(&self) -> usize {
        self.local
    }

    /// Its fetch, and all that is derived from it, has come to an end of its own.
    pub(super) fn completed(&mut self) {
        self.cancelled = 0;
    }

    /// Its fetch has been cancelled for lack of time.
    /// Says until when that keeps it from being tried again ahead of need.
    pub(super) fn cancel(&mut self, now: Stamp) -> Bounds {
        self.flight = None;
        self.cancelled = self.cancelled.saturating_add(1);
        self.pause = Bounds::of(now, freshness::pause(self.cancelled));
        self.pause
    }

    /// The bound within which a cancellation keeps it from being fetched ahead of need, if one does.
    pub(super) fn pause(&self) -> Option<Bounds> {
        (self.cancelled > 0).then_some(self.pause)
    }
}

/// The fetch a request waits for; what any other brings is discarded.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    pub(super) task: Id,
    pub(super) number: u64,
    pub(super) began: Stamp,
}

/// A job in flight.
pub(super) struct Running {
    pub(super) abort: AbortHandle,
    pub(super) stage: Stage,
    pub(super) source: usize,
    pub(super) parts: Vec<Part>,
    /// The invocation it began in.
    pub(super) invocation: u64,
    pub(super) spans: HashMap<usize, Span>,
    pub(super) calls: Calls,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Fetch,
    /// It derives one entry's value from what was fetched.
    Derive,
}

impl Actor {
    /// Sees to it that an answer to the entry's request comes. One in flight may turn out too old
    /// for this reader, who then asks again; but not one that was frozen in flight.
    pub(super) fn want(&mut self, entry: usize, cause: Cause, now: Stamp) {
        let patience = self.publisher.catalog().patience;
        let index = self.publisher.catalog().entries[entry].request;
        self.wanted.insert(index);
        let deriving = self.deriving.get(&entry).map(|it| it.flight);
        match self.requests[index].flight.or(deriving) {
            Some(flight) if Bounds::of(flight.began, patience).admits(now) => {}
            Some(_) => {
                self.requests[index].flight = None;
                self.deriving.remove(&entry);
                self.launching.insert(index, Cause::Restart);
            }
            None => {
                self.launching.entry(index).or_insert(cause);
            }
        }
    }

    /// Has all that is due fetched, what has expired before the rest; says how much that is.
    pub(super) fn launch_due(&mut self, cause: Cause) -> usize {
        let due = self.schedule.broken(self.clock.now());
        for &index in &due {
            self.launching.entry(index).or_insert(cause);
        }
        due.len()
    }

    pub(super) fn launch(&mut self) {
        if self.suspended {
            return;
        }
        let launching = std::mem::take(&mut self.launching);
        if launching.is_empty() {
            return;
        }
        let now = self.clock.now();
        let broken = self.bounds.broken(now);
        let expired = |index: &usize| {
            self.requests[*index].entries.iter().any(|entry| broken.binary_search(entry).is_ok())
        };
        let (first, then): (Vec<usize>, Vec<usize>) = launching.keys().copied().partition(expired);
        for indices in [first, then] {
            let mut by_source: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for index in indices {
                by_source.entry(self.requests[index].source).or_default().push(index);
            }
            for (source, indices) in by_source {
                for batch in self.plan(source, indices) {
                    self.start(source, &batch, &launching, now);
                }
            }
        }
    }

    /// Splits requests of one source as the source would have it. What it leaves out, or all if its
    /// code panics, goes one by one.
    fn plan(&self, source: usize, indices: Vec<usize>) -> Vec<Vec<usize>> {
        let local = |&index: &usize| self.requests[index].local;
        let locals: Vec<usize> = indices.iter().map(local).collect();
        let mut of_local: HashMap<usize, usize> =
            locals.iter().copied().zip(indices.iter().copied()).collect();
        let plan = catch_unwind(AssertUnwindSafe(|| self.sources[source].plan(&locals)));
        let batches = plan.unwrap_or_default();
        let mut batches: Vec<Vec<usize>> = batches
            .iter()
            .map(|batch| batch.iter().filter_map(|local| of_local.remove(local)).collect())
            .collect();
        batches.extend(locals.iter().filter_map(|local| of_local.remove(local)).map(|it| vec![it]));
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    fn start(
        &mut self,
        source: usize,
        batch: &[usize],
        causes: &BTreeMap<usize, Cause>,
        now: Stamp,
    ) {
        let parts: Vec<Part> = batch.iter().map(|&index| self.part(index)).collect();
        let spans = parts.iter().map(|part| {
            let cause = causes.get(&part.request).copied().unwrap_or(Cause::Restart);
            (part.request, self.span(part, cause, batch.len()))
        });
        let spans = spans.collect();
        let (timeout, calls) = (self.timeout(now), Calls::default());
        let job = Job {
            source: Arc::clone(&self.sources[source]),
            parts: parts.iter().map(Part::clone).collect(),
            began: now,
            timeout,
            calls: calls.clone(),
        };
        // Stamped and numbered before the request leaves: a fetch is as old as its question.
        let number = self.publisher.begin_fetch();
        let abort = self.jobs.spawn(job.run());
        let flight = Flight { task: abort.id(), number, began: now };
        for &index in batch {
            self.requests[index].flight = Some(flight);
            for entry in self.requests[index].entries.clone() {
                self.set_retry(entry, Retry::Running);
            }
            self.reschedule(index);
        }
        let (stage, invocation) = (Stage::Fetch, self.invocations);
        let running = Running { abort, stage, source, parts, invocation, spans, calls };
        self.running.insert(flight.task, running);
    }

    /// A fetch is given less time than the invocation has left, so that the handler can still say
    /// what was wrong.
    pub(super) fn timeout(&self, now: Stamp) -> Duration {
        let limit = self.settings.operation_timeout;
        let Some(current) = &self.invocation else { return limit };
        let left = current.deadline(now).monotonic() - now.monotonic();
        if left.is_zero() {
            // The deadline of an invocation that is over says nothing.
            return limit;
        }
        limit.min(left.saturating_sub(RESERVE).max(left / 2))
    }

    fn part(&self, index: usize) -> Part {
        let request = &self.requests[index];
        let active = |&&entry: &&usize| !matches!(self.publisher.slot(entry), Slot::Unread);
        let held = |entry| match self.deriving.get(&entry) {
            Some(deriving) => Some(deriving.version.clone()),
            None => self.publisher.slot(entry).held().map(|held| held.version.clone()),
        };
        let target = |&entry: &usize| Target {
            entry,
            held: held(entry),
            decode: Arc::clone(&self.decoders[entry]),
        };
        Part {
            request: index,
            local: request.local,
            targets: request.entries.iter().filter(active).map(target).collect(),
        }
    }

    fn span(&self, part: &Part, cause: Cause, batch: usize) -> Span {
        let entries = &self.publisher.catalog().entries;
        let names: Vec<&str> = part.targets.iter().map(|it| &*entries[it.entry].name).collect();
        tracing::debug_span!(
            "refresh",
            entry = names.join(","),
            source = self.sources[self.requests[part.request].source].describe(part.local),
            cause = cause.as_str(),
            batch,
            outcome = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        )
    }
}
