//! Whether a given read may have what a slot holds.

use std::time::Duration;

use super::slot::{Attempt, Failure, Slot, Stored};
use crate::clock::Stamp;
use crate::freshness::{Bounds, Policy};

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
    /// All entries at one instant.
    Snapshot,
    /// One entry within its own bound.
    Entry,
    /// One entry within the reader's bound, and its own.
    Within(Duration),
    /// What was asked for after the read began, and nothing older.
    Forced,
}

/// When a read looks at a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) read: Read,
    pub(crate) now: Stamp,
    pub(crate) turn: Turn,
    /// What began longer ago than this was held up by a freeze, even if the read that asked for it is
    /// still waiting.
    pub(crate) frozen_after: Duration,
}

/// The invocation that is known to go on, by the number of the last fetch before it; `None` if none
/// is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn(pub(crate) Option<u64>);

/// What a read gets.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// The value.
    Serve(&'a Stored),
    /// The value, past its max age, because refreshes fail.
    ServeStale(&'a Stored),
    /// The error of the last fetch.
    Refuse(&'a Failure),
    /// Nothing: the entry is lazy, and no read of it alone has begun.
    NotRequested,
    /// Nothing yet: a fetch must end first.
    Wait,
}

impl Slot {
    /// What a read gets of this slot.
    pub(crate) fn verdict(&self, policy: &Policy, look: Look) -> Verdict<'_> {
        let Look { read, now, .. } = look;
        let policy = read.policy(policy);
        if let Some(stored) = self.stored() {
            let fresh = read.kind != ReadKind::Forced && stored.fresh(&policy).admits(now);
            if fresh || stored.answers(&policy, look) {
                return Verdict::Serve(stored);
            }
        }
        match self {
            Self::Failed(stored, failure) if failure.answers(&policy, look) => match stored {
                Some(stored)
                    if read.kind != ReadKind::Forced && stored.stale(&policy).admits(now) =>
                {
                    Verdict::ServeStale(stored)
                }
                _ => Verdict::Refuse(failure),
            },
            Self::NotRequested => Verdict::NotRequested,
            _ => Verdict::Wait,
        }
    }

    /// The bound within which a snapshot may be taken in this turn without looking at this slot.
    pub(crate) fn bounds(&self, policy: &Policy, turn: Turn) -> Bounds {
        match self {
            Self::NotRequested => Bounds::ALWAYS,
            Self::Empty => Bounds::NEVER,
            Self::Ready(stored) => stored.fresh(policy),
            Self::Failed(stored, failure) => {
                let fresh = stored.as_ref().map_or(Bounds::NEVER, |stored| stored.fresh(policy));
                let settled = failure.is_settled(policy, turn);
                match failure.attempt {
                    _ if policy.max_age == Some(Duration::ZERO) => Bounds::NEVER,
                    Attempt::Slow(_) => Bounds::ALWAYS,
                    Attempt::Running(_) if settled => Bounds::ALWAYS,
                    Attempt::Running(_) => fresh,
                    // At the end of the back-off a read has to say that it is time for an attempt.
                    Attempt::None if settled || failure.answers_while_backing_off(turn) => {
                        failure.back_off
                    }
                    Attempt::None => failure.back_off.and(fresh),
                }
            }
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

impl Stored {
    /// Whether this was asked for after the read began, and came without a freeze in between. This
    /// is what ends a read of an entry whose max age is zero, or shorter than a fetch takes.
    fn answers(&self, policy: &Policy, Look { read, now, frozen_after, .. }: Look) -> bool {
        let longest = self.max_age(policy).unwrap_or(Duration::MAX).max(frozen_after);
        self.fetch > read.after && Bounds::of(self.began, longest).admits(now)
    }
}

impl Failure {
    /// Whether a read gets this error instead of waiting for another attempt.
    ///
    /// A read waits for one attempt of its own invocation, until the attempt succeeds, fails or turns
    /// slow. So an outage costs an invocation one short wait, and the first invocation after it is well.
    // guarantee 8
    fn answers(&self, policy: &Policy, Look { read, now, turn, .. }: Look) -> bool {
        self.fetch > read.after
            || read.kind != ReadKind::Forced
                && (matches!(self.attempt, Attempt::Slow(_))
                    || self.is_settled(policy, turn)
                    || self.backs_off(now)
                        && self.attempt == Attempt::None
                        && policy.max_age != Some(Duration::ZERO)
                        && self.answers_while_backing_off(turn))
    }

    /// Whether an attempt of this turn has failed.
    fn is_settled(&self, policy: &Policy, turn: Turn) -> bool {
        policy.max_age != Some(Duration::ZERO) && turn.0.is_some_and(|before| self.fetch > before)
    }

    /// Whether reads get the error without an attempt while the entry backs off: always for throttling,
    /// and where no invocation is known, since a new invocation would allow an attempt.
    fn answers_while_backing_off(&self, turn: Turn) -> bool {
        turn.0.is_none() || self.is_throttled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Version;
    use crate::error::{Error, ErrorKind};
    use crate::snapshot::AnyValue;

    const SECOND: Duration = Duration::from_secs(1);
    const BEGAN: Stamp = Stamp { monotonic: 0, wall: 1_000_000_000_000_000_000 };
    /// No invocation is known, or one that began after the fetch that failed, or before it.
    const NO_TURN: Turn = Turn(None);
    const LATER_TURN: Turn = Turn(Some(2));
    const ITS_TURN: Turn = Turn(Some(1));

    /// The second fetch failed, at `failed`; the first had brought a value.
    fn failing(kind: ErrorKind, attempt: Attempt) -> (Slot, Bounds, Bounds) {
        let stored = Stored {
            value: AnyValue::new(()),
            version: Version::new("1"),
            began: BEGAN,
            fetch: 1,
            lifetime: None,
        };
        let failed = BEGAN.later_by(58 * SECOND);
        let back_off = Bounds::of(failed, 5 * SECOND);
        let error = Error::new(kind, "it failed");
        let failure = Failure { error, ended: failed, fetch: 2, back_off, attempt };
        let fresh = stored.fresh(&Policy::default());
        (Slot::Failed(Some(stored), Box::new(failure)), back_off, fresh)
    }

    #[test]
    fn a_failing_entry_slows_snapshots_down_only_while_they_would_wait_for_it() {
        let policy = Policy::default();
        let source = ErrorKind::Source;
        let of = |kind, attempt, turn| failing(kind, attempt).0.bounds(&policy, turn);
        let (_, back_off, fresh) = failing(source, Attempt::None);
        // Reads wait for an attempt of this turn once the value has expired ...
        assert_eq!(of(source, Attempt::None, LATER_TURN), back_off.and(fresh));
        assert_eq!(of(source, Attempt::Running(3), LATER_TURN), fresh);
        // ... and not if that has failed, has become slow, or is not to be made.
        assert_eq!(of(source, Attempt::None, ITS_TURN), back_off);
        assert_eq!(of(source, Attempt::None, NO_TURN), back_off);
        assert_eq!(of(ErrorKind::Throttled, Attempt::None, LATER_TURN), back_off);
        assert_eq!(of(source, Attempt::Running(3), ITS_TURN), Bounds::ALWAYS);
        assert_eq!(of(source, Attempt::Slow(3), LATER_TURN), Bounds::ALWAYS);
        // What every read fetches is never vouched for.
        let every_read = Policy { max_age: Some(Duration::ZERO), ..policy };
        for attempt in [Attempt::None, Attempt::Running(3), Attempt::Slow(3)] {
            assert_eq!(failing(source, attempt).0.bounds(&every_read, ITS_TURN), Bounds::NEVER);
        }
    }
}
