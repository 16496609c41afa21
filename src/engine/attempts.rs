//! The attempts after a failure: reads wait for one attempt of their own invocation, but not for long.

use super::units::{Fetching, Origin, Readers, Unit};
use super::{Attempted, Effect, Engine};
use crate::clock::Stamp;
use crate::freshness::{Bounds, RETRY_PAUSE};
use crate::snapshot::{Asked, Attempt};

impl Engine {
    /// Marks a fetch as the attempt of the failing entries or key that it is for.
    pub(super) fn begin_attempts(&mut self, unit: Unit, asked: Asked, now: Stamp) {
        let Some(fetching) = self.units.get(unit) else { return };
        match (unit, &fetching.readers) {
            (Unit::Ticket(ticket), Readers::Key { failing: true, .. }) => {
                let Origin::Memo(memo) = fetching.origin else { return };
                let Some(memo) = self.memos.get(&memo) else { return };
                let wait = memo.options.policy.wait_if_failing;
                let wait = wait.unwrap_or(memo.latency.wait_if_failing());
                let at = now.later_by(wait).monotonic;
                self.slow.insert((at, Attempted::Ticket(ticket), asked.number));
            }
            (_, Readers::Key { .. }) => {}
            (_, Readers::Entries(entries)) => {
                let usual = fetching.latency.wait_if_failing();
                for entry in entries.clone() {
                    let attempt = Attempt::Running(asked.number);
                    if self.set_attempt(entry, attempt) {
                        let wait = self.board.definition(entry).policy.wait_if_failing;
                        let at = now.later_by(wait.unwrap_or(usual)).monotonic;
                        self.slow.insert((at, Attempted::Entry(entry), asked.number));
                    }
                }
            }
        }
    }

    /// Ends the attempts of a unit's entries.
    pub(super) fn end_attempts(&mut self, unit: Unit) {
        let entries = self.units.get(unit).map(|it| it.entries().to_vec());
        for entry in entries.unwrap_or_default() {
            self.set_attempt(entry, Attempt::None);
        }
    }

    /// Changes the attempt of an entry, if it fails; returns whether it does.
    pub(super) fn set_attempt(&mut self, entry: usize, attempt: Attempt) -> bool {
        let Some(failure) = self.board.slot(entry).failure() else { return false };
        if failure.attempt != attempt
            && let Some(slot) = self.board.slot(entry).with_failure(|it| it.attempt = attempt)
        {
            self.board.set(entry, slot);
        }
        true
    }

    /// Marks the attempts that have taken longer than reads wait.
    pub(super) fn attempts_slow_down(&mut self, now: Stamp) {
        while let Some(&(at, attempted, number)) = self.slow.first()
            && at <= now.monotonic
        {
            self.slow.pop_first();
            match attempted {
                Attempted::Entry(entry) => {
                    let attempt = self.board.slot(entry).failure().map(|it| it.attempt);
                    if attempt == Some(Attempt::Running(number)) {
                        self.set_attempt(entry, Attempt::Slow(number));
                    }
                }
                Attempted::Ticket(ticket) => {
                    let fetching = self.units.get(Unit::Ticket(ticket));
                    let in_flight = fetching.and_then(Fetching::in_flight);
                    if in_flight.is_some_and(|asked| asked.number == number)
                        && let Some(Origin::Memo(memo)) = fetching.map(|it| it.origin)
                    {
                        self.effects.push(Effect::Slow { memo, ticket });
                    }
                }
            }
        }
    }

    /// Lets a new invocation retry what failed in an earlier one, unless that was a moment ago or the
    /// service throttles.
    pub(super) fn allow_retries(&mut self, now: Stamp) {
        for entry in self.board.failing() {
            let Some(failure) = self.board.slot(entry).failure() else { continue };
            let just_now = Bounds::of(failure.ended, RETRY_PAUSE).admits(now);
            if failure.backs_off(now) && !just_now && !failure.is_throttled() {
                let slot = self.board.slot(entry).with_failure(|it| it.back_off = Bounds::NEVER);
                if let Some(slot) = slot {
                    self.board.set(entry, slot);
                }
                self.reschedule(self.board.definition(entry).request);
            }
        }
    }
}
