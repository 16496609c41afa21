//! A history as data: a cache, the world around it, and what happens to both. It can be played again,
//! shortened, and pasted into a test.
//!
//! Times are in milliseconds. What makes no sense when its turn comes (the response of an invocation
//! that has none going on) is skipped, so a part of a history is a history too.

/// A history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub setup: Setup,
    pub events: Vec<Event>,
}

/// A cache and the world around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// What the cache's own randomness begins with.
    pub seed: u64,
    pub place: Place,
    pub clocks: Clocks,
    pub hold_limit: u64,
    pub timeout: u64,
    /// How many things one call of the source can ask for.
    pub batch: usize,
    pub things: Vec<Thing>,
    pub entries: Vec<EntryOptions>,
    pub memos: Vec<MemoOptions>,
}

/// Where the cache lives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// In a function, which may be frozen between invocations.
    Function {
        extension: bool,
        /// Whether a layer tells when invocations begin and end.
        tells: bool,
    },
    /// In a process that does not freeze, with timers.
    Server,
}

/// What the environment's two clocks see of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clocks {
    /// Both see all of it.
    Right,
    /// The monotonic clock does; the wall clock is set back and forth.
    WallWanders,
    /// The wall clock does, and may be set forward; the monotonic clock stands still in freezes.
    MonotonicStops,
    /// Both miss some of each freeze, and the wall clock evidently more than the other.
    WallFallsBehind,
    /// The monotonic clock stands still in freezes, and after one of them the wall clock lags. Trace ids
    /// tell.
    WallLags,
}

/// Something that the source has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thing {
    /// Whether its values have versions.
    pub versions: bool,
    /// Whether the source says "unchanged" of the version that is known.
    pub unchanged: bool,
}

/// An entry, with its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EntryOptions {
    pub thing: usize,
    /// `None`: it never expires.
    pub max_age: Option<u64>,
    pub refresh_after: Option<u64>,
    pub stale_if_error: u64,
    pub wait_if_failing: Option<u64>,
    pub timeout: Option<u64>,
    pub loading: Loading,
    pub derived: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loading {
    AtInit,
    InBackground,
    Lazy,
}

/// A memo of all things.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoOptions {
    /// Of the source's values in batches, rather than of a function.
    pub batched: bool,
    pub max_entries: usize,
    pub max_age: u64,
    pub refresh_after: Option<u64>,
    pub stale_if_error: u64,
    pub timeout: Option<u64>,
    pub cache_errors_for: u64,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// Time passes, in a running environment.
    Pass(u64),
    /// Tasks get on, and no time passes.
    Yield(u8),
    /// A thing gets its next value.
    Change(usize),
    /// How the source answers from now on when it is asked for a thing.
    Behave(usize, Answers),
    /// How an entry's values are derived from now on.
    Derive(usize, Derives),
    /// The environment is frozen, and thaws for another invocation. If the present one is not over, this
    /// brings it on by a step.
    Next {
        freeze: Freeze,
        deadline: u64,
        trace: Trace,
        retry: bool,
    },
    /// INVOKE reaches the extension.
    Invoke,
    /// The handler begins.
    Begin,
    /// The response has been sent.
    Respond,
    /// The invocation never reaches the handler.
    Fail,
    Read(By, What),
    /// A reader that waits leaves.
    Leave(usize),
    Invalidate(Target),
    /// The environment is frozen whatever is going on in it.
    FreezeNow(Freeze),
    /// The wall clock is set.
    SetWall(i64),
    /// A SnapStart snapshot is taken, and restored after a freeze.
    Snapstart(Freeze),
    /// The refresher ends, as a bug in it would end it.
    Kill,
}

/// A freeze.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freeze {
    pub lasts: u64,
    /// How much of it, in percent, the clock that may miss some sees.
    pub seen: u8,
}

/// What an invocation's trace id says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trace {
    Absent,
    Genuine,
    /// That it is so much later than it is.
    Forged(i64),
}

/// How the source answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answers {
    /// How long a request is on its way before the source looks at the thing.
    pub before: u64,
    /// How long the answer is on its way.
    pub after: u64,
    pub with: With,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum With {
    Value,
    /// The value, and how long it is valid from when it was asked for.
    Lifetime(u64),
    Failure,
    Throttling,
    Panic,
    Nothing,
}

/// How a value is derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Derives {
    pub takes: u64,
    pub fails: bool,
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum By {
    Handler,
    /// A task of the user's, whether or not a handler runs.
    Task,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    Snapshot,
    One(Target, How),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Entry(usize),
    /// Of a memo, the key of a thing.
    Key(usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    Get,
    /// With an age of the reader's own. Of a memo's key this is `Get`.
    Within(u64),
    Refresh,
}

impl History {
    /// The history as the code of a test.
    pub fn as_test(&self, name: &str) -> String {
        let code = format!("{:#?}", self).replace(": [", ": vec![");
        format!("#[test]\nfn {name}() {{\n    holds({code});\n}}\n")
    }
}
