//! What is fetched, and how far each fetch is.
//!
//! The requests of entries and the keys of memos go through the same stages. What differs is where
//! their values are kept: an entry's in a slot here, a key's in its memo's store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Cause, JobId};
use crate::clock::Stamp;
use crate::freshness::{self, Bounds, Latency};
use crate::snapshot::{Asked, WaitCount, Waiters};

/// What is fetched as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unit {
    /// The request, by its number, that entries share.
    Request(usize),
    /// One key of a memo, by the number of its ticket. A ticket lives from the first request for a key
    /// until its value is in the memo's store.
    Ticket(u64),
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    Source(usize),
    Memo(u64),
}

/// How far the fetch of a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Idle,
    /// It is started with the next plan.
    Queued(Cause),
    /// Its source decides which units go together.
    Planning {
        job: JobId,
        cause: Cause,
    },
    /// Under way. The result of any other fetch is discarded.
    InFlight {
        job: JobId,
        asked: Asked,
    },
    /// Its memo is storing the value.
    Landing,
}

/// Who waits for a unit.
#[derive(Debug)]
pub(crate) enum Readers {
    /// Those of these entries.
    Entries(Vec<usize>),
    /// Those of one key.
    Key {
        waiting: Arc<WaitCount>,
        /// The last fetch before this one failed.
        failing: bool,
    },
}

/// The fetches of one unit.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) origin: Origin,
    pub(crate) readers: Readers,
    /// How long a fetch of it may take.
    pub(crate) timeout: Duration,
    pub(crate) stage: Stage,
    /// A reader has asked for it. While readers wait, a cancelled fetch is started again.
    pub(crate) wanted: bool,
    /// Failures in a row, and how many of them were for throttling.
    pub(crate) failures: u32,
    pub(crate) throttled: u32,
    /// Cancellations in a row, and the pause in background fetches after the last one.
    pub(crate) cancelled: u32,
    pub(crate) pause: Option<Bounds>,
    pub(crate) latency: Latency,
    /// The last fetch's random share of the tenth by which the next one is brought forward.
    pub(crate) jitter: f64,
}

impl Fetching {
    pub(crate) fn new(origin: Origin, readers: Readers, timeout: Duration) -> Self {
        Self {
            origin,
            readers,
            timeout,
            stage: Stage::Idle,
            wanted: false,
            failures: 0,
            throttled: 0,
            cancelled: 0,
            pause: None,
            latency: Latency::default(),
            jitter: 0.0,
        }
    }

    /// Its failures in a row are over.
    pub(crate) fn well_again(&mut self) {
        (self.failures, self.throttled) = (0, 0);
    }

    /// The entries that share a request; none for a key of a memo.
    pub(crate) fn entries(&self) -> &[usize] {
        match &self.readers {
            Readers::Entries(entries) => entries,
            Readers::Key { .. } => &[],
        }
    }

    pub(crate) fn in_flight(&self) -> Option<Asked> {
        match self.stage {
            Stage::InFlight { asked, .. } => Some(asked),
            _ => None,
        }
    }

    /// The job that is under way for it.
    pub(crate) fn job(&self) -> Option<JobId> {
        match self.stage {
            Stage::Planning { job, .. } | Stage::InFlight { job, .. } => Some(job),
            Stage::Idle | Stage::Queued(_) | Stage::Landing => None,
        }
    }

    /// Begins a pause after a cancellation: for a while, only readers start a fetch.
    pub(crate) fn pause_after_cancellation(&mut self, now: Stamp) {
        self.cancelled = self.cancelled.saturating_add(1);
        self.pause = Some(Bounds::of(now, freshness::pause(self.cancelled)));
    }

    pub(crate) fn is_paused(&self, now: Stamp) -> bool {
        self.pause.is_some_and(|pause| pause.admits(now))
    }
}

/// Every unit. The requests are always there; a ticket is, for as long as its fetch.
#[derive(Debug)]
pub(crate) struct Units {
    requests: Vec<Fetching>,
    tickets: BTreeMap<u64, Fetching>,
    /// Those that are `Queued`.
    queue: BTreeSet<Unit>,
    /// Those that are `wanted`.
    wanted: BTreeSet<Unit>,
    waiters: Arc<Waiters>,
}

impl Units {
    pub(crate) fn new(requests: Vec<Fetching>, waiters: Arc<Waiters>) -> Self {
        let (queue, wanted) = (BTreeSet::new(), BTreeSet::new());
        Self { requests, tickets: BTreeMap::new(), queue, wanted, waiters }
    }

