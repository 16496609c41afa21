//! The life cycle of an environment that freezes: who keeps it from freezing, and until when.
//!
//! Lambda freezes the environment when the runtime and every extension have asked for their next event.
//! So whoever still waits for the refresher's reply *holds* the environment: the runtime from the start
//! of an invocation until it may ask for the next one, the extension from INVOKE until it may. There is
//! no order between the two. `docs/lambda.md` has the transitions as tables.

use std::time::Duration;

use crate::clock::{self, Stamp};

/// Names an answer that somebody waits for.
pub(crate) type Reply = u64;

/// The part of an invocation's time that fetches and holds leave for the runtime to answer in.
const RESERVE: Duration = Duration::from_millis(50);
/// How long fetches that INVOKE has started may run before a handler that tells has begun.
const HANDLER_WAIT: Duration = Duration::from_millis(250);

/// An invocation, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    /// When Lambda ends it, in nanoseconds since the Unix epoch on the environment's wall clock.
    pub(crate) deadline: i64,
    pub(crate) tally: Tally,
}

/// What an invocation did, for its trace event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) due: usize,
    pub(crate) refreshed: usize,
    pub(crate) failed: usize,
    /// When the response had been sent, on the monotonic clock.
    pub(crate) responded: Option<i64>,
}

/// What the life cycle is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// Handlers will say when they begin and when their responses have been sent.
    HandlersTell,
    HandlerBegan(Invocation),
    /// The response of this request has been sent, its last byte included.
    ResponseSent(String, Reply),
    Invoke(Invocation, Reply),
    /// The hold is over.
    HoldOver,
    /// Nothing is in flight. `more` says whether something may yet fall due while the handler runs.
    Still {
        more: bool,
    },
    /// A SnapStart snapshot is about to be taken.
    Suspend(Reply),
    /// The environment has been restored from it.
    Restored(Reply),
    /// Sources have forgotten their connections.
    Reset,
}

/// What follows from a word, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The invocation is over.
    Close(Invocation),
    /// The environment may have been frozen since the last word.
    Thaw,
    /// May go on: the runtime or the extension.
    Answer(Reply),
    /// Refresh what is due.
    Due,
    /// End what nobody waits for.
    CancelUnwanted,
    /// End what was begun for a reader in spite of its pause, if no reader waits for it any more.
    CancelPaused,
    /// End everything.
    CancelAll,
    /// Drop all values.
    Clear,
    /// Have sources forget their connections.
    Reset,
    /// Fetch what was dropped.
    Reload,
}

/// Who holds the environment, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not an environment that freezes: timers drive refreshes.
    NeverFreezes,
    /// Nobody is known to hold it. It may be frozen at any moment, or a handler that does not tell may
    /// be running.
    Free(Open),
    /// INVOKE has come, the handler has not been heard: the extension holds, for fetches in flight.
    Invoked { invocation: Invocation, extension: Reply, until: i64 },
    /// The same past the hold limit: for fetches that readers wait for.
    ForReaders { invocation: Invocation, extension: Reply },
    /// The handler runs, and the runtime holds. INVOKE has not come.
    Handler { invocation: Invocation },
    /// The handler runs, and the runtime holds. The extension has gone on.
    HandlerAlone { invocation: Invocation },
    /// The handler runs, and runtime and extension hold.
    Both { invocation: Invocation, extension: Reply },
    /// The response has been sent: held for fetches in flight, until the hold limit.
    Ending { invocation: Invocation, holder: Holder, until: i64 },
    /// Everything has been cancelled: held until it is gone.
    Cancelling { invocation: Invocation, holder: Holder },
    /// As `Cancelling`, before a snapshot.
    Suspending(Reply),
    /// A snapshot is being taken: nothing is fetched.
    Suspended,
    /// Sources forget their connections: nothing is fetched.
    Restoring(Reply),
}

/// An invocation that only one side has told of so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Open {
    None,
    /// The runtime has: the handler is over. INVOKE may still come.
    ForInvoke(Invocation),
    /// The extension has, and has gone on. The handler may still begin.
    ForHandler(Invocation),
    /// The extension has, and has gone on. The handler does not tell, and may be running.
    Unheard(Invocation),
}

/// Who holds the environment after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Extension(Reply),
    /// The runtime of an invocation whose INVOKE has come.
    Runtime(Reply),
    /// The runtime of an invocation whose INVOKE has not come.
    RuntimeAlone(Reply),
}

impl Holder {
    fn reply(self) -> Reply {
        match self {
            Self::Extension(reply) | Self::Runtime(reply) | Self::RuntimeAlone(reply) => reply,
        }
    }
}

