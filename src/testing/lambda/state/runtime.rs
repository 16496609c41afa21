//! [`Runtime`]: how far the runtime has come, and what it may do next.

use super::{Answer, Refusal, State};
use crate::testing::lambda::{Fault, Report, ReportKind};

#[derive(Debug, Default)]
pub(super) struct Runtime {
    phase: Phase,
    /// It has asked for an invocation and was not answered. On a Managed Instance it asks several
    /// times at once: there it only says whether it ever did.
    asking: bool,
    /// How often it has asked. Only the last question is answered: who asks again has hung up before.
    asked: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Started,
    /// It has asked to be told of the restore.
    AtSnapshot,
    Restored,
    /// It has asked for an invocation.
    Running,
    /// It has reported that init, or what follows a restore, failed.
    Failed,
}

impl Runtime {
    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    pub(super) fn answered(&mut self) {
        self.asking = false;
    }

    pub(super) fn has_asked_again(&self, asked: u64) -> bool {
        self.asked != asked
    }

    pub(super) fn registration_is_open(&self) -> bool {
        self.phase == Phase::Started
    }

    pub(super) fn waiting_for(&self) -> Option<&'static str> {
        match self.phase {
            _ if self.asking => None,
            Phase::AtSnapshot => Some("the restore"),
            _ => Some("the runtime, to ask for its next invocation"),
        }
    }
}

impl State {
    /// The runtime asks for an invocation; says which of its questions that is.
    pub(crate) fn runtime_asks(&mut self) -> Result<u64, Refusal> {
        if matches!(self.runtime.phase, Phase::AtSnapshot | Phase::Failed) {
            let message = format!("the runtime is {:?}", self.runtime.phase);
            return Err(self.refuse(Refusal::runtime_state(message)));
        }
        self.runtime.phase = Phase::Running;
        self.runtime.asking = true;
        self.runtime.asked += 1;
        self.counts.runtime_asked += 1;
        self.runtime_has_asked();
        Ok(self.runtime.asked)
    }

    /// The runtime asks to be told of the restore.
    pub(crate) fn runtime_asks_for_restore(&mut self) -> Result<(), Refusal> {
        if !matches!(self.runtime.phase, Phase::Started | Phase::AtSnapshot) {
            let message = format!("the runtime is {:?}", self.runtime.phase);
            return Err(self.refuse(Refusal::runtime_state(message)));
        }
        self.runtime.phase = Phase::AtSnapshot;
        Ok(())
    }

    pub(crate) fn take_restore(&mut self) -> Option<Answer<()>> {
        if self.ended {
            return Some(Answer::Fault(Fault::Close));
        }
        (self.runtime.phase != Phase::AtSnapshot).then_some(Answer::Event(()))
    }

    /// Whether Lambda would take its snapshot now.
    pub(crate) fn snapshot_is_ready(&self) -> bool {
        self.runtime.phase == Phase::AtSnapshot && self.extensions_ask()
    }

    pub(crate) fn restore(&mut self) {
        self.runtime.phase = Phase::Restored;
    }

    /// The runtime reports that init failed.
    pub(crate) fn init_failed(&mut self, error_type: String, body: String) -> Result<(), Refusal> {
        self.runtime_failed(ReportKind::RuntimeInit, &Phase::Started, error_type, body)
    }

    /// The runtime reports that what follows a restore failed.
    pub(crate) fn restore_failed(
        &mut self,
        error_type: String,
        body: String,
    ) -> Result<(), Refusal> {
        self.runtime_failed(ReportKind::RuntimeRestore, &Phase::Restored, error_type, body)
    }

    fn runtime_failed(
        &mut self,
        kind: ReportKind,
        allowed_in: &Phase,
        error_type: String,
        body: String,
    ) -> Result<(), Refusal> {
        let refused = self.runtime.phase != *allowed_in;
        let report = Report { kind, extension: None, error_type, body, refused };
        self.reports.push(report.clone());
        if refused {
            let message = format!("the runtime is {:?}", self.runtime.phase);
            return Err(self.refuse(Refusal::runtime_state(message)));
        }
        self.runtime.phase = Phase::Failed;
        self.failed = Some(report);
        Ok(())
    }
}
