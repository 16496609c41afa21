//! What the extension and the handler tell the actor: when an invocation begins and ends, and when
//! the environment is about to freeze, is about to be snapshotted, or has been restored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Actor;
use crate::clock::Stamp;
use crate::error::ErrorKind;
use crate::freshness::{Bounds, RETRY_PAUSE};
use crate::refresher::Cause;
use crate::refresher::invocation::{Current, Driver, Extension, Handler, Invocation, Voice};
use crate::snapshot::{Retry, Slot};

/// How long after INVOKE a handler that tells when it begins is waited for: it never does if the
/// runtime cannot parse its event.
const HANDLER_WAIT: Duration = Duration::from_millis(250);

/// Which fetches to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    All,
    /// Those that nobody may be waiting for.
    Unwanted,
}

impl Actor {
    pub(super) fn handler_began(&mut self, invocation: Invocation, done: oneshot::Sender<()>) {
        let current = self.begin(Voice::Handler, invocation);
        current.handler = Handler::Running;
        self.handler_tells = true;
        self.hold = None;
        self.publish();
        _ = done.send(());
    }

    pub(super) fn invoke(&mut self, invocation: Invocation, done: oneshot::Sender<()>) {
        self.begin(Voice::Extension, invocation).extension = Extension::Waiting(done);
        // From now on it is the extension that keeps the environment from freezing.
        answer(&mut self.ended_handler);
        self.allow_retries();
        let due = self.launch_due(Cause::Invoke);
        let Some(current) = &mut self.invocation else { return };
        current.tally.due += due;
        match current.handler {
            Handler::Running => {}
            Handler::Unheard if self.handler_tells => {
                self.start_hold(self.settings.hold_limit.max(HANDLER_WAIT));
            }
            // A handler that does not tell when it ends: the hold is counted from here.
            Handler::Unheard | Handler::Ended => self.start_hold(self.settings.hold_limit),
        }
    }

    pub(super) fn handler_ended(&mut self, request_id: &str, done: oneshot::Sender<()>) {
        let now = self.clock.now();
        let current = self.invocation.as_mut().filter(|current| current.is(request_id));
        let Some(current) = current else {
            _ = done.send(());
            return;
        };
        current.handler = Handler::Ended;
        current.tally.handler_ended = Some(now);
        if current.is_held() {
            _ = done.send(());
            self.start_hold(self.settings.hold_limit);
        } else {
            // The extension has asked for its next event, or has not seen this one: nothing but the
            // handler's answer keeps the environment from freezing, so that has to wait.
            self.cancel(Cancel::All);
            self.ended_handler = Some(done);
        }
    }

    /// The first word of `voice` on an invocation, which may be the first of all.
    fn begin(&mut self, voice: Voice, invocation: Invocation) -> &mut Current {
        let now = self.clock.now();
        let witness = invocation.witness.filter(|&witness| witness > now.wall);
        let mut known = self.invocation.take();
        let expected = known.take_if(|it| it.expects(voice, &invocation.request_id));
        if expected.is_none() {
            if let Some(former) = &mut known {
                former.release(now);
            }
            self.invocations += 1;
            self.restart_straddlers(now);
            self.restart_memos();
        }
        if let Some(witness) = witness {
            self.age_by_witness(witness, now);
            self.age_memos(witness, now);
        }
        self.invocation.insert(expected.unwrap_or_else(|| Current::new(invocation)))
    }

    /// Fetches that began in an earlier invocation have been frozen in flight: their requests may
    /// be signed too long ago and their sockets dead, so they are started again.
    fn restart_straddlers(&mut self, now: Stamp) {
        let straddlers = self.running.values().filter(|job| job.invocation < self.invocations);
        for job in straddlers {
            job.abort.abort();
            let task = job.abort.id();
            for part in &job.parts {
                let flight = &mut self.requests[part.request].flight;
                let mut straddles = flight.take_if(|flight| flight.task == task).is_some();
                for target in &part.targets {
                    let derives = self.deriving.get(&target.entry);
                    if derives.is_some_and(|it| it.flight.task == task) {
                        self.deriving.remove(&target.entry);
                        straddles = true;
                    }
                }
                if straddles {
                    self.launching.insert(part.request, Cause::Restart);
                }
            }
        }
        self.forget_who_left();
        for &index in &self.wanted {
            let paused = self.requests[index].pause().is_some_and(|pause| pause.admits(now));
            if self.is_idle(index) && !paused {
                self.launching.insert(index, Cause::Restart);
            }
        }
    }

    /// Time has passed that this environment's clocks did not see, says a trace id: `witness` is
    /// later than the wall clock's now. It may make a value look older, once per entry and max age.
    fn age_by_witness(&mut self, witness: i64, now: Stamp) {
        for entry in 0..self.publisher.catalog().entries.len() {
            let definition = &self.publisher.catalog().entries[entry];
            let (policy, request) = (definition.policy, definition.request);
            let aged = self.aged.get(&entry).copied();
            let slot = self.publisher.slot(entry);
            let Some(older) = slot.aged_by_witness(&policy, witness, aged, now) else { continue };
            self.set(entry, older);
            self.aged.insert(entry, now);
            self.reschedule(request);
        }
    }

