//! Where values come from.
//!
//! A [`Source`] takes a batch of requests and gives one result for each. It knows nothing of
//! schedules, ages or readers; the refresher knows nothing of any service.
//!
//! # Adding a source
//!
//! 1. A feature in `Cargo.toml`, which turns on `aws` and the service's SDK, and a `pub mod` line
//!    below.
//! 2. A folder beside the others, or a file, in their order: module doc (operations, permissions,
//!    what the version is, an example), constructors, options, declaration (`aws::Declaration`),
//!    source ([`Source`] and `aws::AwsSource`), parsing, tests.
//! 3. A section in `docs/sources.md`, and a row in the tables of features in `lib.rs` and
//!    `README.md`.

mod any_source;
#[cfg(feature = "appconfig")]
pub mod appconfig;
#[cfg(feature = "aws")]
pub(crate) mod aws;
mod declare;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod function;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "secrets-manager")]
pub mod secrets_manager;
#[cfg(feature = "ssm")]
pub mod ssm;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::{Error, ErrorKind, SharedError};

pub(crate) use any_source::{AnyPayload, AnySource, Ask, Decode, Registry, erase_decode};
#[cfg(feature = "aws")]
pub use aws::{AwsEntry, Place, Role, freeze_safe};
pub use declare::{ByKey, Connections, Declare, Declared, Entry};
pub(crate) use declare::{Derivation, Prepared};

/// A boxed future, as [`Source::fetch`] returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service that values come from: a batch of requests in, one result per request out.
pub trait Source: Send + Sync + 'static {
    /// What one fetch asks for. Entries with equal requests share one fetch.
    ///
    /// Its `Display` is shown in errors and traces, so it must not contain a value: the operation
    /// and a name, such as `ssm:GetParameters /app/greeting`.
    type Request: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;

    /// What the service answers, before it is decoded.
    type Payload: Any + Send + Sync;

    /// Splits requests that are due together into batches that are fetched independently, each
    /// ideally one call of the service. The default is a batch for each request.
    fn plan(&self, due: Vec<Self::Request>) -> Vec<Vec<Self::Request>> {
        due.into_iter().map(|request| vec![request]).collect()
    }

    /// Whether a call for other requests may take this one along before it is due, where
    /// [`plan`](Self::plan) finds room for it without another call. That saves it a call of its own.
    ///
    /// The default is yes. Say no if it costs something all the same: a further call, or a price for
    /// each request.
    fn rides_along(&self, _request: &Self::Request) -> bool {
        true
    }

    /// Fetches one batch, giving one result for each request, in their order.
    ///
    /// The future is dropped when the fetch takes too long or the environment is about to freeze,
    /// so it must be cancel safe and leave nothing running. If it panics, all its requests have
    /// failed.
    fn fetch(&self, batch: Vec<Wanted<Self::Request>>) -> BoxFuture<'_, Vec<Fetch<Self::Payload>>>;

    /// Forgets connections and credentials, which do not outlive a SnapStart snapshot.
    fn reset(&self) {}
}

/// The result of fetching one request.
pub type Fetch<P> = Result<Fetched<P>, FetchError>;

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<R> {
    /// What to fetch.
    pub request: R,
    /// The version the cache holds, for sources that can ask only for what has changed.
    pub held: Option<Version>,
    /// When the fetch began, for sources that may not be asked too often.
    pub began: Stamp,
}

/// What a service answered.
#[derive(Clone)]
pub struct Fetched<P> {
    pub(crate) answer: Answered<P>,
    pub(crate) valid_until: Option<SystemTime>,
}

#[derive(Clone)]
pub(crate) enum Answered<P> {
    /// It still is the version that is held.
    Unchanged,
    /// The value as it is now.
    Current(P, Option<Version>),
}

impl<P> Fetched<P> {
    /// The version that is held is still the current one: the value stays, and its age starts anew.
    pub fn unchanged() -> Self {
        Self { answer: Answered::Unchanged, valid_until: None }
    }

