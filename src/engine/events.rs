//! What goes into the engine and what comes out: events and effects.

use std::sync::Arc;
use std::time::Duration;

use super::units::{Origin, Unit};
use super::{Cause, Invocation, JobId, Reply};
use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::Error;
use crate::freshness::{Policy, Rhythm};
use crate::snapshot::{AnyValue, Asked, NewValue, Read, Slot, State, Turn, WaitCount};
use crate::sources::Derivation;

/// What can happen.
pub(crate) enum Event {
    /// A read of one entry or, with `None`, of all cannot be served from the published state. `waits` is
    /// false if the reader goes on, and something only has to be tried again.
    Read {
        entry: Option<usize>,
        read: Read,
        cause: Cause,
        waits: bool,
    },
    /// Init has begun, and ends at most this much later.
    Load {
        deadline: Duration,
    },
    /// What the entry holds is wrong.
    Invalidate {
        entry: usize,
        reply: Reply,
    },
    /// A reader waits for a key of a memo, or has found it due.
    Key(KeyAsked),
    /// A memo is gone.
    MemoGone {
        memo: u64,
    },
    /// A reader waits no longer.
    ReaderLeft,
    /// Handlers will say when they begin and when their responses have been sent.
    HandlersTell,
    HandlerBegan {
        invocation: Invocation,
        trace_time: Option<i64>,
        reply: Reply,
    },
    ResponseSent {
        request_id: String,
        reply: Reply,
    },
    Invoke {
        invocation: Invocation,
        trace_time: Option<i64>,
        reply: Reply,
    },
    /// A SnapStart snapshot is about to be taken.
    Suspend {
        reply: Reply,
    },
    /// The environment has been restored from it.
    Restored {
        reply: Reply,
    },
    /// Which units their origin fetches together, and which tickets need no fetch any more.
    Planned {
        job: JobId,
        batches: Vec<Vec<Unit>>,
        dropped: Vec<u64>,
    },
    /// A fetch of requests has ended.
    Fetched {
        job: JobId,
        calls: u64,
        parts: Vec<Part<Came>>,
    },
    /// A fetch of keys has ended: for each ticket whether it brought a value. The shell has the values.
    KeysFetched {
        job: JobId,
        tickets: Vec<(u64, bool)>,
    },
    /// A derivation has ended.
    Derived {
        job: JobId,
        value: Result<AnyValue, Error>,
    },
    /// A job without a result has ended.
    Done {
        job: JobId,
    },
    /// A job was aborted.
    Aborted {
        job: JobId,
        calls: u64,
    },
    /// A job panicked.
    Panicked {
        job: JobId,
        calls: u64,
        error: Error,
    },
    /// Time has passed.
    Time,
}

/// A key of a memo that somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct KeyAsked {
    pub(crate) memo: u64,
    pub(crate) options: MemoOptions,
    pub(crate) ticket: u64,
    pub(crate) waiting: Arc<WaitCount>,
    /// The reader does not wait: the key is due.
    pub(crate) ahead: bool,
    /// Its last fetch failed.
    pub(crate) failing: bool,
}

/// What the engine has to know of a memo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoOptions {
    /// How long a fetch may take.
    pub(crate) timeout: Duration,
    pub(crate) policy: Policy,
}

/// Something for each entry of a request.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) request: usize,
    pub(crate) entries: Vec<(usize, T)>,
}

/// An answer for one entry.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) answer: CameAs,
    /// How old it may be, if its source has said when it will change.
    pub(crate) lifetime: Option<Duration>,
}

/// What an answer is.
#[derive(Debug)]
pub(crate) enum CameAs {
    /// The version that was asked about is still the present one.
    Unchanged(Version),
    Changed(NewValue),
    /// The present value is to be derived.
    ToDerive(Derivation, Option<Version>),
    Failed(Error),
}

/// A fetch to be run.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) job: JobId,
    pub(crate) origin: Origin,
    pub(crate) asked: Asked,
    pub(crate) timeout: Duration,
    /// If it fails in a way that may pass, it is tried again without anybody asking.
    pub(crate) is_retried: bool,
    pub(crate) what: FetchOf,
}

/// What a fetch asks for.
#[derive(Debug)]
pub(crate) enum FetchOf {
    /// Requests, and for each entry the version that is known.
    Requests(Vec<Part<Option<Version>>>),
    Tickets(Vec<u64>),
}

/// What the shell has to do, in this order.
pub(crate) enum Effect {
    /// End a job. Its end is an event like that of any other.
    Abort(JobId),
    /// Have an origin say which units go together.
    Plan {
        job: JobId,
        origin: Origin,
        units: Vec<Unit>,
        /// What the calls may take along, if that costs nothing more.
        along: Vec<Unit>,
        ahead: bool,
    },
    Fetch(Fetch),
    /// Derive an entry's value.
    Derive {
        job: JobId,
        entry: usize,
        derivation: Derivation,
        timeout: Duration,
    },
    /// Store what a fetch of keys brought for these tickets.
    Land {
        job: JobId,
        fetched: JobId,
        tickets: Vec<u64>,
        landing: Landing,
    },
    /// Drop what a fetch of keys brought.
    Discard {
        fetched: JobId,
    },
    /// The fetch of these tickets was cancelled for lack of time: their keys pause, and tickets that nobody
    /// waits for end.
    Pause {
        memo: u64,
        tickets: Vec<u64>,
        now: Stamp,
    },
    /// The fetch of a ticket has taken longer than reads of a failing key wait.
    Slow {
        memo: u64,
        ticket: u64,
    },
    /// A trace id has told the time to every memo.
    Age {
        job: JobId,
        trace_time: i64,
        now: Stamp,
    },
    /// Drop what every memo holds.
    ClearMemos {
        job: JobId,
    },
    /// Have every source and memo forget its connections.
    Reset {
        job: JobId,
    },
    /// The present turn.
    Turn(Turn),
    /// Show readers this state, and retire the one before.
    Publish {
        state: State,
        retired: Vec<Retired>,
        job: Option<JobId>,
    },
    /// Drop these where a user's `Drop` can do no harm.
    Retire(Vec<Retired>),
    /// Have readers look again.
    Wake,
    /// Answer the message that this names.
    Answer(Reply),
}

/// A fetch of keys, as far as a memo's store needs to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landing {
    pub(crate) asked: Asked,
    pub(crate) now: Stamp,
    /// How its keys are refreshed from now on.
    pub(crate) rhythm: Rhythm,
}

/// Something that is not needed any more. It is not dropped here, since `Drop` may be a user's code.
pub(crate) enum Retired {
    /// An entry's former slot.
    Slot(Slot),
    /// Answers that nothing waits for.
    Came(Vec<(usize, Came)>),
    Derived(Result<AnyValue, Error>),
}
