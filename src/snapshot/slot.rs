//! What is stored of one entry or one key of a memo, a value of any type, and what follows from the answer to
//! a fetch.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Stamp};
use crate::entry::{Definition, Loading, Version};
use crate::error::{Attempts, Error, ErrorKind};
use crate::freshness::{self, Bounds, Policy, Rhythm};

/// Clock error tolerated before a trace id overrules the clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// The most that a trace id ages a value by.
const LONGEST_MISSED_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A value, and when it was asked for.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) value: AnyValue,
    pub(crate) version: Version,
    /// When the request that fetched or revalidated it began.
    pub(crate) began: Stamp,
    /// The number of that fetch: a fetch with a higher number began later.
    pub(crate) fetch: u64,
    /// How old it may be, if its source has said when it will change.
    pub(crate) lifetime: Option<Duration>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("began", &self.began)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A fetch that failed, and the attempts that follow it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) ended: Stamp,
    pub(crate) fetch: u64,
    /// While this holds, no further attempt is made in the background.
    pub(crate) back_off: Bounds,
    pub(crate) attempt: Attempt,
}

/// The attempt that follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// None is under way.
    None,
    /// The fetch of this number.
    Running(u64),
    /// It has taken longer than reads wait for it.
    Slow(u64),
}

/// The present state of one entry.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// A lazy entry that nothing has read yet.
    NotRequested,
    /// Nothing is stored, and something should be: not fetched yet, invalidated, or dropped.
    Empty,
    /// The last fetch succeeded.
    Ready(Stored),
    /// The last fetch failed; the value of the one before is kept.
    Failed(Option<Stored>, Box<Failure>),
}

/// The fetch that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) began: Stamp,
}

/// The answer of a fetch, for one slot.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The version that was asked about is still the present one.
    Unchanged(Version),
    /// This is the present value. If its source has no versions, its version is the fetch's number.
    Changed(NewValue),
    Failed(Box<Failure>),
}

/// A value that has just been decoded, or derived.
pub(crate) struct NewValue {
    pub(crate) value: AnyValue,
    pub(crate) version: Option<Version>,
}

impl fmt::Debug for NewValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewValue").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Asked {
    /// The version of a value whose source has no versions.
    pub(crate) fn numbered(self, version: Option<Version>) -> Version {
        version.unwrap_or_else(|| Version::new(format_args!("fetch {}", self.number)))
    }
}

impl Slot {
    /// What follows from the answer to a fetch; `None` if it says nothing about what is stored.
    ///
    /// This is the only place where a value gets a stamp, and it is that of the fetch's start.
    // guarantee 1: a fetch is as old as its question. guarantee 8: a failure leaves the stamp alone,
    // and a confirmation renews no version but the one it was asked about.
    pub(crate) fn after(
        &self,
        Asked { number: fetch, began }: Asked,
        answer: Answer,
        lifetime: Option<Duration>,
    ) -> Option<Self> {
        match answer {
            Answer::Changed(NewValue { value, version }) => {
                let version = Asked { number: fetch, began }.numbered(version);
                Some(Self::Ready(Stored { value, version, began, fetch, lifetime }))
            }
            Answer::Unchanged(version) => {
                let stored = self.stored().filter(|stored| stored.version == version)?;
                Some(Self::Ready(Stored { began, fetch, lifetime, ..stored.clone() }))
            }
            Answer::Failed(failure) => Some(Self::Failed(self.stored().cloned(), failure)),
        }
    }

