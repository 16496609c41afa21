//! Whether secrets are fetched in batches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sources::aws::permission::BatchPermission;

/// The most batches that go one by one before the batch operation is tried again.
const LONGEST_REST: u32 = 64;
/// What the permission for the batch operation can be given for.
const EVERYTHING: &str = "*";

/// Whether secrets are fetched in batches: not where the role lacks the permission, and not for a
/// while after the service has throttled it, which it does at a hundred calls a second for a whole
/// account. (Single calls have a hundred times that.)
///
/// The while is counted in batches, not in time, so that nothing of it depends on a clock: a cache
/// that asks seldom is no burden to the service.
#[derive(Debug)]
pub(super) struct Batching {
    permission: BatchPermission,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many more batches go one by one.
    resting: u32,
    /// How many did after the last throttling; it doubles until a batch succeeds.
    rest: u32,
}

impl Default for Batching {
    fn default() -> Self {
        let permission = BatchPermission::new("secretsmanager:BatchGetSecretValue");
        Self { permission, state: Mutex::default() }
    }
}

impl Batching {
    /// Whether the next batch may be one call.
    pub(super) fn is_on(&self) -> bool {
        let mut state = self.state();
        let on = state.resting == 0 && !self.permission.is_lacking_on(EVERYTHING);
        state.resting = state.resting.saturating_sub(1);
        on
    }

    pub(super) fn succeeded(&self) {
        self.state().rest = 0;
    }

    pub(super) fn denied(&self, message: Option<&str>) {
        self.permission.lacks_on(EVERYTHING, message);
    }

    pub(super) fn throttled(&self) {
        let mut state = self.state();
        state.rest = state.rest.saturating_mul(2).clamp(1, LONGEST_REST);
        state.resting = state.rest;
    }

    pub(super) fn reset(&self) {
        self.permission.reset();
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches go one by one before one is tried as a call.
    fn rest(batching: &Batching) -> u32 {
        std::iter::repeat_with(|| batching.is_on()).take_while(|on| !on).map(|_| 1).sum()
    }

    #[test]
    fn the_rest_after_a_throttling_doubles_until_a_batch_succeeds() {
        let batching = Batching::default();
        assert_eq!(rest(&batching), 0);
        for expected in [1, 2, 4, 8, 16, 32, 64, 64] {
            batching.throttled();
            assert_eq!(rest(&batching), expected);
        }
        batching.succeeded();
        batching.throttled();
        assert_eq!(rest(&batching), 1);
    }

    #[test]
    fn what_is_denied_stays_so_until_a_reset_whatever_else_happens() {
        let batching = Batching::default();
        batching.denied(None);
        batching.throttled();
        batching.succeeded();
        assert!((0..100).all(|_| !batching.is_on()));
        batching.reset();
        assert!(batching.is_on());
    }
}