/// The phase, and the facts about the function that transitions depend on.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    freezes: bool,
    hold_limit: Duration,
    handlers_tell: bool,
}

impl Life {
    pub(crate) fn new(freezes: bool, hold_limit: Duration) -> Self {
        let mut life = Self { phase: Phase::Suspended, freezes, hold_limit, handlers_tell: false };
        life.phase = life.rest();
        life
    }

    /// Whether the environment may freeze between invocations.
    pub(crate) fn freezes(&self) -> bool {
        self.freezes
    }

    /// The phase in which nothing goes on.
    fn rest(&self) -> Phase {
        if self.freezes { Phase::Free(Open::None) } else { Phase::NeverFreezes }
    }

    // guarantee 9: whoever of the two is first begins the invocation; the other joins it.
    /// Changes to the next phase; returns what has to be done.
    pub(crate) fn on(&mut self, word: Word, now: Stamp) -> Vec<Step> {
        let mut steps = Vec::new();
        let phase = std::mem::replace(&mut self.phase, Phase::Suspended);
        self.phase = match word {
            Word::HandlersTell => {
                self.handlers_tell = true;
                phase
            }
            Word::HandlerBegan(invocation) => {
                self.handlers_tell = true;
                began(phase, invocation, &mut steps)
            }
            Word::Invoke(invocation, reply) => {
                self.invoked(phase, invocation, reply, now, &mut steps)
            }
            Word::ResponseSent(request_id, reply) => {
                self.responded(phase, &request_id, reply, now, &mut steps)
            }
            Word::HoldOver => hold_over(phase, now, &mut steps),
            Word::Still { more } => self.still(phase, more, &mut steps),
            Word::Suspend(reply) => suspend(phase, reply, &mut steps),
            Word::Restored(reply) => {
                abandon(phase, &mut steps);
                steps.push(Step::Reset);
                Phase::Restoring(reply)
            }
            Word::Reset => match phase {
                Phase::Restoring(reply) => {
                    steps.extend([Step::Answer(reply), Step::Reload]);
                    self.rest()
                }
                other => other,
            },
        };
        steps
    }

    fn invoked(
        &self,
        phase: Phase,
        invocation: Invocation,
        extension: Reply,
        now: Stamp,
        steps: &mut Vec<Step>,
    ) -> Phase {
        let next = match phase {
            Phase::NeverFreezes | Phase::Suspending(_) | Phase::Suspended | Phase::Restoring(_) => {
                steps.push(Step::Answer(extension));
                return phase;
            }
            // The handler was first. (A retry has the request id of the invocation before; if the
            // extension has gone on, this INVOKE is the retry's.)
            Phase::Handler { invocation: known } | Phase::HandlerAlone { invocation: known }
                if known.request_id == invocation.request_id =>
            {
                Phase::Both { invocation: known, extension }
            }
            // The handler was first, and its response has been sent: now it is the extension that holds.
            Phase::Ending { invocation: known, holder: Holder::RuntimeAlone(runtime), .. }
            | Phase::Cancelling {
                invocation: known, holder: Holder::RuntimeAlone(runtime), ..
            } if known.request_id == invocation.request_id => {
                steps.push(Step::Answer(runtime));
                self.ending(known, Holder::Extension(extension), now)
            }
            // The handler was first and is over; the environment may have been frozen since.
            Phase::Free(Open::ForInvoke(known)) if known.request_id == invocation.request_id => {
                steps.push(Step::Thaw);
                self.ending(known, Holder::Extension(extension), now)
            }
            other => {
                abandon(other, steps);
                let limit = match self.handlers_tell {
                    true => self.hold_limit.max(HANDLER_WAIT),
                    false => self.hold_limit,
                };
                let until = hold_end(&invocation, limit, now);
                Phase::Invoked { invocation, extension, until }
            }
        };
        steps.push(Step::Due);
        next
    }

    fn responded(
        &self,
        phase: Phase,
        request_id: &str,
        runtime: Reply,
        now: Stamp,
        steps: &mut Vec<Step>,
    ) -> Phase {
        let with_response = |mut invocation: Invocation| {
            invocation.tally.responded = Some(now.monotonic);
            invocation
        };
        match phase {
            Phase::Handler { invocation } if invocation.request_id == request_id => {
                // Nothing but the runtime is known to hold, and the extension may never be heard.
                steps.push(Step::CancelAll);
                let holder = Holder::RuntimeAlone(runtime);
                Phase::Cancelling { invocation: with_response(invocation), holder }
            }
            Phase::HandlerAlone { invocation } if invocation.request_id == request_id => {
                steps.push(Step::CancelPaused);
                self.ending(with_response(invocation), Holder::Runtime(runtime), now)
            }
            Phase::Both { invocation, extension } if invocation.request_id == request_id => {
                steps.extend([Step::Answer(runtime), Step::CancelPaused]);
                self.ending(with_response(invocation), Holder::Extension(extension), now)
            }
            // Of an invocation that is over.
            other => {
                steps.push(Step::Answer(runtime));
                other
            }
        }
    }