    pub(crate) fn get(&self, unit: Unit) -> Option<&Fetching> {
        match unit {
            Unit::Request(request) => self.requests.get(request),
            Unit::Ticket(ticket) => self.tickets.get(&ticket),
        }
    }

    /// A unit, for anything but its stage.
    pub(crate) fn get_mut(&mut self, unit: Unit) -> Option<&mut Fetching> {
        match unit {
            Unit::Request(request) => self.requests.get_mut(request),
            Unit::Ticket(ticket) => self.tickets.get_mut(&ticket),
        }
    }

    pub(crate) fn request(&self, request: usize) -> &Fetching {
        &self.requests[request]
    }

    pub(crate) fn request_mut(&mut self, request: usize) -> &mut Fetching {
        &mut self.requests[request]
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// A ticket that its memo has made.
    pub(crate) fn insert(&mut self, ticket: u64, fetching: Fetching) {
        self.tickets.insert(ticket, fetching);
    }

    /// A ticket has ended.
    pub(crate) fn remove(&mut self, ticket: u64) {
        let unit = Unit::Ticket(ticket);
        self.queue.remove(&unit);
        self.wanted.remove(&unit);
        self.tickets.remove(&ticket);
    }

    /// The only place that changes a stage.
    pub(crate) fn set_stage(&mut self, unit: Unit, stage: Stage) {
        let Some(fetching) = self.get_mut(unit) else { return };
        fetching.stage = stage;
        match stage {
            Stage::Queued(_) => self.queue.insert(unit),
            _ => self.queue.remove(&unit),
        };
    }

    /// Queues a unit, unless it is on its way already; true if it was not.
    pub(crate) fn queue(&mut self, unit: Unit, cause: Cause) -> bool {
        let is_idle = self.get(unit).is_some_and(|it| it.stage == Stage::Idle);
        if is_idle {
            self.set_stage(unit, Stage::Queued(cause));
        }
        is_idle
    }

    pub(crate) fn set_wanted(&mut self, unit: Unit, wanted: bool) {
        let Some(fetching) = self.get_mut(unit) else { return };
        fetching.wanted = wanted;
        match wanted {
            true => self.wanted.insert(unit),
            false => self.wanted.remove(&unit),
        };
    }

    /// Whether a reader has asked for it and still waits.
    pub(crate) fn has_readers(&self, unit: Unit) -> bool {
        self.get(unit).is_some_and(|it| {
            it.wanted
                && match &it.readers {
                    Readers::Entries(entries) => entries.iter().any(|&it| self.waiters.of(it)),
                    Readers::Key { waiting, .. } => waiting.any(),
                }
        })
    }

    /// The units that readers wait for. Those whose readers have left are no longer wanted.
    pub(crate) fn with_readers(&mut self) -> Vec<Unit> {
        let (read, left): (Vec<Unit>, Vec<Unit>) =
            self.wanted.iter().partition(|&&unit| self.has_readers(unit));
        left.into_iter().for_each(|unit| self.set_wanted(unit, false));
        read
    }

    /// What is queued, in order.
    pub(crate) fn queued(&self) -> Vec<Unit> {
        self.queue.iter().copied().collect()
    }

    pub(crate) fn is_any_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn tickets_of(&self, memo: u64) -> Vec<u64> {
        let of_memo = |(_, it): &(&u64, &Fetching)| it.origin == Origin::Memo(memo);
        self.tickets.iter().filter(of_memo).map(|(&ticket, _)| ticket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: u64 = 1;
    const OTHERS: u64 = 2;

    fn units() -> Units {
        let mut units = Units::new(Vec::new(), Arc::new(Waiters::new(0)));
        for (ticket, memo) in [(10, MINE), (11, OTHERS), (12, MINE)] {
            let readers = Readers::Key { waiting: Arc::default(), failing: false };
            let fetching = Fetching::new(Origin::Memo(memo), readers, Duration::from_secs(1));
            units.insert(ticket, fetching);
        }
        units
    }

    #[test]
    fn nothing_is_left_of_a_ticket_that_has_ended() {
        let mut units = units();
        let unit = Unit::Ticket(10);
        units.set_wanted(unit, true);
        assert!(units.queue(unit, Cause::Read));
        assert!(units.is_any_queued());
        units.remove(10);
        assert!(units.get(unit).is_none());
        assert!(!units.is_any_queued() && units.wanted.is_empty());
    }

    #[test]
    fn the_tickets_of_a_memo_are_its_own() {
        assert_eq!(units().tickets_of(MINE), [10, 12]);
    }
}
