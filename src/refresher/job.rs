//! What the tasks around the refresher do: plan, fetch, decode, derive.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{AnyMemo, FetchedKeys, PlannedKeys, Tools, blocking};
use crate::clock::Stamp;
use crate::decode::DecodeError;
use crate::engine::{Came, CameAs, Part, Unit};
use crate::entry::Version;
use crate::error::{Error, ErrorKind, SharedError};
use crate::freshness;
use crate::snapshot::{AnyValue, NewValue};
use crate::sources::{
    Answered, AnyPayload, AnySource, Ask, Calls, Decode, Derivation, FetchError, Fetched, Prepared,
    retried,
};

/// What a job came to.
pub(super) enum Ended {
    Planned { batches: Vec<Vec<Unit>>, dropped: Vec<u64> },
    Fetched(Vec<Part<Came>>),
    KeysFetched(Box<dyn FetchedKeys>),
    Derived(Result<AnyValue, Error>),
    Done,
}

/// A fetch of some requests of one source.
pub(super) struct FetchJob {
    source: Arc<dyn AnySource>,
    requests: Vec<Asking>,
    began: Stamp,
    timeout: Duration,
    is_retried: bool,
    pub(super) calls: Calls,
}

/// One request of a fetch.
struct Asking {
    /// Its number among all requests, ...
    request: usize,
    /// ... and at its source.
    local: usize,
    /// What is tried, in words.
    description: Arc<str>,
    /// The entries that are waiting for it.
    targets: Vec<Target>,
}

/// An entry, and the version that is known of it.
struct Target {
    entry: usize,
    known: Option<Version>,
    decode: Decode,
}

impl Tools {
    /// Has a source say which of these requests it fetches together, and what it takes along.
    pub(super) fn plan(
        &self,
        source: usize,
        units: &[Unit],
        along: &[Unit],
    ) -> impl Future<Output = Ended> + Send + use<> {
        let source = Arc::clone(&self.sources[source]);
        let numbers = |units: &[Unit]| -> Vec<(usize, usize)> {
            let numbers = units.iter().filter_map(|unit| match unit {
                Unit::Request(request) => Some((self.requests[*request].1, *request)),
                Unit::Ticket(_) => None,
            });
            numbers.collect()
        };
        let (due, along) = (numbers(units), numbers(along));
        async move {
            let local = |&(local, _): &(usize, usize)| local;
            let locals: Vec<usize> = due.iter().map(local).collect();
            let along_locals: Vec<usize> = along.iter().map(local).collect();
            let of_local: HashMap<usize, usize> = due.into_iter().chain(along).collect();
            let unit = |local: &usize| of_local.get(local).copied().map(Unit::Request);
            let batches = blocking(|| source.plan(&locals, &along_locals));
            let batches = batches.iter().map(|batch| batch.iter().filter_map(unit).collect());
            Ended::Planned { batches: batches.collect(), dropped: Vec::new() }
        }
    }

    pub(super) fn fetch(
        &self,
        source: usize,
        parts: Vec<Part<Option<Version>>>,
        began: Stamp,
        (timeout, is_retried): (Duration, bool),
    ) -> FetchJob {
        let target =
            |(entry, known)| Target { entry, known, decode: Arc::clone(&self.decoders[entry]) };
        let asking = |Part { request, entries }: Part<Option<Version>>| {
            let first = entries.first().map(|&(entry, _)| self.description(entry));
            Asking {
                request,
                local: self.requests[request].1,
                description: first.unwrap_or_else(|| Arc::from("")),
                targets: entries.into_iter().map(target).collect(),
            }
        };
        FetchJob {
            source: Arc::clone(&self.sources[source]),
            requests: parts.into_iter().map(asking).collect(),
            began,
            timeout,
            is_retried,
            calls: Calls::default(),
        }
    }

    /// What an entry's request is, in words.
    pub(super) fn description(&self, entry: usize) -> Arc<str> {
        Arc::clone(&self.catalog.entries[entry].source)
    }
}

/// Has a memo say which of these keys it fetches together.
pub(super) async fn plan_keys(
    memo: Arc<dyn AnyMemo>,
    units: Vec<Unit>,
    ahead: bool,
    now: Stamp,
) -> Ended {
    let tickets = units.into_iter().filter_map(|unit| match unit {
        Unit::Ticket(ticket) => Some(ticket),
        Unit::Request(_) => None,
    });
    let tickets: Vec<u64> = tickets.collect();
    let PlannedKeys { batches, dropped } = blocking(|| memo.plan(&tickets, ahead, now));
    let units = |batch: Vec<u64>| batch.into_iter().map(Unit::Ticket).collect();
    Ended::Planned { batches: batches.into_iter().map(units).collect(), dropped }
}