    fn ending(&self, invocation: Invocation, holder: Holder, now: Stamp) -> Phase {
        let until = hold_end(&invocation, self.hold_limit, now);
        Phase::Ending { invocation, holder, until }
    }

    fn still(&self, phase: Phase, more: bool, steps: &mut Vec<Step>) -> Phase {
        match phase {
            // Nothing is in flight. If the handler reads something later, the runtime holds for it.
            Phase::Invoked { invocation, extension, .. }
            | Phase::ForReaders { invocation, extension } => {
                steps.push(Step::Answer(extension));
                if self.handlers_tell {
                    Phase::Free(Open::ForHandler(invocation))
                } else {
                    steps.push(Step::Close(invocation.clone()));
                    Phase::Free(Open::Unheard(invocation))
                }
            }
            Phase::Both { invocation, extension } if !more => {
                steps.push(Step::Answer(extension));
                Phase::HandlerAlone { invocation }
            }
            Phase::Ending { invocation, holder, .. } | Phase::Cancelling { invocation, holder } => {
                released(invocation, holder, steps)
            }
            Phase::Suspending(reply) => {
                steps.push(Step::Answer(reply));
                Phase::Suspended
            }
            other => other,
        }
    }
}

fn began(phase: Phase, invocation: Invocation, steps: &mut Vec<Step>) -> Phase {
    match phase {
        Phase::NeverFreezes | Phase::Suspending(_) | Phase::Suspended | Phase::Restoring(_) => phase,
        Phase::Invoked { invocation: known, extension, .. }
        | Phase::ForReaders { invocation: known, extension }
        // While the extension holds there can be no other invocation: this is a retry of it.
        | Phase::Both { invocation: known, extension }
        | Phase::Ending { invocation: known, holder: Holder::Extension(extension), .. }
        | Phase::Cancelling { invocation: known, holder: Holder::Extension(extension) }
            if known.request_id == invocation.request_id =>
        {
            Phase::Both { invocation: known, extension }
        }
        // The extension was first and has gone on; the environment may have been frozen since.
        Phase::Free(Open::ForHandler(known)) if known.request_id == invocation.request_id => {
            steps.push(Step::Thaw);
            Phase::HandlerAlone { invocation: known }
        }
        other => {
            abandon(other, steps);
            Phase::Handler { invocation }
        }
    }
}

/// Ends the invocation that was going on, because another one begins: whoever still holds the environment
/// for it may go on.
fn abandon(phase: Phase, steps: &mut Vec<Step>) {
    let (invocation, reply) = match phase {
        Phase::Free(Open::None | Open::Unheard(_)) | Phase::NeverFreezes | Phase::Suspended => {
            (None, None)
        }
        Phase::Suspending(reply) | Phase::Restoring(reply) => (None, Some(reply)),
        Phase::Free(Open::ForInvoke(invocation) | Open::ForHandler(invocation))
        | Phase::Handler { invocation }
        | Phase::HandlerAlone { invocation } => (Some(invocation), None),
        Phase::Invoked { invocation, extension, .. }
        | Phase::ForReaders { invocation, extension }
        | Phase::Both { invocation, extension } => (Some(invocation), Some(extension)),
        Phase::Ending { invocation, holder, .. } | Phase::Cancelling { invocation, holder } => {
            (Some(invocation), Some(holder.reply()))
        }
    };
    steps.extend(reply.map(Step::Answer));
    steps.extend(invocation.map(Step::Close));
    steps.push(Step::Thaw);
}

fn hold_over(phase: Phase, now: Stamp, steps: &mut Vec<Step>) -> Phase {
    match phase {
        Phase::Invoked { invocation, extension, until } if until <= now.monotonic => {
            steps.push(Step::CancelUnwanted);
            Phase::ForReaders { invocation, extension }
        }
        Phase::Ending { invocation, holder, until } if until <= now.monotonic => {
            steps.push(Step::CancelAll);
            Phase::Cancelling { invocation, holder }
        }
        other => other,
    }
}

/// Lets the holder after the response go on.
fn released(invocation: Invocation, holder: Holder, steps: &mut Vec<Step>) -> Phase {
    steps.push(Step::Answer(holder.reply()));
    if let Holder::RuntimeAlone(_) = holder {
        Phase::Free(Open::ForInvoke(invocation))
    } else {
        steps.push(Step::Close(invocation));
        Phase::Free(Open::None)
    }
}

