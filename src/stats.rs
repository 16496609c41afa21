//! What became of the refreshes of entries and memos: counted where it happens, shown by
//! [`Cache::status`](crate::Cache::status) and [`Memo::stats`](crate::Memo::stats).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::entry::Version;
use crate::error::Error;
use crate::freshness::Ahead;

/// Why something was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Cause {
    /// For the first time, at init.
    Init,
    /// By the traffic so far, it would have expired when the next invocation came.
    Ahead,
    /// It was in the second half of its life, and too little was known of the traffic.
    Probe,
    /// An invocation found it due: at its soft bound, at the end of a pause after a failure, or because
    /// it had been invalidated.
    Invoke,
    /// An invocation found it expired.
    Expired,
    /// A call for something else had room for it.
    Along,
    /// A timer found it due.
    Timer,
    /// A read had to wait for it.
    Read,
    /// [`Cache::refresh`](crate::Cache::refresh) asked for it.
    Forced,
    /// Once more: a freeze or the end of an invocation had cut off the fetch before, or the value had
    /// been invalidated meanwhile.
    Restart,
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::Init,
        Self::Ahead,
        Self::Probe,
        Self::Invoke,
        Self::Expired,
        Self::Along,
        Self::Timer,
        Self::Read,
        Self::Forced,
        Self::Restart,
    ];

    /// As it is called in traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Ahead => "ahead",
            Self::Probe => "probe",
            Self::Invoke => "invoke",
            Self::Expired => "expired",
            Self::Along => "along",
            Self::Timer => "timer",
            Self::Read => "read",
            Self::Forced => "forced",
            Self::Restart => "restart",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The counts of a cache, which the refresher writes and anybody may read.
#[derive(Debug, Clone)]
pub(crate) struct Counters(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    api_calls: AtomicU64,
    entries: Box<[EntryCounts]>,
}

#[derive(Debug, Default)]
struct EntryCounts {
    refreshes: AtomicU64,
    failures: AtomicU64,
    api_calls: AtomicU64,
    /// Why it was last fetched: one more than its place among [`Cause::ALL`]; zero before that.
    cause: AtomicU8,
}

impl Counters {
    pub(crate) fn new(entries: usize) -> Self {
        let entries = (0..entries).map(|_| EntryCounts::default()).collect();
        Self(Arc::new(Counts { api_calls: AtomicU64::new(0), entries }))
    }

    /// A fetch of an entry begins.
    pub(crate) fn begun(&self, entry: usize, cause: Cause) {
        self.0.entries[entry].cause.store(cause as u8 + 1, Ordering::Relaxed);
    }

    pub(crate) fn refreshed(&self, entry: usize) {
        add(&self.0.entries[entry].refreshes, 1);
    }

    pub(crate) fn failed(&self, entry: usize) {
        add(&self.0.entries[entry].failures, 1);
    }

    /// A fetch for these entries took so many calls.
    pub(crate) fn called(&self, entries: impl Iterator<Item = usize>, calls: u64) {
        add(&self.0.api_calls, calls);
        entries.for_each(|entry| add(&self.0.entries[entry].api_calls, calls));
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// How a cache and each of its entries are doing, at one instant: [`Cache::status`](crate::Cache::status).
///
/// Its `Display` has a line for each entry. There is no value in it, whatever it is printed to.
#[derive(Debug, Clone)]
pub struct Status {
    entries: Vec<EntryStatus>,
    api_calls: u64,
}

/// How one entry is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EntryStatus {
    /// The entry's name.
    pub name: Arc<str>,
    /// What it asks its source for: operation and name, such as `ssm:GetParameters /app/greeting`.
    pub source: Arc<str>,
    /// How old its value is; `None` if it has none, or the clocks cannot tell.
    pub age: Option<Duration>,
    /// The hard bound; `None` if it never expires.
    pub max_age: Option<Duration>,
    /// The soft bound: at this age it is refreshed whatever the traffic; `None` if it never is.
    pub refresh_after: Option<Duration>,
    /// Whether the traffic may have it refreshed before that. With a soft bound of its own it does not.
    pub ahead: Ahead,
    /// Why it was last fetched; `None` if it never was.
    pub cause: Option<Cause>,
    /// How much longer than its max age it may be served while refreshes fail.
    pub stale_if_error: Duration,
    /// Which version it holds.
    pub version: Option<Version>,
    /// Why its last refresh failed, if it did.
    pub last_error: Option<Error>,
    /// How many refreshes succeeded, the first fetch included.
    pub refreshes: u64,
    /// How many failed.
    pub failures: u64,
    /// How many requests were sent in the fetches it took part in, retries included. Entries that
    /// share a call each count it.
    pub api_calls: u64,
}

impl Status {
    /// `entries` without their counts, in order.
    pub(crate) fn new(mut entries: Vec<EntryStatus>, counters: &Counters) -> Self {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &*counters.0;
        for (entry, counts) in entries.iter_mut().zip(&counts.entries) {
            entry.refreshes = load(&counts.refreshes);
            entry.failures = load(&counts.failures);
            entry.api_calls = load(&counts.api_calls);
            let cause = usize::from(counts.cause.load(Ordering::Relaxed));
            entry.cause = cause.checked_sub(1).map(|place| Cause::ALL[place]);
        }
        Self { entries, api_calls: load(&counts.api_calls) }
    }

