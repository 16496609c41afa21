//! [`State`]: the rules of the two APIs, as plain data. Nothing here waits, reads sockets or sends.
//!
//! Every change goes through [`Environment`](super::environment::Environment), which calls
//! [`State::settle`] after it; so what follows from what is decided in one place.

mod answer;
mod delivery;
mod extension;
mod invocations;
mod record;
mod runtime;
mod shutdown;

pub(super) use answer::{Answer, Refusal};
pub(super) use delivery::Delivery;
pub(super) use record::Record;
pub(super) use shutdown::SHUTDOWN_TIME;

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitStatus;
use std::sync::Arc;

use super::function::Function;
use super::{Fault, LambdaCounts, LambdaError, RegisteredExtension, Report};
use crate::testing::TestClock;
use extension::Extension;
use runtime::Runtime;
use shutdown::Shutdown;

#[derive(Debug)]
pub(super) struct State {
    function: Arc<Function>,
    clock: TestClock,

    runtime: Runtime,
    extensions: Vec<Extension>,
    /// Init is over.
    initialised: bool,
    /// The report that init, or what follows a restore, failed with.
    failed: Option<Report>,

    /// Every invocation there has been: the truth. `queue` and `active` hold places in it, of those
    /// that have not begun and of those that have begun and are not over; only `invocations` writes
    /// the three.
    records: Vec<Record>,
    queue: VecDeque<usize>,
    active: Vec<usize>,

    register_faults: VecDeque<Fault>,
    next_faults: BTreeMap<String, VecDeque<Fault>>,

    processes: Vec<Process>,
    /// What the last process ended with, until another is started. The inner option is empty if
    /// that is not known.
    exited: Option<Option<ExitStatus>>,

    frozen: bool,
    shutdown: Option<Shutdown>,
    ended: bool,
    reports: Vec<Report>,
    counts: LambdaCounts,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// The name of the external extension that it is, if it is one.
    extension: Option<String>,
    /// It is to be killed.
    doomed: bool,
}

impl Process {
    fn is_of(&self, extension: &str) -> bool {
        self.extension.as_deref() == Some(extension)
    }
}

impl State {
    pub(super) fn new(function: Arc<Function>, clock: TestClock) -> Self {
        Self {
            function,
            clock,
            runtime: Runtime::default(),
            extensions: Vec::new(),
            initialised: false,
            failed: None,
            records: Vec::new(),
            queue: VecDeque::new(),
            active: Vec::new(),
            register_faults: VecDeque::new(),
            next_faults: BTreeMap::new(),
            processes: Vec::new(),
            exited: None,
            frozen: false,
            shutdown: None,
            ended: false,
            reports: Vec::new(),
            counts: LambdaCounts::default(),
        }
    }

    /// Draws the conclusions from a change.
    pub(super) fn settle(&mut self) {
        self.initialised |= self.runtime.is_asking() && self.extensions_ask();
        self.finish_invocations();
        self.begin_invocation();
    }

    pub(super) fn is_initialised(&self) -> bool {
        self.initialised
    }

    /// No invocation is going on, and everybody has asked for their next.
    pub(super) fn is_idle(&self) -> bool {
        self.initialised
            && !self.frozen
            && self.queue.is_empty()
            && self.active.is_empty()
            && self.runtime.is_asking()
            && self.extensions_ask()
    }

    fn extensions_ask(&self) -> bool {
        self.extensions.iter().all(Extension::is_asking)
    }

    /// Why the function will not do anything any more, if it will not.
    pub(super) fn failure(&self) -> Option<LambdaError> {
        if let Some(status) = self.exited {
            return Some(LambdaError::ProcessExited(status));
        }
        self.failed.clone().map(LambdaError::InitFailed)
    }

    /// What keeps the environment from being idle, for the reader of an error.
    pub(super) fn waiting_for(&self) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.runtime.waiting_for().map(str::to_owned));
        let extensions = self.processes.iter().filter_map(|it| it.extension.as_ref());
        for name in extensions.filter(|it| !self.is_registered(it)) {
            all.push(format!("extension \"{name}\", to register"));
        }
        for extension in self.extensions.iter().filter(|it| !it.is_asking()) {
            all.push(format!("extension \"{}\", to ask for its next event", extension.name()));
        }
        all.extend(self.active.iter().map(|&it| self.records[it].waiting_for()));
        if self.frozen {
            all.push("the thaw".to_owned());
        }
        all
    }

    pub(super) fn registered_extensions(&self) -> Vec<RegisteredExtension> {
        self.extensions.iter().map(Extension::describe).collect()
    }

    pub(super) fn reports(&self) -> Vec<Report> {
        self.reports.clone()
    }

    pub(super) fn counts(&self) -> LambdaCounts {
        self.counts
    }

    fn refuse(&mut self, refusal: Refusal) -> Refusal {
        self.counts.refused += 1;
        refusal
    }
}

/// Freezes, and the end.
impl State {
    /// Freezes the environment if it is idle. From then on nobody gets anything.
    pub(super) fn freeze(&mut self) -> Option<()> {
        if !self.is_idle() {
            return None;
        }
        self.frozen = true;
        self.counts.freezes += 1;
        Some(())
    }

    pub(super) fn thaw(&mut self) {
        self.frozen = false;
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.doom_processes();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

/// The processes of the environment: the function's, if it is not in this one, and extensions'.
impl State {
    pub(super) fn process_started(&mut self, pid: u32, extension: Option<String>) {
        self.exited = None;
        self.processes.push(Process { pid, extension, doomed: self.ended });
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|it| it.pid).collect()
    }

    pub(super) fn is_doomed(&self, pid: u32) -> bool {
        self.processes.iter().any(|it| it.pid == pid && it.doomed)
    }

    /// One process takes the others and the whole environment with it, as in Lambda. What starts next
    /// begins with init.
    pub(super) fn process_exited(&mut self, pid: u32, status: Option<ExitStatus>) {
        let Some(place) = self.processes.iter().position(|it| it.pid == pid) else { return };
        let process = self.processes.remove(place);
        if self.exited_at_shutdown(&process, status) {
            return;
        }
        self.doom_processes();
        self.exited = Some(status);
        self.abort_invocations();
        self.runtime = Runtime::default();
        self.extensions.clear();
        self.initialised = false;
        self.failed = None;
    }

    pub(super) fn doom_processes(&mut self) {
        for process in &mut self.processes {
            process.doomed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Order;

    fn state() -> State {
        State::new(Arc::new(Function::default()), TestClock::new())
    }

    #[test]
    fn only_the_last_question_is_answered() -> Result<(), Refusal> {
        let mut state = state();
        let id = state.register("cache", br#"{"events":["INVOKE"]}"#)?;
        let before = (state.extension_asks(&id)?, state.runtime_asks()?);
        let last = (state.extension_asks(&id)?, state.runtime_asks()?);
        state.enqueue(Record::new(Vec::new(), Order::Together, None));
        state.settle();

        assert!(state.take_event(&id, before.0).is_none());
        assert!(state.take_invocation(before.1).is_none());
        assert!(matches!(state.take_event(&id, last.0), Some(Answer::Event(_))));
        assert!(matches!(state.take_invocation(last.1), Some(Answer::Event(_))));
        Ok(())
    }
}
