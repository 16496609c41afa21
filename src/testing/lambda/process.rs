//! A function, or an extension, in a process of its own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::process::{Child, Command};

use super::environment::Environment;
use super::state::State;
use super::{Lambda, LambdaError};

impl Lambda {
    /// Starts the function as a process, with the environment's variables in addition to those that
    /// `command` has; gives its id.
    ///
    /// The process is killed at the deadline of an invocation and at the end of the environment. If it
    /// exits, the invocation that is going on comes to [`ProcessExited`](super::Outcome::ProcessExited);
    /// a process that is started after that begins with init.
    ///
    /// Its clocks are the machine's, so the environment's clock should show the machine's time, as it
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
    /// waits until it has registered, as Lambda does before it starts the runtime; gives its id.
    ///
    /// Its name is that of its file, and has to be one of the
    /// [external ones](super::LambdaBuilder::external_extension). An extension that exits takes the
    /// environment with it, except after [`shutdown`](Self::shutdown).
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
    /// [`LambdaError::Spawn`] if the process cannot be started or has another name,
    /// [`LambdaError::ProcessExited`] if it exits before it has registered, [`LambdaError::NotIdle`]
    /// if it has not within the [`patience`](super::LambdaBuilder::patience).
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
        let registered = |state: &mut State| state.is_registered(&name).then_some(pid);
        self.environment.function_does(registered).await
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
}

async fn watch(environment: &Arc<Environment>, child: &mut Child, pid: u32) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = environment.until(|state| state.is_doomed(pid).then_some(())) => {
            // If it cannot be killed it has exited.
            child.start_kill().ok();
            child.wait().await
        }
    };
    environment.change(|state| state.process_exited(pid, status.ok()));
}

/// Stopping and continuing a process.
#[cfg(unix)]
pub(super) mod signal {
    use std::io;

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

    /// Stops a child, and waits until it has stopped, or exited.
    pub(in super::super) async fn stop(pid: u32) -> io::Result<()> {
        let pid = pid_of(pid)?;
        kill_process(pid, Signal::STOP)?;
        // Leaves the child as it is, for its owner to wait for.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let stopped = move || waitid(WaitId::Pid(pid), options).map(drop);
        Ok(tokio::task::spawn_blocking(stopped).await??)
    }

    pub(in super::super) fn go_on(pid: u32) -> io::Result<()> {
        Ok(kill_process(pid_of(pid)?, Signal::CONT)?)
    }

    fn pid_of(pid: u32) -> io::Result<Pid> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

/// Elsewhere a process can be run, but not be stopped.
#[cfg(not(unix))]
pub(super) mod signal {
    use std::io;

    pub(in super::super) async fn stop(_: u32) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(in super::super) fn go_on(_: u32) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