fn suspend(phase: Phase, reply: Reply, steps: &mut Vec<Step>) -> Phase {
    abandon(phase, steps);
    steps.extend([Step::CancelAll, Step::Clear]);
    Phase::Suspending(reply)
}

/// When a hold of this length ends, on the monotonic clock: not so late that the invocation would run
/// to its timeout for it.
fn hold_end(invocation: &Invocation, limit: Duration, now: Stamp) -> i64 {
    let limit = invocation.time_left(now).map_or(limit, |left| limit.min(left));
    now.later_by(limit).monotonic
}

impl Invocation {
    #[cfg(any(test, feature = "runtime", feature = "testing"))]
    pub(crate) fn new(request_id: String, deadline: i64) -> Self {
        Self { request_id, deadline, tally: Tally::default() }
    }

    /// What the invocation has left for fetches: what its deadline leaves, but for what the runtime
    /// needs to answer. `None` if the deadline is over, which says nothing.
    pub(crate) fn time_left(&self, now: Stamp) -> Option<Duration> {
        let left = clock::duration(self.deadline.saturating_sub(now.wall));
        (!left.is_zero()).then(|| left.saturating_sub(RESERVE).max(left / 2))
    }

    /// The instant of its deadline, as both clocks will show it if nothing freezes before.
    pub(crate) fn deadline(&self, now: Stamp) -> Stamp {
        now.later_by(clock::duration(self.deadline.saturating_sub(now.wall)))
    }
}

impl Phase {
    /// The invocation going on.
    pub(crate) fn invocation(&self) -> Option<&Invocation> {
        match self {
            Self::Invoked { invocation, .. }
            | Self::ForReaders { invocation, .. }
            | Self::Handler { invocation }
            | Self::HandlerAlone { invocation }
            | Self::Both { invocation, .. }
            | Self::Ending { invocation, .. }
            | Self::Cancelling { invocation, .. } => Some(invocation),
            Self::NeverFreezes
            | Self::Free(_)
            | Self::Suspending(_)
            | Self::Suspended
            | Self::Restoring(_) => None,
        }
    }

    /// The counts of the invocation that is going on, or that only one side has told of so far.
    pub(crate) fn tally(&mut self) -> Option<&mut Tally> {
        match self {
            Self::Invoked { invocation, .. }
            | Self::ForReaders { invocation, .. }
            | Self::Handler { invocation }
            | Self::HandlerAlone { invocation }
            | Self::Both { invocation, .. }
            | Self::Ending { invocation, .. }
            | Self::Cancelling { invocation, .. }
            | Self::Free(Open::ForHandler(invocation) | Open::ForInvoke(invocation)) => {
                Some(&mut invocation.tally)
            }
            Self::NeverFreezes
            | Self::Free(Open::None | Open::Unheard(_))
            | Self::Suspending(_)
            | Self::Suspended
            | Self::Restoring(_) => None,
        }
    }

    /// How long a fetch that begins now may take, if an invocation may be going on.
    pub(crate) fn time_left(&self, now: Stamp) -> Option<Duration> {
        let open = match self {
            Self::Free(
                Open::ForInvoke(invocation)
                | Open::ForHandler(invocation)
                | Open::Unheard(invocation),
            ) => Some(invocation),
            _ => None,
        };
        self.invocation().or(open)?.time_left(now)
    }

    /// Whether timers start what falls due: while somebody holds the environment, and not for the
    /// fetches in flight alone.
    pub(crate) fn timers_run(&self) -> bool {
        matches!(
            self,
            Self::NeverFreezes
                | Self::Invoked { .. }
                | Self::HandlerAlone { .. }
                | Self::Both { .. }
        )
    }

    /// Whether background fetches of memos may begin: while somebody holds the environment.
    pub(crate) fn may_fetch_ahead(&self) -> bool {
        matches!(
            self,
            Self::NeverFreezes
                | Self::Invoked { .. }
                | Self::Handler { .. }
                | Self::HandlerAlone { .. }
                | Self::Both { .. }
                | Self::Ending { .. }
        )
    }

    /// Whether anything may be begun.
    pub(crate) fn may_fetch(&self) -> bool {
        !matches!(self, Self::Suspending(_) | Self::Suspended | Self::Restoring(_))
    }

    /// Whether the environment is held for readers alone, so that it matters when they leave.
    pub(crate) fn waits_for_readers(&self) -> bool {
        matches!(self, Self::ForReaders { .. })
    }

    /// When the hold is over, on the monotonic clock.
    pub(crate) fn hold_end(&self) -> Option<i64> {
        match self {
            Self::Invoked { until, .. } | Self::Ending { until, .. } => Some(*until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