impl FetchJob {
    /// Fetches and decodes. A panic of the source is the task's; one of a decoder is its entry's.
    pub(super) async fn run(self) -> Ended {
        let Self { source, requests, began, timeout, is_retried, calls } = self;
        let asks = requests.iter().map(Asking::ask).collect();
        let fetch = retried(is_retried, calls.of(async { source.fetch(asks, began).await }));
        let parts = match tokio::time::timeout(timeout, fetch).await {
            Ok(answers) => {
                let finish = |(asking, answer): (Asking, _)| asking.finish(answer, began);
                blocking(|| requests.into_iter().zip(answers).map(finish).collect())
            }
            Err(_) => {
                let late = |asking: &Asking| {
                    let what = &asking.description;
                    let message = format!("{what} did not answer within {timeout:.1?}");
                    asking.failed(&Error::new(ErrorKind::Timeout, message))
                };
                requests.iter().map(late).collect()
            }
        };
        Ended::Fetched(parts)
    }

    /// What it fetches, in words.
    pub(super) fn description(&self) -> String {
        let all: Vec<&str> = self.requests.iter().map(|it| &*it.description).collect();
        all.join(", ")
    }
}

impl Asking {
    /// "Only if it changed" can be asked where all entries have the same version.
    fn ask(&self) -> Ask {
        Ask { request: self.local, held: self.asked_version() }
    }

    fn asked_version(&self) -> Option<Version> {
        let mut versions = self.targets.iter().map(|target| target.known.as_ref());
        let first = versions.next().flatten();
        first.filter(|_| versions.all(|version| version == first)).cloned()
    }

    fn finish(self, answer: Result<Fetched<AnyPayload>, FetchError>, began: Stamp) -> Part<Came> {
        let fetched = match answer {
            Ok(fetched) => fetched,
            Err(failure) => {
                return self.failed(&failure.into_error(format!("{} failed", self.description)));
            }
        };
        let lifetime = freshness::lifetime(began, fetched.valid_until);
        let asked = self.asked_version();
        let came = |target: &Target| {
            let answer = target.came(&fetched.answer, asked.as_ref());
            let answer = answer.unwrap_or_else(|(kind, cause)| {
                let message = format!("the answer of {} cannot be used", self.description);
                CameAs::Failed(Error::new(kind, message).caused_by(cause))
            });
            (target.entry, Came { answer, lifetime })
        };
        Part { request: self.request, entries: self.targets.iter().map(came).collect() }
    }

    fn failed(&self, error: &Error) -> Part<Came> {
        let failed = |target: &Target| {
            (target.entry, Came { answer: CameAs::Failed(error.clone()), lifetime: None })
        };
        Part { request: self.request, entries: self.targets.iter().map(failed).collect() }
    }
}

type Unusable = (ErrorKind, SharedError);

impl Target {
    fn came(
        &self,
        answer: &Answered<AnyPayload>,
        asked: Option<&Version>,
    ) -> Result<CameAs, Unusable> {
        let (payload, version) = match (answer, asked) {
            (Answered::Unchanged, Some(asked)) => return Ok(CameAs::Unchanged(asked.clone())),
            (Answered::Unchanged, None) => {
                let cause =
                    DecodeError::new("it says \"unchanged\", but no version was asked about");
                return Err((ErrorKind::Source, Arc::new(cause)));
            }
            (Answered::Current(_, Some(version)), _) if self.known.as_ref() == Some(version) => {
                return Ok(CameAs::Unchanged(version.clone()));
            }
            (Answered::Current(payload, version), _) => (payload, version.clone()),
        };
        // The payload of a panic may quote the value, so it is not kept.
        match catch_unwind(AssertUnwindSafe(|| (self.decode)(payload))) {
            Ok(Ok(Prepared::Ready(value))) => Ok(CameAs::Changed(NewValue { value, version })),
            Ok(Ok(Prepared::Deriving(value))) => Ok(CameAs::ToDerive(Derivation(value), version)),
            Ok(Err(error)) => Err((error.kind(), Arc::new(error))),
            Err(_) => Err((ErrorKind::Panic, Arc::new(DecodeError::new("the decoder panicked")))),
        }
    }
}

/// Derives an entry's value from the answer to what `description` says.
pub(super) async fn derive(
    derivation: Derivation,
    description: Arc<str>,
    timeout: Duration,
) -> Ended {
    let from = format!("deriving it from the answer of {description}");
    let value = match tokio::time::timeout(timeout, derivation.0).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => {
            Err(Error::new(ErrorKind::Derive, format!("{from} failed")).caused_by(cause))
        }
        Err(_) => {
            let message = format!("{from} took longer than the {timeout:.1?} left for it");
            Err(Error::new(ErrorKind::Timeout, message))
        }
    };
    Ended::Derived(value)
}
