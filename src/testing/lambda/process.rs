//! Functions and extensions in processes of their own: how they start, and how they end.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::process::{Child, Command};

use super::Lambda;
use super::environment::Environment;
use super::report::{ExtensionEnd, LambdaError};
use super::state::{LambdaState, SHUTDOWN_TIME};

impl Lambda {
    /// Starts the function as a process, with the environment's variables added to those of `command`.
    /// Returns its process id.
    ///
    /// The process is killed at the deadline of an invocation and at the end of the environment. If it
    /// exits, the invocation that is going on ends as
    /// [`ProcessExited`](super::Outcome::ProcessExited), and the process that you start next begins
    /// with init.
    ///
    /// It uses the machine's clocks, so the environment's clock should show the machine's time, as it
    /// does by default.
    ///
    /// ```no_run
    /// # async fn doc(lambda: lambda_cache::testing::Lambda) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// lambda.spawn(tokio::process::Command::new("target/debug/bootstrap"))?;
    /// lambda.ready().await?;
    /// lambda.freeze(Duration::from_secs(2)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If the process cannot be started.
    pub fn spawn(&self, command: Command) -> io::Result<u32> {
        self.spawn_process(command, None)
    }

    /// Starts an external extension as a process, as [`spawn`](Self::spawn) starts a function, and
    /// waits until it has registered, as Lambda does before it starts the runtime. Returns its process
    /// id.
    ///
    /// Its name is that of its file, and must be one of the
    /// [external ones](super::LambdaBuilder::external_extension). An extension that exits before
    /// [`shutdown`](Self::shutdown) ends the function's process and its invocations too.
    ///
    /// ```no_run
    /// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
    /// use lambda_cache::testing::Lambda;
    /// use std::time::Duration;
    ///
    /// let lambda = Lambda::builder().external_extension("agent").bind()?.start()?;
    /// lambda.spawn_extension(tokio::process::Command::new("target/debug/agent")).await?;
    /// # async fn function() {}
    /// tokio::spawn(function());
    /// lambda.ready().await?;
    /// for end in lambda.shutdown().await? {
    ///     assert!(end.status.is_some_and(|status| status.success()), "{end:?}");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LambdaError::Spawn`] if the process cannot be started or its name is not an external
    /// extension's, [`LambdaError::ProcessExited`] if it exits before it has registered,
    /// [`LambdaError::NotIdle`] if it does not register within the
    /// [`patience`](super::LambdaBuilder::patience).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the process goes on.
    pub async fn spawn_extension(&self, command: Command) -> Result<u32, LambdaError> {
        let file = Path::new(command.as_std().get_program()).file_name().unwrap_or_default();
        let name = file.to_string_lossy().into_owned();
        if !self.environment.read(|state| state.is_external(&name)) {
            let message = format!("\"{name}\" is not the name of an external extension");
            return Err(LambdaError::Spawn(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        let pid = self.spawn_process(command, Some(name.clone())).map_err(LambdaError::Spawn)?;
        let registered = |state: &mut LambdaState| state.is_registered(&name).then_some(pid);
        self.environment.until_function(registered).await
    }

    fn spawn_process(&self, mut command: Command, extension: Option<String>) -> io::Result<u32> {
        let mut child = command.envs(self.env()).kill_on_drop(true).spawn()?;
        let Some(pid) = child.id() else {
            return Err(io::Error::other("the process has exited already"));
        };
        self.environment.change(|state| state.process_started(pid, extension));
        let environment = self.environment.clone();
        tokio::spawn(async move { watch(&environment, &mut child, pid).await });
        Ok(pid)
    }

    /// Shuts the environment down, as Lambda does: extensions that registered for SHUTDOWN get it and
    /// have two seconds to exit; all other processes are killed at once, without a SIGTERM. Nothing is
    /// invoked any more.
    ///
    /// Returns when those extensions have got SHUTDOWN and all processes have exited: how each process
    /// of [`spawn_extension`](Self::spawn_extension) ended.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotIdle`] if an extension in this process does not ask for its next event within
    /// the two seconds, or the environment is frozen.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the shutdown has begun. If dropped, processes that do not exit stay until the
    /// environment ends.
    pub async fn shutdown(&self) -> Result<Vec<ExtensionEnd>, LambdaError> {
        let environment = &self.environment;
        environment.change(LambdaState::shut_down);
        let over = environment.until(|state| state.is_shut_down().then_some(()));
        if tokio::time::timeout(SHUTDOWN_TIME, over).await.is_err() {
            environment.change(LambdaState::kill_processes);
            environment.until(|state| state.pids().is_empty().then_some(())).await;
        }
        environment.read(|state| match state.is_shut_down() {
            true => Ok(state.extension_ends()),
            false => Err(LambdaError::NotIdle { waiting_for: state.waiting_for() }),
        })
    }
}

/// Waits until a process has exited, and kills it when the environment says so.
async fn watch(environment: &Arc<Environment>, child: &mut Child, pid: u32) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = environment.until(|state| state.is_killed(pid).then_some(())) => {
            // Fails if it has exited already.
            child.start_kill().ok();
            child.wait().await
        }
    };
    environment.change(|state| state.process_exited(pid, status.ok()));
}
