//! Which invocation begins when, who gets what of it, and when it is over.

use std::time::Instant;

use super::delivery::Delivery;
use super::extension::Extension;
use super::record::Record;
use super::{Answer, Refusal, State};
use crate::clock::runtime_now;
use crate::testing::lambda::{Fault, Outcome};

/// For the test.
impl State {
    /// Queues an invocation; says where its record is.
    pub(crate) fn enqueue(&mut self, record: Record) -> usize {
        let place = self.records.len();
        self.records.push(record);
        self.queue.push_back(place);
        place
    }

    pub(crate) fn record(&self, place: usize) -> &Record {
        &self.records[place]
    }

    pub(crate) fn release(&mut self, place: usize) {
        self.records[place].release();
    }
}

/// For the function.
impl State {
    /// The answer to a question of the runtime, once there is one.
    pub(crate) fn take_invocation(&mut self, asked: u64) -> Option<Answer<Delivery>> {
        if self.ended {
            return Some(Answer::Fault(Fault::Close));
        }
        if self.frozen {
            return None;
        }
        let place = if self.function.is_managed() {
            self.begin_managed()?
        } else {
            let place = self.runtimes_turn(asked)?;
            self.runtime.answered();
            place
        };
        self.records[place].hand_over(runtime_now());
        self.records[place].delivery(self.function.arn()).map(Answer::Event)
    }

    /// The invocation that the runtime may take, if this is the last of its questions.
    fn runtimes_turn(&self, asked: u64) -> Option<usize> {
        if self.runtime.has_asked_again(asked) {
            return None;
        }
        self.active.iter().copied().find(|&it| self.records[it].runtime_may_take())
    }

    /// The INVOKE for an extension, if there is one.
    pub(super) fn take_invoke(&mut self, extension: usize) -> Option<String> {
        let mut active = self.active.iter().copied();
        let place = active.find(|&it| self.records[it].extension_may_take(extension))?;
        let record = &mut self.records[place];
        record.take_invoke(extension, runtime_now());
        record.invoke_event(&self.function.arn())
    }

    pub(super) fn runtime_has_asked(&mut self) {
        for &place in &self.active {
            self.records[place].runtime_asked();
        }
    }

    pub(super) fn extension_has_asked(&mut self, extension: usize) {
        for &place in &self.active {
            self.records[place].extension_asked(extension);
        }
    }

    /// The runtime posts a response or an error.
    pub(crate) fn respond(&mut self, request_id: &str, outcome: Outcome) -> Result<(), Refusal> {
        let known = |it: &&mut Record| it.request_id() == request_id && it.is_handed_over();
        let refusal = match self.records.iter_mut().rev().find(known) {
            None => Refusal::unknown_request(),
            Some(record) if record.outcome() == Some(&Outcome::TimedOut) => {
                if self.function.is_managed() {
                    Refusal::late()
                } else {
                    Refusal::unknown_request()
                }
            }
            Some(record) if record.outcome().is_some() => {
                Refusal::runtime_state("there is a response already")
            }
            Some(record) => {
                record.respond(outcome, runtime_now());
                return Ok(());
            }
        };
        Err(self.refuse(refusal))
    }
}

/// What follows.
impl State {
    /// On demand there is one invocation at a time, and only when everybody waits for it.
    pub(super) fn begin_invocation(&mut self) {
        let waited_for = self.initialised
            && !self.frozen
            && self.shutdown.is_none()
            && self.active.is_empty()
            && self.runtime.is_asking()
            && self.extensions.iter().all(|it| it.is_asking() || !it.gets_invoke());
        if waited_for && !self.function.is_managed() {
            self.begin_next();
        }
    }

    /// On a Managed Instance one begins when a worker takes it.
    fn begin_managed(&mut self) -> Option<usize> {
        let free = self.initialised
            && self.shutdown.is_none()
            && self.active.len() < self.function.concurrency();
        free.then(|| self.begin_next()).flatten()
    }

    fn begin_next(&mut self) -> Option<usize> {
        let place = self.queue.pop_front()?;
        let get_invoke = |(place, it): (usize, &Extension)| it.gets_invoke().then_some(place);
        let extensions = self.extensions.iter().enumerate().filter_map(get_invoke);
        let record = &mut self.records[place];
        record.begin(runtime_now(), self.function.timeout, &self.clock, extensions);
        self.active.push(place);
        self.counts.invocations += 1;
        Some(place)
    }

    pub(super) fn finish_invocations(&mut self) {
        let managed = self.function.is_managed();
        let records = &mut self.records;
        self.active.retain(|&place| {
            let record = &mut records[place];
            let done = if managed { record.has_response() } else { record.is_done() };
            if done {
                record.finish(runtime_now());
            }
            !done
        });
    }

    pub(super) fn abort_invocations(&mut self) {
        for place in self.active.drain(..) {
            self.records[place].abort(runtime_now());
        }
    }

    /// When a deadline or the end of a gap is next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let active = self.active.iter().map(|&it| &self.records[it]);
        active.flat_map(|it| [it.deadline(), it.gap_ends()]).flatten().min()
    }

    /// What was due by now happens.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut late = false;
        let records = &mut self.records;
        self.active.retain(|&place| {
            let record = &mut records[place];
            if record.gap_ends().is_some_and(|it| it <= now) {
                record.release();
            }
            let is_late = record.deadline().is_some_and(|it| it <= now);
            if is_late {
                record.time_out(now);
            }
            late |= is_late;
            !is_late
        });
        // "Timeouts do not stop code" on a Managed Instance.
        if late && !self.function.is_managed() {
            self.doom_processes();
        }
    }
}
