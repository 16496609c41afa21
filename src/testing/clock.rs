//! A clock that can freeze, step, and be advanced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Stamp, runtime_now};

/// The two clocks of an environment, under a test's control.
///
/// Both follow tokio's time. Under `#[tokio::test(start_paused = true)]` they stand still until tokio's
/// time moves, so tests of timers are exact; otherwise they run in real time. Beside that, the test
/// moves them:
///
/// | call | monotonic clock | wall clock | tokio's timers |
/// |---|---|---|---|
/// | [`advance`](Self::advance) | moves on | moves on | do not fire |
/// | [`freeze`](Self::freeze) | stands still | moves on | do not fire |
/// | [`step_back`](Self::step_back) | - | is set back | do not fire |
/// | [`step_forward`](Self::step_forward) | - | is set ahead | do not fire |
/// | `tokio::time::advance` | moves on | moves on | fire |
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
    state: Arc<Mutex<ClockState>>,
}

#[derive(Debug)]
struct ClockState {
    /// Tokio's time when the clock was made, and true time then.
    origin: Instant,
    start: SystemTime,
    /// How far the monotonic clock, and true time, are ahead of tokio's time.
    monotonic_ahead: Duration,
    true_ahead: Duration,
    /// How far the wall clock was set back and ahead of true time. Durations are never negative.
    stepped_back: Duration,
    stepped_forward: Duration,
}

impl TestClock {
    /// A clock whose wall clock shows 2026-01-01 00:00:00 UTC now.
    pub fn new() -> Self {
        Self::starting_at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// A clock whose wall clock shows `start` now.
    pub fn starting_at(start: SystemTime) -> Self {
        Self {
            state: Arc::new(Mutex::new(ClockState {
                origin: runtime_now(),
                start,
                monotonic_ahead: Duration::ZERO,
                true_ahead: Duration::ZERO,
                stepped_back: Duration::ZERO,
                stepped_forward: Duration::ZERO,
            })),
        }
    }

    /// Lets `duration` pass while the environment runs. Tokio's timers do not fire.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        state.monotonic_ahead += duration;
        state.true_ahead += duration;
    }

    /// Freezes the environment for `duration`: the wall clock moves on, the monotonic clock does not.
    pub fn freeze(&self, duration: Duration) {
        self.state().true_ahead += duration;
    }

    /// Sets the wall clock back by `duration`.
    pub fn step_back(&self, duration: Duration) {
        self.state().stepped_back += duration;
    }

    /// Sets the wall clock ahead by `duration`.
    pub fn step_forward(&self, duration: Duration) {
        self.state().stepped_forward += duration;
    }

    /// True time: what the wall clock would show if it had not been stepped. It is the time outside the
    /// environment, and so the epoch of trace ids.
    pub fn true_now(&self) -> SystemTime {
        let state = self.state();
        state.start + state.elapsed() + state.true_ahead
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClockState {
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
        // Read once, so that both clocks show the same instant.
        let elapsed = state.elapsed();
        let true_now = state.start + elapsed + state.true_ahead;
        let wall = true_now + state.stepped_forward - state.stepped_back;
        Stamp::new(elapsed + state.monotonic_ahead, wall)
    }
}
