//! Which invocation begins when, who gets which part of it, and when it is over.

use std::time::Instant;

use super::{Delivery, LambdaState, Record, Refusal, Reply};
use crate::clock::runtime_now;
use crate::testing::lambda::builder::Fault;
use crate::testing::lambda::report::Outcome;

/// For the test.
impl LambdaState {
    /// Queues an invocation. Returns the index of its record.
    pub(crate) fn enqueue(&mut self, record: Record) -> usize {
        let index = self.records.len();
        self.records.push(record);
        self.queue.push_back(index);
        index
    }

    pub(crate) fn record(&self, index: usize) -> &Record {
        &self.records[index]
    }

    pub(crate) fn release(&mut self, index: usize) {
        self.records[index].release();
    }
}

/// For the runtime and the extensions.
impl LambdaState {
    /// The answer to the runtime's request for an invocation, once there is one.
    pub(crate) fn take_invocation(&mut self, asked: u64) -> Option<Reply<Delivery>> {
        if self.ended {
            return Some(Reply::Fault(Fault::Close));
        }
        if self.frozen {
            return None;
        }
        let index = if self.function.is_managed() {
            self.begin_managed()?
        } else {
            let index = self.runtimes_turn(asked)?;
            self.runtime.answered();
            index
        };
        self.records[index].hand_over(runtime_now());
        self.records[index].delivery(self.function.arn()).map(Reply::Event)
    }

    /// The invocation that the runtime may take, if this is its latest request.
    fn runtimes_turn(&self, asked: u64) -> Option<usize> {
        if self.runtime.has_asked_again(asked) {
            return None;
        }
        self.active.iter().copied().find(|&it| self.records[it].runtime_may_take())
    }

    /// The INVOKE for an extension, if there is one.
    pub(super) fn take_invoke(&mut self, extension: usize) -> Option<String> {
        let mut active = self.active.iter().copied();
        let index = active.find(|&it| self.records[it].extension_may_take(extension))?;
        let record = &mut self.records[index];
        record.take_invoke(extension, runtime_now());
        record.invoke_event(&self.function.arn())
    }

    pub(super) fn runtime_has_asked(&mut self) {
        for &index in &self.active {
            self.records[index].runtime_asked();
        }
    }

    pub(super) fn extension_has_asked(&mut self, extension: usize) {
        for &index in &self.active {
            self.records[index].extension_asked(extension);
        }
    }

    /// The runtime posts a response or an error.
    pub(crate) fn respond(&mut self, request_id: &str, outcome: Outcome) -> Result<(), Refusal> {
        let is_it = |it: &&mut Record| it.request_id() == request_id && it.is_handed_over();
        let record = self.records.iter_mut().rev().find(is_it);
        let record = record.ok_or_else(Refusal::unknown_request)?;
        match record.outcome() {
            None => {
                record.respond(outcome, runtime_now());
                Ok(())
            }
            // Only Managed Instances tell a late response from one to an unknown request.
            Some(Outcome::TimedOut) if self.function.is_managed() => Err(Refusal::late()),
            Some(Outcome::TimedOut) => Err(Refusal::unknown_request()),
            Some(_) => Err(Refusal::runtime_state("there is a response already")),
        }
    }
}

impl Refusal {
    fn unknown_request() -> Self {
        let message = "Invalid request ID".to_owned();
        Self { status: 400, error_type: "InvalidRequestID", message }
    }

    fn late() -> Self {
        let message = "Invoke timeout".to_owned();
        Self { status: 410, error_type: "InvokeTimeout", message }
    }
}

/// What follows from a change, or from time.
impl LambdaState {
    /// On demand, one invocation begins at a time, and only when everybody waits for it.
    pub(super) fn begin_invocation(&mut self) {
        let is_awaited = self.initialised
            && !self.frozen
            && self.shutdown.is_none()
            && self.active.is_empty()
            && self.runtime.is_asking()
            && self.extensions.iter().all(|it| it.is_asking() || !it.gets_invoke());
        if is_awaited && !self.function.is_managed() {
            self.begin_next();
        }
    }

    /// On a Managed Instance, an invocation begins when a worker takes it.
    fn begin_managed(&mut self) -> Option<usize> {
        let is_free = self.initialised
            && self.shutdown.is_none()
            && self.active.len() < self.function.concurrency();
        is_free.then(|| self.begin_next()).flatten()
    }

    fn begin_next(&mut self) -> Option<usize> {
        let index = self.queue.pop_front()?;
        let extensions = &self.extensions;
        let get_invoke = (0..extensions.len()).filter(|&it| extensions[it].gets_invoke());
        let record = &mut self.records[index];
        record.begin(runtime_now(), self.function.timeout, &self.clock, get_invoke);
        self.active.push(index);
        self.counts.invocations += 1;
        Some(index)
    }

    pub(super) fn finish_invocations(&mut self) {
        // The workers of a Managed Instance ask for the next invocation without saying which of them
        // does, so there an invocation is over with its response.
        let managed = self.function.is_managed();
        let records = &mut self.records;
        self.active.retain(|&index| {
            let record = &mut records[index];
            let done = if managed { record.has_response() } else { record.is_done() };
            if done {
                record.finish(runtime_now());
            }
            !done
        });
    }

    pub(super) fn abort_invocations(&mut self) {
        for index in self.active.drain(..) {
            self.records[index].abort(runtime_now());
        }
    }

    /// When the next deadline passes or the next gap ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let active = self.active.iter().map(|&it| &self.records[it]);
        active.flat_map(|it| [it.deadline(), it.gap_ends()]).flatten().min()
    }

    /// Ends the gaps and the invocations whose time is over by now.
    pub(crate) fn expire(&mut self, now: Instant) {
        let before = self.active.len();
        let records = &mut self.records;
        self.active.retain(|&index| {
            let record = &mut records[index];
            if record.gap_ends().is_some_and(|it| it <= now) {
                record.release();
            }
            let is_late = record.deadline().is_some_and(|it| it <= now);
            if is_late {
                record.time_out(now);
            }
            !is_late
        });
        // "Timeouts do not stop code" on a Managed Instance.
        if self.active.len() < before && !self.function.is_managed() {
            self.kill_processes();
        }
    }
}
