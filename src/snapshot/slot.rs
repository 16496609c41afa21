//! What is known of one entry, and whether a given read may have it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Stamp};
use crate::entry::{Definition, Version};
use crate::error::Error;
use crate::freshness::{self, Bounds, LONGEST_BACK_OFF, Policy};

/// How far an environment's wall clock may be off in good health.
const OFF: Duration = Duration::from_secs(5);
/// A witness makes a value look older by no more than this.
const LONGEST_UNSEEN: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The entries of a cache, as declared: what all its states have in common.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) entries: Vec<Definition>,
    /// How long a fetch may take. What was asked for longer ago than this, and longer than its max
    /// age, was held up by a freeze, even if the read that asked for it is still waiting.
    pub(crate) patience: Duration,
}

/// A value of any type.
pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// A value, and when it was asked for.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) value: AnyValue,
    /// When the request that fetched or revalidated it began.
    pub(crate) began: Stamp,
    /// The number of that fetch: a fetch with a higher number began later.
    pub(crate) fetch: u64,
    pub(crate) version: Version,
    /// How old it may be, if its source has said when it will change.
    pub(crate) lifetime: Option<Duration>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("began", &self.began)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A fetch that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) ended: Stamp,
    pub(crate) fetch: u64,
    pub(crate) retry: Retry,
}

/// What comes after a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Retry {
    /// Another attempt, once this does not hold any more; until then reads get the error at once.
    After(Bounds),
    /// Another attempt, which has begun.
    Running,
}

/// The present state of one entry.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// A lazy entry that nothing has read yet.
    Unread,
    /// Nothing is held, and something should be: not fetched yet, invalidated, or dropped.
    Missing,
    /// The last fetch succeeded.
    Ready(Held),
    /// The last fetch failed; what the one before brought is kept.
    Failed(Option<Held>, Box<Failure>),
}

/// A read, as far as the judgement of a slot needs to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) kind: ReadKind,
    /// The number of the last fetch that began before the read did.
    pub(crate) after: u64,
}

/// What a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadKind {
    /// All entries; none waits for one that is known to be failing.
    Snapshot,
    /// One entry within its own bound.
    Entry,
    /// One entry within the reader's bound, and its own.
    Within(Duration),
    /// What was asked for after the read began, and nothing older.
    Forced,
}

/// What a read gets.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// The value.
    Serve(&'a Held),
    /// The value, past its max age, because refreshes fail.
    ServeStale(&'a Held),
    /// The error of the last fetch.
    Refuse(&'a Failure),
    /// Neither: it is lazy, and a snapshot does not load it.
    Unread,
    /// Neither, yet: a fetch must end first.
    Wait,
}

impl Slot {
    pub(crate) fn held(&self) -> Option<&Held> {
        match self {
            Self::Ready(held) | Self::Failed(Some(held), _) => Some(held),
            Self::Unread | Self::Missing | Self::Failed(None, _) => None,
        }
    }

    /// Why the last fetch failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(_, failure) => Some(failure),
            _ => None,
        }
    }

    /// The value, if the last fetch succeeded.
    pub(crate) fn ready(&self) -> Option<AnyValue> {
        match self {
            Self::Ready(held) => Some(Arc::clone(&held.value)),
            _ => None,
        }
    }

    /// What a read gets of this slot at `now`.
    pub(crate) fn verdict(
        &self,
        definition: &Definition,
        read: Read,
        now: Stamp,
        patience: Duration,
    ) -> Verdict<'_> {
        let policy = read.policy(&definition.policy);
        if let Some(held) = self.held() {
            let fresh = read.kind != ReadKind::Forced && held.fresh(&policy).admits(now);
            if fresh || held.answers(read, &policy, patience, now) {
                return Verdict::Serve(held);
            }
        }
        match self {
            Self::Failed(held, failure) if failure.answers(read, &policy, now) => match held {
                Some(held) if read.kind != ReadKind::Forced && held.stale(&policy).admits(now) => {
                    Verdict::ServeStale(held)
                }
                _ => Verdict::Refuse(failure),
            },
            Self::Unread if read.kind == ReadKind::Snapshot => Verdict::Unread,
            _ => Verdict::Wait,
        }
    }

    /// The bound within which a snapshot may be taken without looking at this slot.
    pub(crate) fn bounds(&self, policy: &Policy) -> Bounds {
        match self {
            Self::Unread => Bounds::ALWAYS,
            Self::Missing => Bounds::NEVER,
            Self::Ready(held) => held.fresh(policy),
            Self::Failed(_, failure) => match failure.retry {
                // At the end of the back-off a read has to say that it is time for the next attempt.
                Retry::After(back_off) => back_off.and(failure.news(policy)),
                Retry::Running => failure.news(policy),
            },
        }
    }

    /// The slot as it has to be seen if it is `witness` now, and not what the clocks say: its value
    /// looks older by the time they did not see.
    pub(crate) fn aged_by_witness(
        &self,
        policy: &Policy,
        witness: i64,
        aged: Option<Stamp>,
        now: Stamp,
    ) -> Option<Self> {
        let held = self.held()?;
        let unseen = held.unseen(policy, witness, aged, now)?;
        let held = Held { began: held.began.earlier_by(unseen), ..held.clone() };
        Some(match self {
            Self::Failed(_, failure) => Self::Failed(Some(held), failure.clone()),
            _ => Self::Ready(held),
        })
    }

    /// `error`, as the entry's own at this age.
    pub(crate) fn error(&self, definition: &Definition, error: &Error, now: Stamp) -> Error {
        let error = error.clone().entry_named(&definition.name);
        match self.held() {
            Some(held) => {
                error.at_age(held.age(&definition.policy, now), definition.policy.max_age)
            }
            None => error,
        }
    }
}

