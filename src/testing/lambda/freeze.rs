//! Freezing and thawing the environment.

use std::time::Duration;

use super::process::signal;
use super::state::State;
use super::{Lambda, LambdaError};

impl Lambda {
    /// Freezes the environment for `duration`, once no invocation is going on and everybody has asked
    /// for their next.
    ///
    /// In process that takes no time: the environment's clock
    /// [is frozen](crate::testing::TestClock::freeze). Processes of their own are stopped, `duration`
    /// really passes, and they go on.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NeverFreezes`] on a Managed Instance, [`LambdaError::NotIdle`] with those who
    /// have not asked within the [`patience`](super::LambdaBuilder::patience),
    /// [`LambdaError::Signal`], and those of [`ready`](Self::ready).
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

    /// Freezes the environment until it is [thawed](Frozen::thaw), as [`freeze`](Self::freeze) does, so
    /// that the world can change meanwhile. In process, let the time pass by
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
        self.environment.function_does(State::freeze).await?;
        let mut frozen = Frozen { lambda: self.clone(), stopped: Vec::new() };
        for pid in self.environment.read(State::pids) {
            frozen.stopped.push(pid);
            signal::stop(pid).await.map_err(LambdaError::Signal)?;
        }
        self.environment.call_probes();
        Ok(frozen)
    }

    /// Has `probe` called at the moment of each freeze: when processes are stopped, and before time
    /// passes. There a test sees what was in flight.
    ///
    /// It must not wait for what the frozen function would have to do, nor add probes.
    pub fn on_freeze(&self, probe: impl FnMut() + Send + 'static) {
        self.environment.add_probe(Box::new(probe));
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
    /// The environment goes on.
    ///
    /// # Errors
    ///
    /// [`LambdaError::Signal`] if a process could not be continued.
    pub fn thaw(mut self) -> Result<(), LambdaError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), LambdaError> {
        let environment = &self.lambda.environment;
        let alive = environment.read(State::pids);
        let continued = std::mem::take(&mut self.stopped)
            .into_iter()
            .filter(|pid| alive.contains(pid))
            .try_for_each(signal::go_on);
        environment.change(State::thaw);
        continued.map_err(LambdaError::Signal)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Nobody is left to be told; `thaw` tells.
        self.end().ok();
    }
}