    /// The current value, not yet decoded, and its version, if the service has versions.
    ///
    /// If that is the version held, the value stays; without a version every answer is a change.
    pub fn current(payload: P, version: Option<Version>) -> Self {
        Self { answer: Answered::Current(payload, version), valid_until: None }
    }

    /// Limits how long the answer may be served, however long the entry's max age is: for services
    /// that say when the value will change.
    #[must_use]
    pub fn valid_until(self, until: SystemTime) -> Self {
        Self { valid_until: Some(until), ..self }
    }

    pub(crate) fn map<Q>(self, convert: impl FnOnce(P) -> Q) -> Fetched<Q> {
        let answer = match self.answer {
            Answered::Unchanged => Answered::Unchanged,
            Answered::Current(payload, version) => Answered::Current(convert(payload), version),
        };
        Fetched { answer, valid_until: self.valid_until }
    }
}

/// Without the payload.
impl<P> fmt::Debug for Fetched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match &self.answer {
            Answered::Unchanged => None,
            Answered::Current(_, version) => Some(version),
        };
        f.debug_struct("Fetched")
            .field("current", &version)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

/// Why one request of a batch could not be answered.
#[derive(Clone)]
pub struct FetchError {
    pub(crate) kind: ErrorKind,
    pub(crate) cause: SharedError,
    /// It is no better a moment later.
    pub(crate) is_lasting: bool,
}

impl FetchError {
    /// A failure of this kind with its cause, which must not contain a value of the source.
    ///
    /// Init tries again what is [`Throttled`](ErrorKind::Throttled), a [`Timeout`](ErrorKind::Timeout) or
    /// a failure of the [`Source`](ErrorKind::Source), unless it is [`lasting`](Self::lasting); any other
    /// kind ends it.
    pub fn new(kind: ErrorKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, cause: Arc::from(cause.into()), is_lasting: false }
    }

    /// Says that it is no better a moment later, although its kind does not say so: the request itself is at
    /// fault. Init does not try it again.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { is_lasting: true, ..self }
    }

    /// The same failure as an error of an entry.
    pub(crate) fn into_error(self, message: impl Into<String>) -> Error {
        let error = Error::new(self.kind, message).caused_by(self.cause);
        if self.is_lasting { error.lasting() } else { error }
    }
}

/// Without the cause's own `Debug`, which may hold a whole response.
impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FetchError({:?}: {})", self.kind, self.cause)
    }
}

tokio::task_local! {
    /// The count of the fetch that runs in this task.
    static CALLS: Calls;
    /// Whether the fetch that runs in this task is tried again by the refresher, if it fails.
    static RETRIED: bool;
}

/// Runs a fetch that the refresher tries again if it fails, or one that it does not.
pub(crate) async fn retried<F: Future>(is_retried: bool, fetch: F) -> F::Output {
    RETRIED.scope(is_retried, fetch).await
}

/// Whether the present fetch should make one attempt only, because the refresher makes the others, as it
/// does at init. Two layers that both retry would multiply.
///
/// Ask it in the task of your own source's [`fetch`](Source::fetch). Outside of a fetch it is false.
pub fn is_retried() -> bool {
    RETRIED.try_with(|it| *it).unwrap_or(false)
}

/// How many requests a fetch has sent. It can still be read when the fetch was cancelled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<AtomicU64>);

impl Calls {
    /// Runs a fetch, counting its calls.
    pub(crate) async fn of<F: Future>(&self, fetch: F) -> F::Output {
        CALLS.scope(self.clone(), fetch).await
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts one request to the service, for [`Cache::status`](crate::Cache::status).
///
/// Call it in the task of your own source's [`fetch`](Source::fetch), for each attempt; the sources
/// of this crate do so themselves. Outside of a fetch it does nothing.
pub fn count_call() {
    _ = CALLS.try_with(|calls| calls.0.fetch_add(1, Ordering::Relaxed));
}
