//! [`RuntimeState`]: how far the runtime has come, and what it may do next.

use super::{LambdaState, Refusal, Reply};
use crate::testing::lambda::builder::Fault;
use crate::testing::lambda::report::{Report, ReportKind};

#[derive(Debug, Default)]
pub(super) struct RuntimeState {
    phase: Phase,
    /// It has asked for an invocation and has not been answered. On a Managed Instance it asks several
    /// times at once; there this only says whether it ever did.
    asking: bool,
    /// How often it has asked. Only its latest request is answered: a client that asks again has closed
    /// its earlier connection.
    asked: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Started,
    /// It waits for the restore.
    AtSnapshot,
    Restored,
    /// It has asked for an invocation.
    Running,
    /// It has reported that init failed, or what runs after a restore.
    Failed,
}

impl RuntimeState {
    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    pub(super) fn answered(&mut self) {
        self.asking = false;
    }

    pub(super) fn has_asked_again(&self, asked: u64) -> bool {
        self.asked != asked
    }

    /// Extensions may register until the runtime first asks for something.
    pub(super) fn registration_is_open(&self) -> bool {
        self.phase == Phase::Started
    }

    pub(super) fn waiting_for(&self) -> Option<&'static str> {
        match self.phase {
            _ if self.asking => None,
            Phase::AtSnapshot => Some("the restore"),
            _ => Some("the runtime to ask for its next invocation"),
        }
    }

    /// Refuses a request that the runtime may make only in these phases.
    fn only_in(&self, phases: &[Phase]) -> Result<(), Refusal> {
        if phases.contains(&self.phase) {
            return Ok(());
        }
        Err(Refusal::runtime_state(format!("the runtime is {:?}", self.phase)))
    }
}

impl Refusal {
    pub(super) fn runtime_state(message: impl Into<String>) -> Self {
        Self::forbidden("InvalidStateTransition", message)
    }
}

impl LambdaState {
    /// The runtime asks for an invocation. Returns the number of its request.
    pub(crate) fn runtime_asks(&mut self) -> Result<u64, Refusal> {
        self.runtime.only_in(&[Phase::Started, Phase::Restored, Phase::Running])?;
        self.runtime.phase = Phase::Running;
        self.runtime.asking = true;
        self.runtime.asked += 1;
        self.counts.runtime_asked += 1;
        self.runtime_has_asked();
        Ok(self.runtime.asked)
    }

    /// The runtime asks to be told when it is restored.
    pub(crate) fn runtime_asks_for_restore(&mut self) -> Result<(), Refusal> {
        self.runtime.only_in(&[Phase::Started, Phase::AtSnapshot])?;
        self.runtime.phase = Phase::AtSnapshot;
        Ok(())
    }

    pub(crate) fn take_restore(&mut self) -> Option<Reply<()>> {
        if self.ended {
            return Some(Reply::Fault(Fault::Close));
        }
        (self.runtime.phase != Phase::AtSnapshot).then_some(Reply::Event(()))
    }

    /// Whether Lambda would take its snapshot now.
    pub(crate) fn snapshot_is_ready(&self) -> bool {
        self.runtime.phase == Phase::AtSnapshot && self.extensions_ask()
    }

    pub(crate) fn restore(&mut self) {
        self.runtime.phase = Phase::Restored;
    }

    /// The runtime reports that init failed, or what runs after a restore.
    pub(crate) fn runtime_reports(&mut self, report: Report) -> Result<(), Refusal> {
        let reported_in = match report.kind {
            ReportKind::RuntimeRestore => Phase::Restored,
            _ => Phase::Started,
        };
        let verdict = self.runtime.only_in(&[reported_in]);
        self.add_report(report, verdict)?;
        self.runtime.phase = Phase::Failed;
        Ok(())
    }
}
