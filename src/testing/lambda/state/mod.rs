//! [`LambdaState`]: the rules of the two APIs, as plain data. Nothing here waits, reads a socket or
//! sends.
//!
//! Every change goes through [`Environment`](super::environment::Environment), which calls
//! [`LambdaState::settle`] after it. So what follows from a change is decided in one place.

mod extension;
mod invocations;
mod record;
mod runtime;

pub(super) use record::{Delivery, Record};

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;

use super::builder::{Fault, FunctionConfig};
use super::report::{
    ExtensionEnd, LambdaCounts, LambdaError, RegisteredExtension, Report, ReportKind,
};
use crate::clock::{Clock, runtime_now};
use crate::testing::TestClock;
use extension::ExtensionState;
use runtime::RuntimeState;

/// How long extensions have from SHUTDOWN until they are killed.
pub(super) const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct LambdaState {
    function: Arc<FunctionConfig>,
    clock: TestClock,

    runtime: RuntimeState,
    extensions: Vec<ExtensionState>,
    /// Init is over.
    initialised: bool,
    /// The report with which init, or the restore, has failed.
    failed: Option<Report>,

    /// All invocations. `queue` has the indices of those that have not begun, `active` of those that
    /// have begun and are not over. Only `invocations.rs` changes the three.
    records: Vec<Record>,
    queue: VecDeque<usize>,
    active: Vec<usize>,

    register_faults: VecDeque<Fault>,
    /// By the name of the extension.
    next_faults: BTreeMap<String, VecDeque<Fault>>,

    processes: Vec<Process>,
    /// How the last process exited, until another one starts. The inner option is `None` if its status
    /// is not known.
    exited: Option<Option<ExitStatus>>,

    frozen: bool,
    shutdown: Option<Shutdown>,
    ended: bool,
    pub(super) reports: Vec<Report>,
    pub(super) counts: LambdaCounts,
}

/// A process that runs the function, or an external extension.
#[derive(Debug)]
struct Process {
    pid: u32,
    extension: Option<String>,
    /// The environment kills it, or already has.
    killed: bool,
}

/// A shutdown that has begun.
#[derive(Debug)]
struct Shutdown {
    event: String,
    began: Instant,
    ends: Vec<ExtensionEnd>,
}

/// The answer to a request for the next event.
#[derive(Debug)]
pub(super) enum Reply<T> {
    Event(T),
    Fault(Fault),
    Refused(Refusal),
}

/// A request that breaks the rules, in AWS's words.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error_type: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn forbidden(error_type: &'static str, message: impl Into<String>) -> Self {
        Self { status: 403, error_type, message: message.into() }
    }
}

impl LambdaState {
    pub(super) fn new(function: Arc<FunctionConfig>, clock: TestClock) -> Self {
        Self { function, clock, ..Self::default() }
    }

    /// Does what follows from a change: init ends, invocations end and begin.
    pub(super) fn settle(&mut self) {
        self.initialised |= self.runtime.is_asking() && self.extensions_ask();
        self.finish_invocations();
        self.begin_invocation();
    }

    pub(super) fn is_initialised(&self) -> bool {
        self.initialised
    }

    /// No invocation is queued or active, and everybody has asked for the next event.
    pub(super) fn is_idle(&self) -> bool {
        self.initialised
            && !self.frozen
            && self.queue.is_empty()
            && self.active.is_empty()
            && self.runtime.is_asking()
            && self.extensions_ask()
    }

    fn extensions_ask(&self) -> bool {
        self.extensions.iter().all(ExtensionState::is_asking)
    }

    /// Why the function will not do anything any more, if it will not.
    pub(super) fn failure(&self) -> Option<LambdaError> {
        let exited = self.exited.map(LambdaError::ProcessExited);
        exited.or_else(|| self.failed.clone().map(LambdaError::InitFailed))
    }

    /// What keeps the environment from being idle, for an error.
    pub(super) fn waiting_for(&self) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.runtime.waiting_for().map(str::to_owned));
        let extensions = self.processes.iter().filter_map(|it| it.extension.as_ref());
        for name in extensions.filter(|it| !self.is_registered(it)) {
            all.push(format!("extension \"{name}\" to register"));
        }
        for extension in self.extensions.iter().filter(|it| !it.is_asking()) {
            all.push(format!("extension \"{}\" to ask for its next event", extension.name()));
        }
        all.extend(self.active.iter().map(|&it| self.records[it].waiting_for()));
        if self.frozen {
            all.push("the thaw".to_owned());
        }
        all
    }

    pub(super) fn registered_extensions(&self) -> Vec<RegisteredExtension> {
        self.extensions.iter().map(|it| it.registered.clone()).collect()
    }

    /// Keeps a report with its verdict. Unless it is refused, init has failed with it.
    fn add_report<T>(&mut self, report: Report, verdict: Result<T, Refusal>) -> Result<T, Refusal> {
        let report = Report { refused: verdict.is_err(), ..report };
        self.reports.push(report.clone());
        let accepted = verdict?;
        if report.kind != ReportKind::ExtensionExit {
            self.failed = Some(report);
        }
        Ok(accepted)
    }
}

