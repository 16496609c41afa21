//! The snapshot and the restore of an environment with SnapStart.

use super::function::InitializationType;
use super::state::State;
use super::{Lambda, LambdaError};

impl Lambda {
    /// Waits until Lambda would take its snapshot: the runtime has asked to be told of the restore,
    /// and every registered extension for its next event.
    ///
    /// Any time may pass until [`restore`](Self::restore):
    /// [`TestClock::freeze`](crate::testing::TestClock::freeze) says how much.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotSnapStart`], and those of [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn snapshot_ready(&self) -> Result<(), LambdaError> {
        self.has_snap_start()?;
        self.environment.function_does(|state| state.snapshot_is_ready().then_some(())).await
    }

    /// Restores the environment from its snapshot: the runtime is told, runs its hooks, and asks for
    /// its first invocation; [`ready`](Self::ready) waits for that.
    ///
    /// The probes of [`on_freeze`](Self::on_freeze) are called before. Connections are left alone;
    /// [`Fault::Close`](super::Fault::Close) closes one that asks for an event.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotSnapStart`], or [`LambdaError::NotIdle`] if there is no snapshot yet.
    pub fn restore(&self) -> Result<(), LambdaError> {
        self.has_snap_start()?;
        if !self.environment.read(State::snapshot_is_ready) {
            let waiting_for = self.environment.read(State::waiting_for);
            return Err(LambdaError::NotIdle { waiting_for });
        }
        self.environment.call_probes();
        self.environment.change(State::restore);
        Ok(())
    }

    fn has_snap_start(&self) -> Result<(), LambdaError> {
        match self.environment.function().initialization_type {
            InitializationType::SnapStart => Ok(()),
            InitializationType::OnDemand | InitializationType::Managed(_) => {
                Err(LambdaError::NotSnapStart)
            }
        }
    }
}