    /// The entries, in the order they were added.
    pub fn entries(&self) -> &[EntryStatus] {
        &self.entries
    }

    /// One entry by name.
    pub fn entry(&self, name: &str) -> Option<&EntryStatus> {
        self.entries.iter().find(|entry| &*entry.name == name)
    }

    /// How many requests the cache has sent, retries included. A call that several entries share
    /// counts once; those of memos are in [`Memo::stats`](crate::Memo::stats).
    pub fn api_calls(&self) -> u64 {
        self.api_calls
    }

    /// Emits this as one [`tracing`] event of level INFO, called `status`.
    pub fn trace(&self) {
        let entries = self.entries.len();
        let failing = self.entries.iter().filter(|entry| entry.last_error.is_some()).count();
        tracing::info!(entries, failing, api_calls = self.api_calls, detail = %self, "status");
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, entry) in self.entries.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for EntryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.name, self.source)?;
        match (self.age, &self.version) {
            (Some(age), _) => write!(f, "age {age:.1?}")?,
            (None, Some(_)) => f.write_str("of an age that cannot be told")?,
            (None, None) => f.write_str("not loaded")?,
        }
        match self.max_age {
            Some(max_age) => write!(f, ", max age {max_age:?}")?,
            None => f.write_str(", never expires")?,
        }
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        let Self { refreshes, failures, api_calls, .. } = self;
        write!(f, ", {refreshes} refreshes, {failures} failures, {api_calls} API calls")?;
        if let Some(cause) = self.cause {
            write!(f, ", last cause {cause}")?;
        }
        match &self.last_error {
            Some(error) => write!(f, ", last error: {error}"),
            None => Ok(()),
        }
    }
}

/// How a memo is doing: [`Memo::stats`](crate::Memo::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoStats {
    /// How many keys are kept.
    pub len: usize,
    /// Reads that were answered without waiting.
    pub hits: u64,
    /// Reads that had to wait for a fetch.
    pub misses: u64,
    /// Fetches of a key that succeeded.
    pub refreshes: u64,
    /// Fetches of a key that failed.
    pub failures: u64,
    /// Requests that were sent, or calls of the memo's function; retries included.
    pub api_calls: u64,
}

impl MemoStats {
    /// The share of reads that were answered without waiting, in 0..=1; zero before the first read.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            reads => self.hits as f64 / reads as f64,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct MemoCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    refreshes: AtomicU64,
    failures: AtomicU64,
    api_calls: AtomicU64,
}

impl MemoCounts {
    pub(crate) fn hit(&self) {
        add(&self.hits, 1);
    }

    pub(crate) fn missed(&self) {
        add(&self.misses, 1);
    }

    pub(crate) fn refreshed(&self) {
        add(&self.refreshes, 1);
    }

    pub(crate) fn failed(&self) {
        add(&self.failures, 1);
    }

    pub(crate) fn called(&self, calls: u64) {
        add(&self.api_calls, calls);
    }

    pub(crate) fn stats(&self, len: usize) -> MemoStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        MemoStats {
            len,
            hits: load(&self.hits),
            misses: load(&self.misses),
            refreshes: load(&self.refreshes),
            failures: load(&self.failures),
            api_calls: load(&self.api_calls),
        }
    }
}