/// Freezes, shutdown, and the end.
impl LambdaState {
    /// Freezes the environment if it is idle. Nobody is answered until it thaws.
    pub(super) fn freeze(&mut self) -> Option<()> {
        self.is_idle().then(|| {
            self.frozen = true;
            self.counts.freezes += 1;
        })
    }

    pub(super) fn thaw(&mut self) {
        self.frozen = false;
    }

    /// Begins a shutdown: extensions that registered for SHUTDOWN will get it, all other processes
    /// are killed.
    pub(super) fn shut_down(&mut self) {
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": "spindown",
            "deadlineMs": deadline_ms(&self.clock, SHUTDOWN_TIME),
        });
        let (event, began) = (event.to_string(), runtime_now());
        self.shutdown = Some(Shutdown { event, began, ends: Vec::new() });
        let extensions = &self.extensions;
        let gets_shutdown =
            |name: &String| extensions.iter().any(|it| it.gets_shutdown() && it.name() == name);
        for process in &mut self.processes {
            process.killed |= !process.extension.as_ref().is_some_and(gets_shutdown);
        }
    }

    /// Whether every extension that registered for SHUTDOWN has got it or has exited, and no process
    /// is left.
    pub(super) fn is_shut_down(&self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        let has_exited = |name: &str| shutdown.ends.iter().any(|end| end.name == name);
        let is_done = |it: &ExtensionState| !it.waits_for_shutdown() || has_exited(it.name());
        self.processes.is_empty() && self.extensions.iter().all(is_done)
    }

    pub(super) fn extension_ends(&self) -> Vec<ExtensionEnd> {
        self.shutdown.as_ref().map(|it| it.ends.clone()).unwrap_or_default()
    }

    /// Ends the environment without a shutdown: its processes are killed, its connections closed.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.kill_processes();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Processes.
impl LambdaState {
    pub(super) fn process_started(&mut self, pid: u32, extension: Option<String>) {
        self.exited = None;
        self.processes.push(Process { pid, extension, killed: self.ended });
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|it| it.pid).collect()
    }

    pub(super) fn is_killed(&self, pid: u32) -> bool {
        self.processes.iter().any(|it| it.pid == pid && it.killed)
    }

    pub(super) fn kill_processes(&mut self) {
        for process in &mut self.processes {
            process.killed = true;
        }
    }

    /// Outside a shutdown, one process that exits resets the whole environment, as in Lambda: the
    /// others are killed, and the process that starts next begins with init.
    pub(super) fn process_exited(&mut self, pid: u32, status: Option<ExitStatus>) {
        let Some(index) = self.processes.iter().position(|it| it.pid == pid) else { return };
        let Process { extension, killed, .. } = self.processes.remove(index);
        if let Some(shutdown) = &mut self.shutdown {
            let status = status.filter(|_| !killed);
            let after = runtime_now().saturating_duration_since(shutdown.began);
            shutdown.ends.extend(extension.map(|name| ExtensionEnd { name, status, after }));
            return;
        }
        self.kill_processes();
        self.exited = Some(status);
        self.abort_invocations();
        self.runtime = RuntimeState::default();
        self.extensions.clear();
        self.initialised = false;
        self.failed = None;
    }
}

/// The time on the wall clock after `timeout`, in milliseconds since the Unix epoch.
fn deadline_ms(clock: &TestClock, timeout: Duration) -> u64 {
    let now = clock.now().wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_add(timeout).as_millis()).unwrap_or(u64::MAX)
}

fn uuid() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Order;

    #[test]
    fn only_the_latest_request_is_answered() -> Result<(), Refusal> {
        let mut state = LambdaState::default();
        let id = state.register("cache", br#"{"events":["INVOKE"]}"#)?;
        let before = (state.extension_asks(&id)?, state.runtime_asks()?);
        let last = (state.extension_asks(&id)?, state.runtime_asks()?);
        state.enqueue(Record::new(Vec::new(), Order::Together, None));
        state.settle();

        assert!(state.take_event(&id, before.0).is_none());
        assert!(state.take_invocation(before.1).is_none());
        assert!(matches!(state.take_event(&id, last.0), Some(Reply::Event(_))));
        assert!(matches!(state.take_invocation(last.1), Some(Reply::Event(_))));
        Ok(())
    }
}
