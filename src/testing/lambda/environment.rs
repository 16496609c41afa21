//! [`Environment`]: the state behind its lock, and everything that waits for it to change.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::LambdaError;
use super::function::Function;
use super::state::State;
use crate::clock::runtime_now;
use crate::testing::TestClock;

pub(super) struct Environment {
    function: Arc<Function>,
    clock: TestClock,
    address: SocketAddr,
    state: Mutex<State>,
    /// Told of every change of `state`.
    changed: Notify,
    /// Called at the moment of freezing, outside the lock of `state`.
    probes: Mutex<Vec<Probe>>,
}

type Probe = Box<dyn FnMut() + Send>;

impl Environment {
    pub(super) fn new(function: Function, clock: TestClock, address: SocketAddr) -> Self {
        let function = Arc::new(function);
        Self {
            state: Mutex::new(State::new(function.clone(), clock.clone())),
            function,
            clock,
            address,
            changed: Notify::new(),
            probes: Mutex::default(),
        }
    }

    pub(super) fn function(&self) -> &Function {
        &self.function
    }

    pub(super) fn clock(&self) -> &TestClock {
        &self.clock
    }

    pub(super) fn env(&self) -> Vec<(String, String)> {
        self.function.env(self.address)
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Changes the state, and whatever follows from the change.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.settle(state);
        result
    }

    /// Waits until `attempt` comes to something; it must leave the state as it is as long as it does
    /// not. If dropped before, it has changed nothing.
    pub(super) async fn until<R>(&self, mut attempt: impl FnMut(&mut State) -> Option<R>) -> R {
        loop {
            // Made before the attempt, so it is woken by every change after it: none is missed.
            let changed = self.changed.notified();
            if let Some(result) = self.try_change(&mut attempt) {
                return result;
            }
            changed.await;
        }
    }

    fn try_change<R>(&self, attempt: impl FnOnce(&mut State) -> Option<R>) -> Option<R> {
        let mut state = lock(&self.state);
        let result = attempt(&mut state)?;
        self.settle(state);
        Some(result)
    }

    fn settle(&self, mut state: MutexGuard<'_, State>) {
        state.settle();
        drop(state);
        self.changed.notify_waiters();
    }

    /// As [`until`](Self::until), within the patience.
    pub(super) async fn patiently<R>(
        &self,
        attempt: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, LambdaError> {
        let done = tokio::time::timeout(self.function.patience, self.until(attempt));
        let late = |_| LambdaError::NotIdle { waiting_for: self.read(State::waiting_for) };
        done.await.map_err(late)
    }

    /// As [`patiently`](Self::patiently), for what the function has to do: fails as soon as it cannot
    /// do it any more.
    pub(super) async fn function_does<R>(
        &self,
        mut attempt: impl FnMut(&mut State) -> Option<R>,
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

    /// Ends invocations at their deadline, and gaps when they have lasted long enough.
    pub(super) async fn keep_time(&self) {
        loop {
            let changed = self.changed.notified();
            let Some(due) = self.read(State::next_due) else {
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

    pub(super) async fn ended(&self) {
        self.until(|state| state.has_ended().then_some(())).await;
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
