//! What is different at init: what fails in a way that may pass is tried again, until init is over.
//!
//! Thousands of environments may start at once, and a service then throttles most of them. So this is the one
//! layer that retries at init: sources make one attempt for each fetch, since the refresher knows how much
//! time is left, and how often it has been throttled.
//!
//! Lambda does not freeze an environment that is at init, so timers run. Once every entry that init waits for
//! is there, or has failed for good, they stop: nothing may be in flight when init ends.

use std::time::Duration;

use super::{Cause, Engine};
use crate::clock::{self, Stamp};
use crate::error::{Attempts, Error, ErrorKind};
use crate::freshness;
use crate::snapshot::{Read, ReadKind};

/// Init, while it goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Init {
    /// When it is over, on the monotonic clock.
    end: i64,
}

impl Init {
    fn left(self, now: Stamp) -> Duration {
        clock::duration(self.end.saturating_sub(now.monotonic))
    }

    /// How long to wait before what has failed is tried again. What does not pass is not tried again
    /// during init.
    pub(super) fn back_off(
        self,
        error: &Error,
        attempts: Attempts,
        jitter: f64,
        now: Stamp,
    ) -> Duration {
        let left = self.left(now);
        let is_throttled = error.kind() == ErrorKind::Throttled;
        let pause = error
            .may_pass()
            .then(|| freshness::init_back_off(attempts.made, is_throttled, jitter, left))
            .flatten();
        pause.unwrap_or_else(|| left.max(freshness::back_off(attempts.made, jitter)))
    }
}

impl Engine {
    /// Fetches everything that is not lazy.
    pub(super) fn begin_init(&mut self, deadline: Duration, now: Stamp) {
        self.init = Some(Init { end: now.later_by(deadline).monotonic });
        self.read_all(Read { kind: ReadKind::Snapshot, after: 0 }, Cause::Init, now);
    }

    /// Ends init, if it has nothing to wait for. At its deadline the whole cache ends.
    pub(super) fn end_init(&mut self) {
        if self.init.is_some() && !self.board.is_loading() {
            self.init = None;
        }
    }

    /// What timers start fetches for, if they run.
    pub(super) fn timers(&self) -> Option<Cause> {
        match self.init {
            Some(_) => Some(Cause::Init),
            None => self.life.phase.timers_run().then_some(Cause::Timer),
        }
    }
}