impl Read {
    /// The policy of an entry, as this read would have it.
    fn policy(self, policy: &Policy) -> Policy {
        match self.kind {
            ReadKind::Within(age) => Policy {
                max_age: Some(policy.max_age.map_or(age, |max_age| max_age.min(age))),
                ..*policy
            },
            _ => *policy,
        }
    }
}

impl Held {
    /// The bound within which it is fresh.
    pub(crate) fn fresh(&self, policy: &Policy) -> Bounds {
        self.within(policy).fresh(self.began)
    }

    /// The bound within which it may be served while refreshes fail.
    pub(crate) fn stale(&self, policy: &Policy) -> Bounds {
        self.within(policy).stale(self.began)
    }

    /// The bound within which it is not yet due for refresh. A lifetime brings the refresh forward
    /// to its end and no further: what comes before may be the same value.
    pub(crate) fn due(&self, policy: &Policy, jitter: f64) -> Bounds {
        let due = policy.due(self.began, jitter);
        match self.lifetime {
            Some(_) if policy.max_age != Some(Duration::ZERO) => due.and(self.fresh(policy)),
            _ => due,
        }
    }

    fn within(&self, policy: &Policy) -> Policy {
        Policy { max_age: self.max_age(policy), ..*policy }
    }

    /// How old it may be.
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

    /// How much time has passed that the clocks did not see, if a witness may say so of this value.
    ///
    /// Trace ids can be forged, so all that one may do is to make a value look as old as it says,
    /// and no more than once per max age (`aged` is when that was last done). Less than a clock may
    /// well be off by is no reason to use that up, unless it makes the value expire.
    fn unseen(
        &self,
        policy: &Policy,
        witness: i64,
        aged: Option<Stamp>,
        now: Stamp,
    ) -> Option<Duration> {
        let max_age = self.max_age(policy)?;
        let told = clock::duration(witness.saturating_sub(self.began.wall));
        let seen = freshness::age(self.began, now, max_age).unwrap_or_default();
        let unseen = told.saturating_sub(seen).min(LONGEST_UNSEEN);
        let again = aged.is_some_and(|aged| policy.fresh(aged).admits(now));
        let matters = !unseen.is_zero() && (told >= max_age || unseen > OFF);
        (matters && !again).then_some(unseen)
    }

    /// Whether this was asked for after the read began, and came without a freeze in between. This
    /// is what ends a read of an entry whose max age is zero, or shorter than a fetch takes.
    fn answers(&self, read: Read, policy: &Policy, patience: Duration, now: Stamp) -> bool {
        let longest = policy.max_age.unwrap_or(Duration::MAX).max(patience);
        self.fetch > read.after && Bounds::of(self.began, longest).admits(now)
    }
}

impl Failure {
    /// Whether a read takes this for an answer instead of waiting for another attempt.
    fn answers(&self, read: Read, policy: &Policy, now: Stamp) -> bool {
        self.fetch > read.after
            || match read.kind {
                ReadKind::Forced => false,
                ReadKind::Snapshot => self.news(policy).admits(now),
                ReadKind::Entry | ReadKind::Within(_) => self.backs_off(now),
            }
    }

    /// The bound within which another attempt is not yet due.
    pub(crate) fn retry_due(&self) -> Bounds {
        match self.retry {
            Retry::After(back_off) => back_off,
            Retry::Running => Bounds::ALWAYS,
        }
    }

    /// Whether it is too early for another attempt.
    pub(crate) fn backs_off(&self, now: Stamp) -> bool {
        match self.retry {
            Retry::After(back_off) => back_off.admits(now),
            Retry::Running => false,
        }
    }

    /// While this holds the failure says something about the present, and no snapshot waits for the
    /// next attempt. In steady traffic one comes before this is over; after a longer freeze an
    /// expired value deserves another attempt before it is given up.
    fn news(&self, policy: &Policy) -> Bounds {
        match policy.max_age {
            Some(Duration::ZERO) => Bounds::NEVER,
            max_age => Bounds::of(self.ended, LONGEST_BACK_OFF.max(max_age.unwrap_or_default())),
        }
    }
}