    pub(crate) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Ready(stored) | Self::Failed(Some(stored), _) => Some(stored),
            Self::NotRequested | Self::Empty | Self::Failed(None, _) => None,
        }
    }

    /// What is stored, and why the last fetch failed.
    pub(crate) fn into_parts(self) -> (Option<Stored>, Option<Box<Failure>>) {
        match self {
            Self::NotRequested | Self::Empty => (None, None),
            Self::Ready(stored) => (Some(stored), None),
            Self::Failed(stored, failure) => (stored, Some(failure)),
        }
    }

    /// Why the last fetch failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(_, failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether init waits for it: it is not there, and may be soon.
    pub(crate) fn is_loading(&self, definition: &Definition) -> bool {
        definition.loading == Loading::AtInit
            && match self {
                Self::Empty => true,
                Self::Failed(None, failure) => failure.error.may_pass(),
                Self::NotRequested | Self::Ready(_) | Self::Failed(Some(_), _) => false,
            }
    }

    /// The value, if the last fetch succeeded.
    pub(crate) fn ready(&self) -> Option<AnyValue> {
        match self {
            Self::Ready(stored) => Some(stored.value.clone()),
            _ => None,
        }
    }

    /// The same slot with a change to its failure, if it has one.
    pub(crate) fn with_failure(&self, change: impl FnOnce(&mut Failure)) -> Option<Self> {
        let Self::Failed(stored, failure) = self else { return None };
        let mut failure = failure.clone();
        change(&mut failure);
        Some(Self::Failed(stored.clone(), failure))
    }

    /// Ages the value to a trace id's time; `None` if nothing changes. `aged` is when that was last
    /// done, `seen` what the clocks showed when the trace id came.
    // guarantee 11: a trace id can only make values older.
    pub(crate) fn aged_to(
        &self,
        policy: &Policy,
        trace_time: i64,
        aged: Option<Stamp>,
        seen: Stamp,
    ) -> Option<Self> {
        let stored = self.stored()?;
        let missed = stored.missed_time(policy, trace_time, aged, seen)?;
        let stored = Stored { began: stored.began.earlier_by(missed), ..stored.clone() };
        Some(match self {
            Self::Failed(_, failure) => Self::Failed(Some(stored), failure.clone()),
            _ => Self::Ready(stored),
        })
    }

    /// `error`, as the entry's own at this age.
    pub(crate) fn error(&self, definition: &Definition, error: &Error, now: Stamp) -> Error {
        let error = error.clone().entry_named(&definition.name);
        match self.stored() {
            Some(stored) => {
                error.at_age(stored.age(&definition.policy, now), definition.policy.max_age)
            }
            None => error,
        }
    }
}

impl Stored {
    /// The bound within which it is fresh.
    pub(crate) fn fresh(&self, policy: &Policy) -> Bounds {
        self.within(policy).fresh(self.began)
    }

    /// The bound within which it may be served while refreshes fail.
    pub(crate) fn stale(&self, policy: &Policy) -> Bounds {
        self.within(policy).stale(self.began)
    }

    /// The bound within which it is not yet due for a refresh in the background.
    pub(crate) fn due(&self, policy: &Policy, rhythm: Rhythm) -> Bounds {
        policy.due(self.began, self.lifetime, rhythm)
    }

    /// The end of its max age, for the sake of which it may be refreshed ahead. If its source has said
    /// that it will change before, an earlier answer may be the same value.
    pub(crate) fn end(&self, max_age: Duration) -> Bounds {
        match self.lifetime {
            Some(lifetime) if lifetime < max_age => Bounds::ALWAYS,
            _ => Bounds::of(self.began, max_age),
        }
    }

    fn within(&self, policy: &Policy) -> Policy {
        Policy { max_age: self.max_age(policy), ..*policy }
    }

    /// How old it may be. The lifetime that its source gave is a bound wherever the max age is one.
    // guarantee 13
    pub(crate) fn max_age(&self, policy: &Policy) -> Option<Duration> {
        match (policy.max_age, self.lifetime) {
            (Some(max_age), Some(lifetime)) => Some(max_age.min(lifetime)),
            (max_age, lifetime) => max_age.or(lifetime),
        }
    }

    /// How old it is at `now`, if the clocks can tell.
    pub(crate) fn age(&self, policy: &Policy, now: Stamp) -> Option<Duration> {
        freshness::age(self.began, now, policy.max_age.unwrap_or_default())
    }

    /// How much time has passed that the clocks did not see, if a trace id may say so of this value.
    ///
    /// Trace ids can be forged, so all that one may do is to make a value look as old as it says, and
    /// no more than once per max age. Less than a clock may well be off by is no reason to use that up,
    /// unless it makes the value expire.
    fn missed_time(
        &self,
        policy: &Policy,
        trace_time: i64,
        aged: Option<Stamp>,
        seen: Stamp,
    ) -> Option<Duration> {
        let max_age = self.max_age(policy)?;
        let told = clock::duration(trace_time.saturating_sub(self.began.wall));
        let counted = freshness::age(self.began, seen, max_age).unwrap_or_default();
        let missed = told.saturating_sub(counted).min(LONGEST_MISSED_TIME);
        let again = aged.is_some_and(|aged| policy.fresh(aged).admits(seen));
        let matters = !missed.is_zero() && (told >= max_age || missed > CLOCK_TOLERANCE);
        (matters && !again).then_some(missed)
    }
}

