//! Freezing and thawing the environment, and restoring it from a snapshot.

use std::io;
use std::time::Duration;

use super::Lambda;
use super::report::LambdaError;
use super::state::LambdaState;

impl Lambda {
    /// Freezes the environment for `duration`, once no invocation is going on and everybody has asked
    /// for the next event.
    ///
    /// In process this takes no time: it [freezes](crate::testing::TestClock::freeze) the
    /// environment's clock. Processes are stopped and continued, and `duration` really passes.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NeverFreezes`] on a Managed Instance, [`LambdaError::NotIdle`] with those who
    /// have not asked within the [`patience`](super::LambdaBuilder::patience),
    /// [`LambdaError::Signal`] if a process cannot be stopped or continued, and those of
    /// [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the environment thaws.
    pub async fn freeze(&self, duration: Duration) -> Result<(), LambdaError> {
        let frozen = self.begin_freeze().await?;
        if frozen.stopped.is_empty() {
            self.clock().freeze(duration);
        } else {
            tokio::time::sleep(duration).await;
        }
        frozen.thaw()
    }

    /// Freezes the environment, as [`freeze`](Self::freeze) does, until [`Frozen::thaw`], so that a
    /// test can change something meanwhile. In process, let time pass with
    /// [`TestClock::freeze`](crate::testing::TestClock::freeze).
    ///
    /// # Errors
    ///
    /// Those of [`freeze`](Self::freeze).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the environment thaws.
    pub async fn begin_freeze(&self) -> Result<Frozen, LambdaError> {
        if self.environment.function().is_managed() {
            return Err(LambdaError::NeverFreezes);
        }
        self.environment.until_function(LambdaState::freeze).await?;
        let mut frozen = Frozen { lambda: self.clone(), stopped: Vec::new() };
        for pid in self.environment.read(LambdaState::pids) {
            frozen.stopped.push(pid);
            signal::stop(pid).await.map_err(LambdaError::Signal)?;
        }
        self.environment.call_probes();
        Ok(frozen)
    }

    /// Calls `probe` at each freeze, after processes have been stopped and before time passes. There a
    /// test can look at what was in flight.
    ///
    /// It must not wait for the frozen function, and must not add probes.
    pub fn on_freeze(&self, probe: impl FnMut() + Send + 'static) {
        self.environment.add_probe(Box::new(probe));
    }

    /// Waits until Lambda would take a SnapStart snapshot: the runtime waits for the restore, and every
    /// registered extension has asked for its next event.
    ///
    /// Before [`restore`](Self::restore), let any time pass with
    /// [`TestClock::freeze`](crate::testing::TestClock::freeze).
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotSnapStart`], and those of [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn snapshot_ready(&self) -> Result<(), LambdaError> {
        self.require_snap_start()?;
        self.environment.until_function(|state| state.snapshot_is_ready().then_some(())).await
    }

    /// Restores the environment from its snapshot: the runtime is told, runs its hooks, and asks for its
    /// first invocation, which [`ready`](Self::ready) waits for.
    ///
    /// Calls the probes of [`on_freeze`](Self::on_freeze) first. Connections stay open;
    /// [`Fault::Close`](super::Fault::Close) closes that of an extension that is asking.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotSnapStart`], or [`LambdaError::NotIdle`] if there is no snapshot yet.
    pub fn restore(&self) -> Result<(), LambdaError> {
        self.require_snap_start()?;
        if !self.environment.read(LambdaState::snapshot_is_ready) {
            let waiting_for = self.environment.read(LambdaState::waiting_for);
            return Err(LambdaError::NotIdle { waiting_for });
        }
        self.environment.call_probes();
        self.environment.change(LambdaState::restore);
        Ok(())
    }

    fn require_snap_start(&self) -> Result<(), LambdaError> {
        match self.environment.function().has_snap_start() {
            true => Ok(()),
            false => Err(LambdaError::NotSnapStart),
        }
    }
}

/// A frozen environment. Thaws when dropped.
#[derive(Debug)]
#[must_use = "it thaws when dropped"]
pub struct Frozen {
    lambda: Lambda,
    stopped: Vec<u32>,
}

impl Frozen {
    /// Thaws the environment.
    ///
    /// # Errors
    ///
    /// [`LambdaError::Signal`] if a process could not be continued.
    pub fn thaw(mut self) -> Result<(), LambdaError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), LambdaError> {
        let environment = &self.lambda.environment;
        let alive = environment.read(LambdaState::pids);
        let continued = std::mem::take(&mut self.stopped)
            .into_iter()
            .filter(|pid| alive.contains(pid))
            .try_for_each(signal::resume);
        environment.change(LambdaState::thaw);
        continued.map_err(LambdaError::Signal)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Only `thaw` can return an error.
        self.end().ok();
    }
}

/// Stopping and continuing child processes.
#[cfg(unix)]
mod signal {
    use super::io;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

    /// Stops a child, and waits until it has stopped or exited.
    pub(super) async fn stop(pid: u32) -> io::Result<()> {
        let pid = child(pid)?;
        kill_process(pid, Signal::STOP)?;
        // Does not reap the child: whoever spawned it waits for its exit.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let stopped = move || waitid(WaitId::Pid(pid), options).map(drop);
        Ok(tokio::task::spawn_blocking(stopped).await??)
    }

    pub(super) fn resume(pid: u32) -> io::Result<()> {
        Ok(kill_process(child(pid)?, Signal::CONT)?)
    }

    fn child(pid: u32) -> io::Result<Pid> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

/// Elsewhere, processes run but cannot be stopped.
#[cfg(not(unix))]
mod signal {
    use super::io;

    pub(super) async fn stop(_: u32) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(super) fn resume(_: u32) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
