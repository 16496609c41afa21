//! The invocation that is going on, as far as the refresher sees it.
//!
//! The environment freezes when the runtime and every extension have asked for their next. So the
//! refresher's answer to INVOKE is what keeps it from freezing with a fetch in flight, and this is
//! what that answer depends on.

use tokio::sync::oneshot;

use crate::clock::{Stamp, duration};

/// What drives refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The environment never freezes: timers.
    Timers,
    /// It may freeze between invocations: INVOKE events, and timers only while one is held open.
    Invocations,
}

/// What the extension or the handler is told of an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    /// When Lambda ends it, in nanoseconds since the Unix epoch on the environment's wall clock.
    pub(crate) deadline: i64,
    /// A lower bound of true time, in nanoseconds since the Unix epoch, from the trace id.
    pub(crate) witness: Option<i64>,
}

/// Who speaks of an invocation. There is no order between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Handler,
    Extension,
}

/// Where the handler of an invocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// It has not been heard of: it has not begun, or is one that does not tell.
    Unheard,
    Running,
    Ended,
}

/// Where the extension's INVOKE event of an invocation is.
#[derive(Debug)]
pub(crate) enum Extension {
    /// It has not come yet, or nobody is registered for it.
    Unheard,
    /// It waits to be told that nothing is in flight any more.
    Waiting(oneshot::Sender<()>),
    /// It has been told, so the next event has been asked for.
    Answered,
}

/// The invocation that is going on, or the last one.
#[derive(Debug)]
pub(crate) struct Current {
    invocation: Invocation,
    pub(crate) handler: Handler,
    pub(crate) extension: Extension,
    pub(crate) tally: Tally,
}

/// What one invocation did, for its trace event.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) due: usize,
    pub(crate) refreshed: usize,
    pub(crate) failed: usize,
    pub(crate) handler_ended: Option<Stamp>,
}

impl Current {
    pub(crate) fn new(invocation: Invocation) -> Self {
        Self {
            invocation,
            handler: Handler::Unheard,
            extension: Extension::Unheard,
            tally: Tally::default(),
        }
    }

    pub(crate) fn is(&self, request_id: &str) -> bool {
        self.invocation.request_id == request_id
    }

    /// Whether `voice` speaks of this invocation for the first time. A retried invocation keeps its
    /// request id, so the id alone does not tell.
    pub(crate) fn expects(&self, voice: Voice, request_id: &str) -> bool {
        self.is(request_id)
            && match voice {
                // While the extension holds the environment there can be no other.
                Voice::Handler => self.handler == Handler::Unheard || self.is_held(),
                Voice::Extension => matches!(self.extension, Extension::Unheard),
            }
    }

    /// Whether the extension waits, so that the environment cannot freeze.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.extension, Extension::Waiting(_))
    }

    /// The instant of its deadline, as both clocks will show it if nothing freezes before.
    pub(crate) fn deadline(&self, now: Stamp) -> Stamp {
        now.later_by(duration(self.invocation.deadline.saturating_sub(now.wall)))
    }

    /// Lets the extension ask for its next event, and says in a trace event what was done.
    pub(crate) fn release(&mut self, now: Stamp) {
        let extension = std::mem::replace(&mut self.extension, Extension::Answered);
        let Extension::Waiting(done) = extension else {
            self.extension = extension;
            return;
        };
        let held = self.tally.handler_ended.map(|ended| now.monotonic - ended.monotonic);
        tracing::debug!(
            request_id = self.invocation.request_id,
            due = self.tally.due,
            refreshed = self.tally.refreshed,
            failed = self.tally.failed,
            held_ms = held.map_or(0.0, |held| duration(held).as_secs_f64() * 1e3),
            "invocation"
        );
        _ = done.send(());
    }
}
