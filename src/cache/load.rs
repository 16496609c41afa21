//! Init: fetches what the cache is to hold, and tries again what fails for the moment, until the deadline.
//!
//! When a function's users outgrow its environments, Lambda starts hundreds of them within seconds, and
//! they all ask the same service, which throttles. What they need comes in time if they share out what the
//! service gives: so each tries again after a pause that grows, of a random length.

use std::collections::HashMap;
use std::time::Duration;

use super::Cache;
use crate::clock::{self, Stamp};
use crate::engine::Cause;
use crate::entry::{Definition, Loading};
use crate::error::{Error, ErrorKind};
use crate::refresher::Message;
use crate::snapshot::{Failure, Read, ReadKind, RefresherStatus, Slot, State, Streak};

/// With less time left than this, another attempt would not end before the deadline.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(200);

/// What init still does. If it neither waits nor tries again, it is over.
struct Next {
    /// Attempts are under way.
    waits: bool,
    /// After this pause it is time for another one.
    again: Option<Duration>,
}

/// The attempts after the first.
struct Attempts {
    /// The init deadline, on the monotonic clock.
    end: i64,
    /// The entries that have been asked for again and not answered, each with the number of the last
    /// fetch before that.
    asked: HashMap<usize, u64>,
}

impl Cache {
    /// Has every entry fetched, and waits until those that init needs are there, or have failed for good,
    /// or the deadline has come.
    pub(crate) async fn load(&self, deadline: Duration) -> Result<(), Error> {
        let end = self.clock.now().later_by(deadline).monotonic;
        let in_time = tokio::time::timeout(deadline, self.attempt_until(end)).await;
        let state = self.refresher.reader().load();
        let failed: Vec<Error> = needed(&state)
            .filter_map(|(_, slot, definition)| {
                let error = match (slot, &in_time) {
                    (Slot::Failed(_, failure), _) => told(failure, deadline),
                    (Slot::Empty, Ok(Err(stopped))) => stopped.clone(),
                    (Slot::Empty, _) => late(deadline),
                    _ => return None,
                };
                Some(error.entry_named(&definition.name))
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let all = state.catalog.entries.len();
        let message = format!("{} of {all} entries could not be loaded:", failed.len());
        Err(Error::several(ErrorKind::Init, message, failed))
    }

    async fn attempt_until(&self, end: i64) -> Result<(), Error> {
        let reader = self.refresher.reader();
        let mut changes = reader.changes();
        let _waiting = reader.waiting(None);
        let mut attempts = Attempts { end, asked: HashMap::new() };
        // Even if init needs nothing: what is fetched in the background begins now.
        self.ask_at_init(None, ReadKind::Snapshot, 0).await?;
        loop {
            let (state, now) = (reader.load(), self.clock.now());
            attempts.begin(&state, reader.fetches(), now);
            let (Next { waits, again }, asked) = (attempts.next(&state, now), &attempts.asked);
            drop(state);
            for (&entry, &after) in asked {
                self.ask_at_init(Some(entry), ReadKind::Forced, after).await?;
            }
            if !waits && again.is_none() {
                return Ok(());
            }
            if let RefresherStatus::Stopped(error) = &*changes.borrow() {
                return Err(error.clone());
            }
            _ = tokio::time::timeout(again.unwrap_or(Duration::MAX), changes.changed()).await;
        }
    }

    async fn ask_at_init(
        &self,
        entry: Option<usize>,
        kind: ReadKind,
        after: u64,
    ) -> Result<(), Error> {
        let read = Read { kind, after };
        self.refresher.tell(Message::Read { entry, read, cause: Cause::Init, waits: true }).await
    }
}

impl Attempts {
    /// Notes which entries it is time to ask for again, and which of these have been answered.
    fn begin(&mut self, state: &State, fetches: u64, now: Stamp) {
        let failing: HashMap<usize, &Failure> = failing(state).collect();
        self.asked.retain(|entry, after| {
            failing.get(entry).is_some_and(|failure| failure.fetch <= *after)
        });
        if failing.values().any(|failure| !failure.error.is_transient()) {
            return;
        }
        for (entry, failure) in failing {
            if self.at(failure).is_some_and(|at| at <= now.monotonic) {
                self.asked.entry(entry).or_insert(fetches);
            }
        }
    }

    fn next(&self, state: &State, now: Stamp) -> Next {
        let missing = needed(state).any(|(_, slot, _)| matches!(slot, Slot::Empty));
        if failing(state).any(|(_, failure)| !failure.error.is_transient()) {
            return Next { waits: missing, again: None };
        }
        let paused = failing(state).filter(|(entry, _)| !self.asked.contains_key(entry));
        let again = paused.filter_map(|(_, failure)| self.at(failure)).min();
        let again = again.map(|at| clock::duration(at.saturating_sub(now.monotonic)));
        Next { waits: missing || !self.asked.is_empty(), again }
    }

    /// When an entry is asked for again, on the monotonic clock; `None` if there is no time left for it.
    ///
    /// The pause is never longer than half of the time left: an attempt is better than none.
    fn at(&self, failure: &Failure) -> Option<i64> {
        let left = clock::duration(self.end.saturating_sub(failure.ended.monotonic));
        let pause = failure.back_off.remaining(failure.ended).min(left / 2);
        let at = failure.ended.later_by(pause).monotonic;
        (left >= SHORTEST_ATTEMPT).then_some(at)
    }
}

/// The entries that init waits for, by number.
fn needed(state: &State) -> impl Iterator<Item = (usize, &Slot, &Definition)> {
    let all = state.entries().enumerate().map(|(entry, (slot, it))| (entry, slot, it));
    all.filter(|(.., definition)| definition.loading == Loading::AtInit)
}

fn failing(state: &State) -> impl Iterator<Item = (usize, &Failure)> {
    needed(state).filter_map(|(entry, slot, _)| Some((entry, slot.failure()?)))
}

/// The error of an entry that has failed, with how often.
fn told(failure: &Failure, deadline: Duration) -> Error {
    let Streak { failures, throttled } = failure.streak;
    let error = failure.error.clone();
    match (failures, throttled) {
        (0 | 1, _) => error,
        (_, 0) => error.noting(&format!(" in {failures} attempts within {deadline:?} of init")),
        _ => error.noting(&format!(
            " in {failures} attempts within {deadline:?} of init, {throttled} of them throttled"
        )),
    }
}

fn late(deadline: Duration) -> Error {
    let message = format!("it was not fetched within the init deadline of {deadline:?}");
    Error::new(ErrorKind::Timeout, message)
}
