//! Judges what was read, by the machine's own clock and a record of what the sources held. It knows
//! docs/guarantee.md and nothing of the cache.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// *P* in docs/guarantee.md: the longest age of an answer that was requested after its read began.
const LONGEST_WAIT: Duration = Duration::from_secs(6);
/// A read looks at the clocks before it is seen to end. On a busy machine this can be as much before.
const SCHEDULING: Duration = Duration::from_secs(1);
/// A read may join a fetch, which has 5 s, and wait for another. This leaves room for a busy machine.
const EVERY_READ_ENDS: Duration = Duration::from_secs(30);

/// The machine's wall clock, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the judge does not ask the cache's clock")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// The time then.
pub(crate) fn after(time: Duration) -> u64 {
    now() + u64::try_from(time.as_nanos()).unwrap()
}

/// A read, as the function that made it reports it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Read {
    /// The kind of read and the entry.
    pub(crate) what: String,
    /// What was read.
    pub(crate) thing: String,
    /// In milliseconds, with the time of `stale_if_error` if the value is marked stale. Zero if only an
    /// answer to a later request will do.
    pub(crate) max_age: u64,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// The version that the value has.
    pub(crate) got: Result<u64, Failure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The service asks for fewer requests, so its entries may be left alone for a while.
    pub(crate) throttled: bool,
    pub(crate) text: String,
}

/// When a process was stopped, and when it went on.
pub(crate) type Freeze = (u64, u64);

/// What is known of a thing at its source.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// When each version was in place, at the latest; the first is version 1.
    pub(crate) written: Vec<u64>,
    /// The version that is written or being written.
    pub(crate) newest: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) reads: usize,
    pub(crate) errors: usize,
    pub(crate) broken: Vec<String>,
    slowest: Duration,
    /// For each kind of read: how many values, and how long the most outdated of them had been
    /// replaced when the read began, and when it ended.
    kinds: BTreeMap<String, (usize, Duration, Duration)>,
}

impl Oracle {
    /// Judges reads by an environment that had these freezes.
    pub(crate) fn judge(
        &mut self,
        reads: &[Read],
        freezes: &[Freeze],
        histories: &BTreeMap<String, History>,
    ) {
        for read in reads {
            self.reads += 1;
            let frozen = frozen(read, freezes);
            let took = between(read.began, read.ended).saturating_sub(frozen);
            self.slowest = self.slowest.max(took);
            if took > EVERY_READ_ENDS {
                self.broken.push(format!("took {took:?}, frozen for {frozen:?}: {read:?}"));
            }
            match read.got {
                Ok(version) => self.judge_value(read, version, &histories[&read.thing], frozen),
                Err(_) => self.errors += 1,
            }
        }
    }

    fn judge_value(&mut self, read: &Read, version: u64, history: &History, frozen: Duration) {
        if !(1..=history.newest).contains(&version) {
            self.broken.push(format!("not one of the {} versions: {read:?}", history.newest));
            return;
        }
        // The successor's entry: the version was replaced by then.
        let replaced = history.written.get(usize::try_from(version).unwrap());
        let since = |at| replaced.map_or(Duration::ZERO, |&replaced| between(replaced, at));
        let (at_begin, at_end) = (since(read.began), since(read.ended));
        let (values, begun, ended) = self.kinds.entry(read.what.clone()).or_default();
        *values += 1;
        *begun = at_begin.max(*begun);
        *ended = at_end.max(*ended);
        let max_age = Duration::from_millis(read.max_age);
        if let Some(reason) = fault(at_begin, at_end.saturating_sub(frozen + SCHEDULING), max_age) {
            let known = format!("outdated for {at_begin:?} at its begin, {at_end:?} at its end");
            self.broken.push(format!("{reason}: {known}, frozen for {frozen:?}: {read:?}"));
        }
    }

    pub(crate) fn report(&self) -> String {
        use std::fmt::Write as _;
        let Self { reads, errors, slowest, .. } = self;
        let mut text =
            format!("{reads} reads judged, {errors} of them errors; slowest {slowest:.1?}");
        for (what, (values, begun, ended)) in &self.kinds {
            let outdated = format!("outdated for {begun:.2?} at the begin, {ended:.2?} at the end");
            write!(text, "\n  {what:<55} {values:>7} values; {outdated}").unwrap();
        }
        text
    }
}

/// What the guarantee has against a value that had been replaced for so long when its read began, and
/// for at least `at_check` when the read last looked at the clocks.
fn fault(at_begin: Duration, at_check: Duration, max_age: Duration) -> Option<&'static str> {
    let requested_by_the_read = at_begin.is_zero();
    if !requested_by_the_read && at_begin >= max_age {
        return Some("older than its max age when its read began");
    }
    let bound = if requested_by_the_read { max_age.max(LONGEST_WAIT) } else { max_age };
    (at_check >= bound).then_some("older than its max age when its read ended")
}

/// For how much of a read its process was stopped.
fn frozen(read: &Read, freezes: &[Freeze]) -> Duration {
    let within = |&(began, ended): &Freeze| between(began.max(read.began), ended.min(read.ended));
    freezes.iter().map(within).sum()
}

/// Zero if `later` is earlier.
pub(crate) fn between(earlier: u64, later: u64) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}
