//! What came of fetches and derivations, and what that means for entries.

use std::time::Duration;

use tokio::task::{Id, JoinError};

use super::Actor;
use super::deriving::Origin;
use super::fetches::{Flight, Running, Stage};
use crate::clock::{self, Stamp};
use crate::entry::Version;
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Bounds};
use crate::refresher::job::{self, Finished, Outcome};
use crate::snapshot::{Failure, Held, Retry, Slot};

/// The end of a flight.
#[derive(Clone, Copy)]
struct Landing {
    flight: Flight,
    stage: Stage,
    source: usize,
    now: Stamp,
}

impl Actor {
    pub(super) fn fetched(&mut self, fetched: Result<(Id, Vec<Finished>), JoinError>) {
        let now = self.clock.now();
        let task = fetched.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(running) = self.running.remove(&task) else {
            self.memo_jobs.remove(&task);
            return;
        };
        let entries = running.parts.iter().flat_map(|part| &part.targets).map(|it| it.entry);
        self.counters.called(entries, running.calls.count());
        let finished = match fetched {
            Ok((_, finished)) => finished,
            Err(error) if error.is_cancelled() => {
                running.spans.values().for_each(|span| _ = span.record("outcome", "cancelled"));
                return;
            }
            Err(_) => job::failed(&*self.sources[running.source], &running.parts, |what| {
                let message = match running.stage {
                    Stage::Fetch => format!("{what} panicked"),
                    Stage::Derive => format!("deriving it from the answer of {what} panicked"),
                };
                Error::new(ErrorKind::Panic, message)
            }),
        };
        // One draw for all that was fetched together, so that it stays together.
        let jitter = (running.stage == Stage::Fetch).then(|| self.random.f64());
        for Finished { request, outcomes } in finished {
            let span = running.spans.get(&request);
            let Some(flight) = self.landed(&running, request, &outcomes) else {
                span.map(|span| span.record("outcome", "discarded"));
                continue;
            };
            if let Some(jitter) = jitter {
                self.requests[request].jitter = jitter;
            }
            let landing = Landing { flight, stage: running.stage, source: running.source, now };
            let outcome = self.apply(request, landing, outcomes);
            if self.is_idle(request) {
                self.requests[request].completed();
                self.wanted.remove(&request);
            }
            if let Some(span) = span {
                let took = clock::duration(now.monotonic - flight.began.monotonic);
                span.record("outcome", outcome);
                span.record("duration_ms", took.as_secs_f64() * 1e3);
            }
            self.reschedule(request);
        }
        self.changed = true;
    }

    /// The flight that has come to its end, if it is the one its request or entry waits for.
    fn landed(
        &mut self,
        running: &Running,
        request: usize,
        outcomes: &[(usize, Result<Outcome, Error>)],
    ) -> Option<Flight> {
        let task = running.abort.id();
        match running.stage {
            Stage::Fetch => self.requests[request].flight.take_if(|flight| flight.task == task),
            Stage::Derive => {
                let entry = outcomes.first().map(|&(entry, _)| entry)?;
                self.deriving.get(&entry).map(|it| it.flight).filter(|flight| flight.task == task)
            }
        }
    }

    /// Whether nothing is in flight for a request.
    pub(super) fn is_idle(&self, request: usize) -> bool {
        let request = &self.requests[request];
        request.flight.is_none()
            && !request.entries.iter().any(|entry| self.deriving.contains_key(entry))
    }

    /// Puts the outcomes of one request into its entries' slots; says in a word what they are.
    fn apply(
        &mut self,
        request: usize,
        landing: Landing,
        outcomes: Vec<(usize, Result<Outcome, Error>)>,
    ) -> &'static str {
        let failed = outcomes.iter().any(|(_, outcome)| outcome.is_err());
        if failed {
            let failures = &mut self.requests[request].failures;
            *failures = failures.saturating_add(1);
        }
        let mut word = "deriving";
        for (entry, outcome) in outcomes {
            let said = outcome.as_ref().map_or("failed", Outcome::word);
            let Some(slot) = self.slot(entry, outcome, landing) else { continue };
            match slot {
                Slot::Failed(..) => self.counters.failed(entry),
                _ => self.counters.refreshed(entry),
            }
            word = said;
            self.deriving.remove(&entry);
            self.set(entry, slot);
        }
        if !self.requests[request].entries.iter().any(|entry| self.failing.contains(entry)) {
            self.requests[request].failures = 0;
        }
        if let Some(current) = &mut self.invocation
            && word != "deriving"
        {
            let tally = &mut current.tally;
            *(if failed { &mut tally.failed } else { &mut tally.refreshed }) += 1;
        }
        word
    }

    /// The slot that an outcome makes, or `None` if something is still being derived.
    fn slot(
        &mut self,
        entry: usize,
        outcome: Result<Outcome, Error>,
        landing: Landing,
    ) -> Option<Slot> {
        let Landing { flight: Flight { began, number: fetch, .. }, stage, source, .. } = landing;
        // One at a time: what is being derived goes on, whatever another fetch brings.
        if stage == Stage::Fetch
            && let Some(deriving) = self.deriving.get_mut(&entry)
        {
            if let Ok(Outcome::Revalidated(until)) = outcome {
                deriving.revalidated(began, fetch, freshness::lifetime(began, until));
            }
            return None;
        }
        let numbered = |version: Option<Version>| {
            version.unwrap_or_else(|| Version::new(format_args!("fetch {fetch}")))
        };
        let held = self.publisher.slot(entry).held();
        Some(match outcome {
            Ok(Outcome::Deriving(value, version, until)) => {
                let (version, lifetime) = (numbered(version), freshness::lifetime(began, until));
                let origin = Origin { fetched: landing.flight, source, version, lifetime };
                self.derive(entry, value, origin, landing.now);
                return None;
            }
            Ok(Outcome::Derived(value)) => Slot::Ready(self.deriving.remove(&entry)?.hold(value)),
            Ok(Outcome::Changed(value, version, until)) => {
                let (version, lifetime) = (numbered(version), freshness::lifetime(began, until));
                Slot::Ready(Held { value, began, fetch, version, lifetime })
            }
            Ok(Outcome::Revalidated(until)) => match held {
                Some(held) => {
                    let lifetime = freshness::lifetime(began, until);
                    Slot::Ready(Held { began, fetch, lifetime, ..held.clone() })
                }
                None => Slot::Missing,
            },
            Err(error) => self.failed(entry, error, landing),
        })
    }

    fn failed(&self, entry: usize, error: Error, landing: Landing) -> Slot {
        let definition = &self.publisher.catalog().entries[entry];
        let request = &self.requests[definition.request];
        tracing::warn!(entry = %definition.name, %error, "refresh failed");
        let back_off = match definition.policy.max_age {
            // Every read is to fetch, so nothing holds it back.
            Some(Duration::ZERO) => Bounds::NEVER,
            _ => {
                let pause = freshness::back_off(request.failures, request.jitter);
                Bounds::of(landing.now, pause)
            }
        };
        let (ended, fetch) = (landing.now, landing.flight.number);
        let failure = Failure { error, ended, fetch, retry: Retry::After(back_off) };
        let held = self.publisher.slot(entry).held().cloned();
        Slot::Failed(held, Box::new(failure))
    }
}
