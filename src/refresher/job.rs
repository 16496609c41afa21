//! One batch: fetch, decode, and say for each entry what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::Stamp;
use crate::decode::DecodeError;
use crate::entry::Version;
use crate::error::{Cause, Error, ErrorKind};
use crate::snapshot::AnyValue;
use crate::sources::{
    Answered, AnySource, Ask, BoxFuture, Calls, Decode, FetchError, Fetched, Prepared,
};

/// A batch of requests of one source, which one task fetches.
pub(crate) struct Job {
    pub(crate) source: Arc<dyn AnySource>,
    pub(crate) parts: Vec<Part>,
    pub(crate) began: Stamp,
    pub(crate) timeout: Duration,
    pub(crate) calls: Calls,
}

/// One request of a batch, and the entries that wait for its answer.
#[derive(Clone)]
pub(crate) struct Part {
    /// Its number among all requests.
    pub(crate) request: usize,
    /// Its number at its source.
    pub(crate) local: usize,
    pub(crate) targets: Vec<Target>,
}

/// An entry that a request is fetched for.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) entry: usize,
    pub(crate) held: Option<Version>,
    pub(crate) decode: Decode,
}

/// What became of one request.
pub(crate) struct Finished {
    pub(crate) request: usize,
    /// Each entry with its outcome.
    pub(crate) outcomes: Vec<(usize, Result<Outcome, Error>)>,
}

/// What a successful fetch means for one entry.
pub(crate) enum Outcome {
    /// The value it has, or is being derived, is the present one.
    Revalidated(Validity),
    /// This is the present one.
    Changed(AnyValue, Option<Version>, Validity),
    /// The present one is to be derived.
    Deriving(BoxFuture<'static, Result<AnyValue, Cause>>, Option<Version>, Validity),
    /// It has been.
    Derived(AnyValue),
}

impl Outcome {
    /// For traces.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Revalidated(_) => "unchanged",
            Self::Changed(..) | Self::Derived(_) => "changed",
            Self::Deriving(..) => "deriving",
        }
    }
}

/// Until when the service says that its answer is valid.
pub(crate) type Validity = Option<SystemTime>;

impl Job {
    /// Fetches and decodes. A panic of the source is the task's; one of a decoder is its entry's.
    pub(crate) async fn run(self) -> Vec<Finished> {
        let asks = self.parts.iter().map(Part::ask).collect();
        let fetch = self.calls.of(Arc::clone(&self.source).fetch(asks, self.began));
        match tokio::time::timeout(self.timeout, fetch).await {
            Ok(answers) => {
                let source = &*self.source;
                self.parts
                    .into_iter()
                    .zip(answers)
                    .map(|(part, answer)| part.finish(source, answer))
                    .collect()
            }
            Err(_) => {
                let error = |what| {
                    let message = format!("{what} did not answer within {:.1?}", self.timeout);
                    Error::new(ErrorKind::Timeout, message)
                };
                failed(&*self.source, &self.parts, error)
            }
        }
    }
}

/// The outcome of a batch whose requests all failed: `error` is given what was tried.
pub(crate) fn failed(
    source: &dyn AnySource,
    parts: &[Part],
    error: impl Fn(String) -> Error,
) -> Vec<Finished> {
    let finish = |part: &Part| {
        let error = error(source.describe(part.local));
        let outcome = |target: &Target| (target.entry, Err(error.clone()));
        Finished { request: part.request, outcomes: part.targets.iter().map(outcome).collect() }
    };
    parts.iter().map(finish).collect()
}

impl Part {
    /// "Only if it changed" can be asked where all targets hold the same version.
    fn ask(&self) -> Ask {
        let mut versions = self.targets.iter().map(|target| target.held.as_ref());
        let first = versions.next().flatten();
        let held = first.filter(|_| versions.all(|version| version == first)).cloned();
        Ask { request: self.local, held }
    }

    fn finish(
        self,
        source: &dyn AnySource,
        answer: Result<Fetched<AnyValue>, FetchError>,
    ) -> Finished {
        let describe = || source.describe(self.local);
        let outcome = |target: Target| {
            let outcome = match &answer {
                Ok(fetched) => target.outcome(fetched).map_err(|(kind, cause)| {
                    Error::new(kind, format!("the answer of {} cannot be used", describe()))
                        .caused_by(cause)
                }),
                Err(failure) => Err(Error::new(failure.kind, format!("{} failed", describe()))
                    .caused_by(Arc::clone(&failure.cause))),
            };
            (target.entry, outcome)
        };
        Finished {
            request: self.request,
            outcomes: self.targets.into_iter().map(outcome).collect(),
        }
    }
}

type Unusable = (ErrorKind, Cause);

impl Target {
    fn outcome(&self, fetched: &Fetched<AnyValue>) -> Result<Outcome, Unusable> {
        let until = fetched.valid_until;
        match &fetched.answer {
            Answered::Unchanged if self.held.is_some() => Ok(Outcome::Revalidated(until)),
            Answered::Unchanged => {
                let cause = DecodeError::new("it says \"unchanged\", but nothing is held");
                Err((ErrorKind::Source, Arc::new(cause)))
            }
            Answered::Current(_, version) if version.is_some() && *version == self.held => {
                Ok(Outcome::Revalidated(until))
            }
            Answered::Current(payload, version) => {
                let version = version.clone();
                // The payload of a panic may quote the value, so it is not kept.
                match catch_unwind(AssertUnwindSafe(|| (self.decode)(payload))) {
                    Ok(Ok(Prepared::Ready(value))) => Ok(Outcome::Changed(value, version, until)),
                    Ok(Ok(Prepared::Deriving(value))) => {
                        Ok(Outcome::Deriving(value, version, until))
                    }
                    Ok(Err(error)) => Err((error.kind(), Arc::new(error))),
                    Err(_) => {
                        let cause = DecodeError::new("the decoder panicked");
                        Err((ErrorKind::Panic, Arc::new(cause)))
                    }
                }
            }
        }
    }
}
