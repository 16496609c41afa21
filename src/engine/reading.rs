//! What readers ask for: values that are missing, not fresh, or wrong.

use std::time::Duration;

use super::units::{Fetching, Origin, Readers, Stage, Unit};
use super::{Cause, Engine, KeyAsked, Memo};
use crate::clock::Stamp;
use crate::freshness::{self, Bounds, Latency};
use crate::snapshot::{Asked, Attempt, Look, Read, Slot, Verdict};

impl Engine {
    /// Queues the fetches a snapshot must wait for; true if there are any.
    pub(super) fn read_all(&mut self, read: Read, cause: Cause, now: Stamp) -> bool {
        let mut waits = false;
        let mut longest = None;
        for entry in self.board.broken(now) {
            if self.must_wait(entry, read, now) {
                waits = true;
                if self.want(entry, cause, now) {
                    let request = self.board.definition(entry).request;
                    longest = longest.max(Some(self.units.request(request).latency.distance()));
                }
            } else if let Slot::Failed(_, failure) = self.board.slot(entry)
                && failure.attempt == Attempt::None
                && !failure.backs_off(now)
            {
                // The read does not wait for it, but another attempt is due.
                let request = self.board.definition(entry).request;
                if !self.deriving.contains_key(&entry) {
                    self.units.queue(Unit::Request(request), cause);
                }
            }
        }
        if let Some(longest) = longest {
            self.want_what_expires_within(longest, read, cause, now);
        }
        waits
    }

    /// What would expire while a snapshot waits for a fetch that begins now is fetched at the same time.
    /// Otherwise two slow entries could expire in turn, and the snapshot would wait for ever.
    fn want_what_expires_within(&mut self, time: Duration, read: Read, cause: Cause, now: Stamp) {
        let later = now.later_by(time);
        for entry in self.board.broken(later) {
            let is_ready = matches!(self.board.slot(entry), Slot::Ready(_));
            if is_ready && self.must_wait(entry, read, later) {
                self.want(entry, cause, now);
            }
        }
    }

    /// The same for one entry.
    pub(super) fn read(&mut self, entry: usize, read: Read, cause: Cause, now: Stamp) -> bool {
        if matches!(self.board.slot(entry), Slot::NotRequested) {
            self.board.set(entry, Slot::Empty);
        }
        let waits = self.must_wait(entry, read, now);
        if waits {
            self.want(entry, cause, now);
        }
        waits
    }

    fn must_wait(&self, entry: usize, read: Read, now: Stamp) -> bool {
        let frozen_after = self.board.catalog().frozen_after;
        let look = Look { read, now, turn: self.board.turn(), frozen_after };
        let policy = &self.board.definition(entry).policy;
        matches!(self.board.slot(entry).verdict(policy, look), Verdict::Wait)
    }

    /// Makes sure that the entry's request is answered; true if that takes another fetch. One that is under
    /// way may turn out too old for this reader, who then asks again; one that was frozen in flight is
    /// replaced.
    // guarantee 6
    fn want(&mut self, entry: usize, cause: Cause, now: Stamp) -> bool {
        let unit = Unit::Request(self.board.definition(entry).request);
        self.units.set_wanted(unit, true);
        let deriving = self.deriving.get(&entry).map(|it| it.asked);
        let fetching = self.units.get(unit).and_then(Fetching::in_flight);
        match fetching.or(deriving) {
            Some(asked) if self.was_frozen(unit, asked, now) => {
                self.void_fetch(unit);
                self.stop_deriving(entry);
                self.units.queue(unit, Cause::Restart);
                true
            }
            Some(_) => false,
            None => self.units.queue(unit, cause),
        }
    }

    /// Whether a fetch is older than its timeout, so that a freeze must have held it up.
    fn was_frozen(&self, unit: Unit, asked: Asked, now: Stamp) -> bool {
        let timeout = self.units.get(unit).map(|it| it.timeout).unwrap_or_default();
        !Bounds::of(asked.began, freshness::frozen_after(timeout)).admits(now)
    }

    // guarantee 7
    pub(super) fn invalidate(&mut self, entry: usize) {
        let request = self.board.definition(entry).request;
        self.drop_values(request);
        // A reader that waits for the fetch in flight needs another one now.
        let unit = Unit::Request(request);
        if self.units.has_readers(unit) {
            self.units.queue(unit, Cause::Restart);
        }
    }

    /// Drops what a request's entries hold, and whatever its fetch in flight will bring.
    pub(super) fn drop_values(&mut self, request: usize) {
        self.void_fetch(Unit::Request(request));
        self.units.request_mut(request).well_again();
        for entry in self.units.request(request).entries().to_vec() {
            self.stop_deriving(entry);
            if !matches!(self.board.slot(entry), Slot::NotRequested) {
                self.board.set(entry, Slot::Empty);
            }
        }
        self.reschedule(request);
    }

    /// A reader waits for a key of a memo, or has found it due.
    pub(super) fn key_asked(&mut self, asked: KeyAsked, now: Stamp) {
        let KeyAsked { memo, options, ticket, waiting, ahead, failing } = asked;
        self.memos.entry(memo).or_insert(Memo { options, latency: Latency::default() });
        let unit = Unit::Ticket(ticket);
        match self.units.get(unit).map(Fetching::in_flight) {
            Some(Some(asked)) if self.was_frozen(unit, asked, now) => self.void_fetch(unit),
            Some(_) => {}
            None => {
                let readers = Readers::Key { waiting, failing };
                let fetching = Fetching::new(Origin::Memo(memo), readers, options.timeout);
                self.units.insert(ticket, fetching);
            }
        }
        if !ahead {
            self.units.set_wanted(unit, true);
        }
        let cause = if ahead { Cause::Timer } else { Cause::Read };
        self.units.queue(unit, cause);
    }

    /// The last handle of a memo is gone.
    pub(super) fn memo_gone(&mut self, memo: u64, now: Stamp) {
        for ticket in self.units.tickets_of(memo) {
            let job = self.units.get(Unit::Ticket(ticket)).and_then(Fetching::job);
            if let Some(job) = job {
                self.abort(job, now);
            }
            self.units.remove(ticket);
        }
        self.memos.remove(&memo);
    }

    /// Discards the result of a unit's present fetch.
    // guarantee 7
    pub(super) fn void_fetch(&mut self, unit: Unit) {
        self.units.set_stage(unit, Stage::Idle);
        self.end_attempts(unit);
    }
}
