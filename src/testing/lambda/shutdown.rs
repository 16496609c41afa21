//! The end of the environment, as its external extensions see it.

use std::process::ExitStatus;
use std::time::Duration;

use super::state::{SHUTDOWN_TIME, State};
use super::{Lambda, LambdaError};

/// How the process of an external extension ended after SHUTDOWN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionEnd {
    /// The extension's name.
    pub name: String,
    /// What it exited with; `None` if it was killed.
    pub status: Option<ExitStatus>,
    /// How long that took.
    pub after: Duration,
}

impl Lambda {
    /// Shuts the environment down, as Lambda does: whoever has registered for it gets SHUTDOWN, and
    /// has two seconds to exit; every other process is killed at once. Says how those ended that
    /// [`spawn_extension`](Self::spawn_extension) has started.
    ///
    /// Returns when every extension that has registered for SHUTDOWN has been told, and no process
    /// is left. Nobody is invoked any more. The function is not sent SIGTERM before.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotIdle`] if an extension in this process does not ask for its next event within
    /// the two seconds, or the environment is frozen.
    ///
    /// # Cancel safety
    ///
    /// Once polled it is sent. If dropped, processes that do not exit are left until the environment
    /// ends.
    pub async fn shutdown(&self) -> Result<Vec<ExtensionEnd>, LambdaError> {
        let environment = &self.environment;
        environment.change(State::shut_down);
        let over = environment.until(|state| state.is_shut_down().then_some(()));
        if tokio::time::timeout(SHUTDOWN_TIME, over).await.is_err() {
            environment.change(State::doom_processes);
            environment.until(|state| state.pids().is_empty().then_some(())).await;
        }
        environment.read(|state| match state.is_shut_down() {
            true => Ok(state.extension_ends()),
            false => Err(LambdaError::NotIdle { waiting_for: state.waiting_for() }),
        })
    }
}