impl Failure {
    /// Whether it is too early for another attempt in the background.
    pub(crate) fn backs_off(&self, now: Stamp) -> bool {
        self.back_off.admits(now)
    }

    /// The error at the end of init. An attempt that is still under way counts as made.
    pub(crate) fn at_the_end_of_init(&self) -> Error {
        let Attempts { made, throttled } = self.error.attempts();
        let running = u32::from(self.attempt != Attempt::None);
        self.error.clone().after(Attempts { made: made + running, throttled })
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.error.kind() == ErrorKind::Throttled
    }
}

type Shared = Arc<dyn Any + Send + Sync>;

/// A value of any type. Its last reference can be given up without running its `Drop`.
#[derive(Clone)]
pub(crate) struct AnyValue {
    value: Shared,
    release: fn(Shared) -> Option<Released>,
}

/// A value without other references, to be dropped where a slow or panicking `Drop` does no harm.
pub(crate) type Released = Box<dyn Any + Send>;

impl AnyValue {
    pub(crate) fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self { value: Arc::new(value), release: release::<T> }
    }

    #[inline(always)]
    pub(crate) fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    pub(crate) fn downcast<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.value).downcast().ok()
    }

    /// Tells values apart.
    pub(crate) fn address(&self) -> *const () {
        Arc::as_ptr(&self.value).cast()
    }

    /// Gives up this reference. The last one gives the value back instead of dropping it.
    pub(crate) fn release(self) -> Option<Released> {
        (self.release)(self.value)
    }
}

fn release<T: Send + Sync + 'static>(value: Shared) -> Option<Released> {
    // Nothing runs when such a value is dropped.
    if !std::mem::needs_drop::<T>() {
        return None;
    }
    let value = value.downcast::<T>().ok().and_then(Arc::into_inner)?;
    Some(Box::new(value))
}

/// Never the value.
impl fmt::Debug for AnyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyValue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reference_gives_the_value_back() {
        let value = AnyValue::new(vec![7]);
        let other = value.clone();
        assert!(value.release().is_none());
        assert_eq!(other.downcast_ref(), Some(&vec![7]));
        let released = other.release().and_then(|it| it.downcast::<Vec<i32>>().ok());
        assert_eq!(released.as_deref(), Some(&vec![7]));
    }

    const SECOND: Duration = Duration::from_secs(1);
    const BEGAN: Stamp = Stamp { monotonic: 0, wall: 1_000_000_000_000_000_000 };

    fn stored() -> Stored {
        Stored {
            value: AnyValue::new(()),
            version: Version::new("1"),
            began: BEGAN,
            fetch: 1,
            lifetime: None,
        }
    }

    #[test]
    fn a_trace_id_counts_if_it_expires_the_value_or_shows_more_than_clocks_are_off_by() {
        let policy = Policy { max_age: Some(60 * SECOND), ..Policy::default() };
        let missed = |clocks: Duration, trace: Duration| {
            let trace_time = BEGAN.later_by(trace).wall;
            stored().missed_time(&policy, trace_time, None, BEGAN.later_by(clocks))
        };
        let nanosecond = Duration::from_nanos(1);
        assert_eq!(missed(10 * SECOND, 15 * SECOND), None);
        assert_eq!(missed(10 * SECOND, 15 * SECOND + nanosecond), Some(5 * SECOND + nanosecond));
        assert_eq!(missed(59 * SECOND, 60 * SECOND - nanosecond), None);
        assert_eq!(missed(59 * SECOND, 60 * SECOND), Some(SECOND));
        assert_eq!(missed(59 * SECOND, 59 * SECOND), None);
    }

    #[test]
    fn a_trace_id_leaves_a_failure_what_it_is() {
        let policy = Policy::default();
        let failure = Failure {
            error: Error::new(ErrorKind::Source, "it failed"),
            ended: BEGAN,
            fetch: 2,
            back_off: Bounds::NEVER,
            attempt: Attempt::None,
        };
        let later = BEGAN.later_by(100 * SECOND).wall;
        let aged = |slot: Slot| slot.aged_to(&policy, later, None, BEGAN).expect("it is older");
        let failed = aged(Slot::Failed(Some(stored()), Box::new(failure)));
        assert_eq!(failed.failure().map(|it| it.fetch), Some(2));
        assert!(aged(Slot::Ready(stored())).failure().is_none());
    }
}
