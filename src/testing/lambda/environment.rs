//! [`Environment`]: the state behind its lock, and everything that waits for a change of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::builder::FunctionConfig;
use super::report::LambdaError;
use super::state::{LambdaState, Refusal};
use crate::clock::runtime_now;
use crate::testing::TestClock;

pub(super) struct Environment {
    function: Arc<FunctionConfig>,
    clock: TestClock,
    address: SocketAddr,
    state: Mutex<LambdaState>,
    /// Notified of every change of `state`.
    changed: Notify,
    /// Called at each freeze, outside the lock of `state`.
    probes: Mutex<Vec<Probe>>,
}

type Probe = Box<dyn FnMut() + Send>;

impl Environment {
    pub(super) fn new(function: FunctionConfig, clock: TestClock, address: SocketAddr) -> Self {
        let function = Arc::new(function);
        Self {
            state: Mutex::new(LambdaState::new(function.clone(), clock.clone())),
            function,
            clock,
            address,
            changed: Notify::new(),
            probes: Mutex::default(),
        }
    }

    pub(super) fn function(&self) -> &FunctionConfig {
        &self.function
    }

    pub(super) fn clock(&self) -> &TestClock {
        &self.clock
    }

    pub(super) fn env(&self) -> Vec<(String, String)> {
        self.function.env(self.address)
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&LambdaState) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Makes a change, and everything that follows from it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut LambdaState) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.settle(state);
        result
    }

    /// Makes the change that a request asks for, and counts it if it is refused.
    pub(super) fn request<R>(
        &self,
        change: impl FnOnce(&mut LambdaState) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.change(|state| {
            let result = change(state);
            state.counts.refused += u64::from(result.is_err());
            result
        })
    }

    /// Waits until `attempt` succeeds. An attempt that returns `None` must leave the state as it is, so
    /// that a dropped wait has changed nothing.
    pub(super) async fn until<R>(
        &self,
        mut attempt: impl FnMut(&mut LambdaState) -> Option<R>,
    ) -> R {
        loop {
            // Created before the attempt, so every change after it wakes this.
            let changed = self.changed.notified();
            if let Some(result) = self.try_change(&mut attempt) {
                return result;
            }
            changed.await;
        }
    }

    fn try_change<R>(&self, attempt: impl FnOnce(&mut LambdaState) -> Option<R>) -> Option<R> {
        let mut state = lock(&self.state);
        let result = attempt(&mut state)?;
        self.settle(state);
        Some(result)
    }

    fn settle(&self, mut state: MutexGuard<'_, LambdaState>) {
        state.settle();
        drop(state);
        self.changed.notify_waiters();
    }

    /// As [`until`](Self::until), within the configured patience.
    pub(super) async fn patiently<R>(
        &self,
        attempt: impl FnMut(&mut LambdaState) -> Option<R>,
    ) -> Result<R, LambdaError> {
        let done = tokio::time::timeout(self.function.patience, self.until(attempt));
        let late = |_| LambdaError::NotIdle { waiting_for: self.read(LambdaState::waiting_for) };
        done.await.map_err(late)
    }

    /// As [`patiently`](Self::patiently), for what the function has to do: fails at once when init has
    /// failed or the process has exited.
    pub(super) async fn until_function<R>(
        &self,
        mut attempt: impl FnMut(&mut LambdaState) -> Option<R>,
    ) -> Result<R, LambdaError> {
        let done = self.patiently(|state| match attempt(state) {
            Some(result) => Some(Ok(result)),
            None => state.failure().map(Err),
        });
        done.await?
    }

    pub(super) fn add_probe(&self, probe: Probe) {
        lock(&self.probes).push(probe);
    }

    pub(super) fn call_probes(&self) {
        for probe in lock(&self.probes).iter_mut() {
            probe();
        }
    }

    /// Ends invocations at their deadlines, and gaps that have a duration.
    pub(super) async fn run_timers(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(due) = self.read(LambdaState::next_due) else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(due.into()) => {
                    self.change(|state| state.expire(runtime_now()));
                }
            }
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("function", &self.function)
            .field("address", &self.address)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