    /// A new invocation may try once more what failed in an earlier one, unless that was a moment ago
    /// or the service asked for fewer requests.
    fn allow_retries(&mut self) {
        let now = self.clock.now();
        for entry in self.failing.clone() {
            let Slot::Failed(_, failure) = self.publisher.slot(entry) else { continue };
            let just_now = Bounds::of(failure.ended, RETRY_PAUSE).admits(now);
            let throttled = failure.error.kind() == ErrorKind::Throttled;
            if failure.backs_off(now) && !just_now && !throttled {
                self.set_retry(entry, Retry::After(Bounds::NEVER));
                self.reschedule(self.publisher.catalog().entries[entry].request);
            }
        }
    }

    fn start_hold(&mut self, limit: Duration) {
        if limit.is_zero() {
            self.hold_over();
        } else {
            self.hold = Some(Box::pin(tokio::time::sleep(limit)));
        }
    }

    pub(super) fn hold_over(&mut self) {
        self.hold = None;
        let Some(current) = &mut self.invocation else { return };
        if current.handler == Handler::Unheard && !self.handler_tells {
            // The handler may be running and waiting for some of these.
            self.cancel(Cancel::Unwanted);
        } else {
            current.handler = Handler::Ended;
            self.cancel(Cancel::All);
        }
    }

    /// Aborts what is in flight. Readers who wait for it are served by the fetch that the next
    /// invocation starts.
    fn cancel(&mut self, which: Cancel) {
        self.forget_who_left();
        let unwanted = |request: usize| !self.wanted.contains(&request);
        self.launching.retain(|&request, _| which == Cancel::Unwanted && !unwanted(request));
        let mut cancelled = Vec::new();
        for job in self.running.values() {
            if which == Cancel::All || job.parts.iter().all(|part| unwanted(part.request)) {
                job.abort.abort();
                cancelled.extend(job.parts.iter().map(|part| part.request));
            }
        }
        let now = self.clock.now();
        self.cancel_memos(which == Cancel::All, now);
        for request in cancelled {
            let pause = self.requests[request].cancel(now);
            for entry in self.requests[request].entries.clone() {
                self.deriving.remove(&entry);
                self.set_retry(entry, Retry::After(pause));
            }
            self.reschedule(request);
        }
    }

    /// The hold is over, and the environment is held for what readers wait for alone.
    pub(super) fn waits_for_readers(&self) -> bool {
        let unheard = |it: &Current| it.is_held() && it.handler == Handler::Unheard;
        !self.handler_tells && self.hold.is_none() && self.invocation.as_ref().is_some_and(unheard)
    }

    /// What somebody waited for may be there for nobody now.
    pub(super) fn reader_left(&mut self) {
        self.cancel(Cancel::Unwanted);
    }

    /// What nobody waits for any more is not wanted.
    fn forget_who_left(&mut self) {
        let (requests, publisher) = (&self.requests, &self.publisher);
        let is_awaited = |&entry: &usize| publisher.is_awaited(entry);
        self.wanted.retain(|&request| requests[request].entries.iter().any(is_awaited));
    }

    pub(super) fn timers_run(&self) -> bool {
        // Once the handler has ended, or the hold for one that does not tell is over, the environment
        // is held for what is in flight, not for more.
        let held = |it: &Current| {
            it.is_held()
                && match it.handler {
                    Handler::Running => true,
                    Handler::Unheard => self.hold.is_some(),
                    Handler::Ended => false,
                }
        };
        !self.suspended
            && (self.settings.driver == Driver::Timers
                || self.invocation.as_ref().is_some_and(held))
    }

    /// Answers those who wait for stillness, among them the extension, if nothing is in flight.
    pub(super) fn answer_if_still(&mut self) {
        if !self.jobs.is_empty() {
            return;
        }
        answer(&mut self.ended_handler);
        answer(&mut self.awaited_snapshot);
        let has_memos = self.has_memos();
        let Some(current) = self.invocation.as_mut().filter(|current| current.is_held()) else {
            return;
        };
        let now = self.clock.now();
        let over = match current.handler {
            Handler::Ended => true,
            Handler::Unheard if !self.handler_tells => true,
            // Nothing falls due before the deadline, so there is nothing to stay for. What a memo
            // fetches ahead of need only its readers know.
            Handler::Unheard | Handler::Running => {
                !has_memos && self.schedule.all().admits(current.deadline(now))
            }
        };
        if over {
            current.release(now);
            self.hold = None;
        }
    }

    pub(super) fn suspend(&mut self, done: oneshot::Sender<()>) {
        self.suspended = true;
        self.cancel(Cancel::All);
        for request in 0..self.requests.len() {
            self.drop_values(request);
        }
        self.clear_memos();
        self.publish();
        self.awaited_snapshot = Some(done);
    }

    pub(super) fn resume(&mut self) {
        self.suspended = false;
        for source in &self.sources {
            // A source that cannot connect anew says so at its next fetch.
            _ = catch_unwind(AssertUnwindSafe(|| source.reset()));
        }
        self.reset_memos();
        for index in 0..self.requests.len() {
            let missing = |&entry: &usize| matches!(self.publisher.slot(entry), Slot::Missing);
            if self.requests[index].entries.iter().any(missing) {
                self.launching.insert(index, Cause::Restart);
            }
        }
    }
}

/// Answers whoever waits there.
fn answer(waiting: &mut Option<oneshot::Sender<()>>) {
    if let Some(waiting) = waiting.take() {
        _ = waiting.send(());
    }
}
