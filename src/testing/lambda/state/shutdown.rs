//! What SHUTDOWN asks of whom.

use std::process::ExitStatus;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::json;

use super::extension::Extension;
use super::{Process, State};
use crate::clock::{Clock, runtime_now};
use crate::testing::lambda::ExtensionEnd;

/// What extensions have from SHUTDOWN to their end.
pub(crate) const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// The end of the environment, once it has begun.
#[derive(Debug)]
pub(super) struct Shutdown {
    event: String,
    began: Instant,
    ends: Vec<ExtensionEnd>,
}

impl State {
    /// The environment is to end.
    pub(crate) fn shut_down(&mut self) {
        let deadline = self.clock.now().wall() + SHUTDOWN_TIME;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": "spindown",
            "deadlineMs": u64::try_from(deadline).unwrap_or(u64::MAX),
        });
        let (event, began) = (event.to_string(), runtime_now());
        self.shutdown = Some(Shutdown { event, began, ends: Vec::new() });
        let extensions = &self.extensions;
        for process in &mut self.processes {
            let is_told = |it: &Extension| it.gets_shutdown() && process.is_of(it.name());
            process.doomed |= !extensions.iter().any(is_told);
        }
    }

    /// Everybody who registered for it knows of the end, and no process is left.
    pub(crate) fn is_shut_down(&self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        let has_ended = |it: &Extension| shutdown.ends.iter().any(|end| end.name == it.name());
        let knows = |it: &Extension| it.has_been_told() || !it.gets_shutdown() || has_ended(it);
        self.processes.is_empty() && self.extensions.iter().all(knows)
    }

    pub(crate) fn extension_ends(&self) -> Vec<ExtensionEnd> {
        self.shutdown.as_ref().map(|it| it.ends.clone()).unwrap_or_default()
    }

    pub(super) fn take_shutdown(&mut self, place: usize) -> Option<String> {
        let event = &self.shutdown.as_ref()?.event;
        self.extensions[place].tell().then(|| event.clone())
    }

    /// A process has exited. Says whether that was its part in the end of the environment.
    pub(super) fn exited_at_shutdown(
        &mut self,
        process: &Process,
        status: Option<ExitStatus>,
    ) -> bool {
        let Some(shutdown) = &mut self.shutdown else { return false };
        if let Some(name) = &process.extension {
            let status = status.filter(|_| !process.doomed);
            let after = runtime_now().saturating_duration_since(shutdown.began);
            shutdown.ends.push(ExtensionEnd { name: name.clone(), status, after });
        }
        true
    }
}
