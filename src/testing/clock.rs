//! A clock that can freeze, step, and be advanced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Stamp, runtime_now};

/// The two clocks of an environment, under a test's control.
///
/// It runs with tokio's own time: under `#[tokio::test(start_paused = true)]` it stands still until
/// the runtime's time moves, so tests of timers are exact; in a running runtime it runs as the real
/// clocks do. On top of that the test says what happens to the environment:
///
/// | call | monotonic clock | wall clock | tokio's timers |
/// |---|---|---|---|
/// | [`advance`](Self::advance) | goes on | goes on | see nothing |
/// | [`freeze`](Self::freeze) | stands still | goes on | see nothing |
/// | [`step_back`](Self::step_back) | - | goes back | see nothing |
/// | [`step_forward`](Self::step_forward) | - | goes ahead | see nothing |
/// | `tokio::time::advance` | goes on | goes on | fire |
///
/// Clones share one clock.
///
/// ```
/// use lambda_cache::Clock;
/// use lambda_cache::testing::TestClock;
/// use std::time::Duration;
///
/// let clock = TestClock::new();
/// let before = clock.now();
/// clock.freeze(Duration::from_secs(600));
/// let after = clock.now();
/// assert!(after.wall().duration_since(before.wall()).unwrap() >= Duration::from_secs(600));
/// assert!(after.monotonic() - before.monotonic() < Duration::from_secs(1));
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    origin: Instant,
    start: SystemTime,
    /// What the monotonic clock is ahead of tokio's time.
    monotonic_ahead: Duration,
    /// What true time is ahead of tokio's time.
    true_ahead: Duration,
    /// What the wall clock is behind and ahead of true time.
    wall_behind: Duration,
    wall_ahead: Duration,
}

impl TestClock {
    /// A clock that shows 2026-01-01 00:00:00 UTC now.
    pub fn new() -> Self {
        Self::starting_at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// A clock whose wall shows `start` now.
    pub fn starting_at(start: SystemTime) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                origin: runtime_now(),
                start,
                monotonic_ahead: Duration::ZERO,
                true_ahead: Duration::ZERO,
                wall_behind: Duration::ZERO,
                wall_ahead: Duration::ZERO,
            })),
        }
    }

    /// `duration` goes by while the environment runs, unseen by tokio's timers.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        state.monotonic_ahead += duration;
        state.true_ahead += duration;
    }

    /// The environment is frozen for `duration`: the wall clock goes on, the monotonic one does not.
    pub fn freeze(&self, duration: Duration) {
        self.state().true_ahead += duration;
    }

    /// The wall clock is set back by `duration`.
    pub fn step_back(&self, duration: Duration) {
        self.state().wall_behind += duration;
    }

    /// The wall clock is set ahead by `duration`.
    pub fn step_forward(&self, duration: Duration) {
        self.state().wall_ahead += duration;
    }

    /// True time: what the wall clock would show had nobody stepped it. The world outside the
    /// environment lives by it, so it is what a trace id's epoch is made from.
    pub fn true_now(&self) -> SystemTime {
        let state = self.state();
        state.start + state.elapsed() + state.true_ahead
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn elapsed(&self) -> Duration {
        runtime_now().saturating_duration_since(self.origin)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Stamp {
        let state = self.state();
        let elapsed = state.elapsed();
        let wall = state.start + elapsed + state.true_ahead + state.wall_ahead - state.wall_behind;
        Stamp::new(elapsed + state.monotonic_ahead, wall)
    }
}
