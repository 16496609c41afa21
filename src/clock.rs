//! [`Clock`] and [`Stamp`]: the only file that reads time.
//!
//! Age is judged on two clocks at once, because over a freeze neither can be trusted alone: the
//! monotonic clock may stand still, and the wall clock may lag or be stepped. What follows from a
//! pair of stamps is decided in `freshness`, which reads no clock itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant as the environment's two clocks show it.
///
/// Both parts are whole nanoseconds, so that an age check is a few integer comparisons: `monotonic`
/// since an origin that only its own [`Clock`] knows, `wall` since the Unix epoch. Stamps of
/// different clocks cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub(crate) monotonic: i64,
    pub(crate) wall: i64,
}

impl Stamp {
    /// Makes a stamp from the time since the clock's own origin and the wall-clock time.
    ///
    /// A wall clock before 1970 counts as 1970.
    #[inline(always)]
    pub fn new(monotonic: Duration, wall: SystemTime) -> Self {
        Self {
            monotonic: nanos(monotonic),
            wall: nanos(wall.duration_since(UNIX_EPOCH).unwrap_or_default()),
        }
    }

    /// The wall-clock time.
    pub fn wall(&self) -> SystemTime {
        UNIX_EPOCH + duration(self.wall)
    }

    /// The time since the origin of the clock that made this stamp.
    pub fn monotonic(&self) -> Duration {
        duration(self.monotonic)
    }

    /// How far the wall clock is ahead of the monotonic one. A freeze that the monotonic clock does not
    /// see makes this larger.
    #[cfg(feature = "aws")]
    pub(crate) fn lead(self) -> i64 {
        self.wall.saturating_sub(self.monotonic)
    }

    /// This stamp, put back by `duration` on both clocks: how a value is aged by time that neither
    /// clock has seen.
    pub(crate) fn earlier_by(self, duration: Duration) -> Self {
        Self {
            monotonic: self.monotonic.saturating_sub(nanos(duration)),
            wall: self.wall.saturating_sub(nanos(duration)),
        }
    }

    /// This stamp, put ahead by `duration` on both clocks.
    pub(crate) fn later_by(self, duration: Duration) -> Self {
        Self {
            monotonic: self.monotonic.saturating_add(nanos(duration)),
            wall: self.wall.saturating_add(nanos(duration)),
        }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp")
            .field("monotonic", &self.monotonic())
            .field("wall", &duration(self.wall))
            .finish()
    }
}

/// Reads both clocks of the environment.
///
/// The cache uses [`SystemClock`] unless [`Builder::clock`](crate::Builder::clock) says otherwise;
/// tests use [`TestClock`](crate::testing::TestClock) (feature `testing`).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant. Called on every read, so it should be fast and must not block.
    fn now(&self) -> Stamp;
}

/// The clocks of the machine: [`Instant`] and [`SystemTime`].
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    #[allow(clippy::disallowed_methods)]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    // Monotonic first: if the thread is held up between the two readings, the wall clock is the one
    // that has seen the delay, and ages come out too large rather than too small.
    #[allow(clippy::disallowed_methods)]
    #[inline(always)]
    fn now(&self) -> Stamp {
        let monotonic = Instant::now().saturating_duration_since(self.origin);
        Stamp::new(monotonic, SystemTime::now())
    }
}

/// The clock of a cache: a machine's own is read without a detour.
#[derive(Debug, Clone)]
pub(crate) enum Clocks {
    System(SystemClock),
    Other(Arc<dyn Clock>),
}

impl Clocks {
    #[inline(always)]
    pub(crate) fn now(&self) -> Stamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Other(clock) => clock.now(),
        }
    }
}

/// The time of the tokio runtime, which tests can pause: what the test clock is built on.
#[cfg(feature = "testing")]
#[allow(clippy::disallowed_methods)]
pub(crate) fn runtime_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A duration in whole nanoseconds; more than 292 years is as good as forever.
#[inline(always)]
pub(crate) fn nanos(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(duration.subsec_nanos()))
}

/// The duration of so many nanoseconds; none, if there are fewer than none.
pub(crate) fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}
