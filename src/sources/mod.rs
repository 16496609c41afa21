//! Where values come from.
//!
//! A [`Source`] takes a batch of requests and gives one result per request. It knows nothing of
//! schedules, ages or readers; the refresher knows nothing of any service.
//!
//! # Adding a source
//!
//! 1. One file here, in the order of `ssm.rs`: module doc (service, permission, what the version
//!    is, example), constructors, options, [`Declare`], [`Source`], parsing, tests.
//! 2. One `pub mod` line below, behind one feature of the source's name.
//! 3. A type of its own for what one entry asks for ([`Declare`]), which finds or makes the source
//!    through [`Connections`], and the canonical request ([`Source::Request`]), equal for entries
//!    that can share a fetch.

#[cfg(feature = "appconfig")]
pub mod appconfig;
#[cfg(feature = "aws")]
pub(crate) mod aws;
mod by_key;
mod calls;
mod connections;
mod declare;
#[cfg(any(feature = "appconfig", feature = "dynamodb"))]
mod digest;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod erased;
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
use std::time::SystemTime;

use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::ErrorKind;

#[cfg(feature = "aws")]
pub use aws::{AwsEntry, Place, Role, freeze_safe};
pub use by_key::ByKey;
pub(crate) use calls::Calls;
pub use calls::count_call;
pub use connections::Connections;
pub use declare::{Declare, Declared, Entry};
pub(crate) use declare::{Derivation, Prepared};
pub(crate) use erased::{AnyPayload, AnySource, Ask, Decode, Registry, erase_decode};

/// A boxed future, as [`Source::fetch`] returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service that values come from: a batch of requests in, one result per request out.
pub trait Source: Send + Sync + 'static {
    /// What one fetch asks for. Entries with equal requests share one fetch. Its `Display` is shown
    /// in errors and traces: operation and name, such as `ssm:GetParameters /app/greeting`.
    type Request: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;

    /// What the service answers, before it is decoded.
    type Payload: Any + Send + Sync;

    /// Splits requests that are due together into batches that are fetched independently, each
    /// ideally one call of the service. The default is a batch for each request.
    fn plan(&self, due: Vec<Self::Request>) -> Vec<Vec<Self::Request>> {
        due.into_iter().map(|request| vec![request]).collect()
    }

    /// Fetches one batch, giving one result for each request, in their order.
    ///
    /// The future is dropped when the environment is about to freeze or the fetch takes too long,
    /// so it must be cancel safe: nothing may be left running when it is gone. A panic in it is the
    /// failure of all its requests.
    fn fetch(&self, batch: Vec<Wanted<Self::Request>>) -> BoxFuture<'_, Vec<Fetch<Self::Payload>>>;

    /// Forgets connections, credentials and the like: they do not outlive a SnapStart snapshot.
    fn reset(&self) {}
}

/// The result of fetching one request.
pub type Fetch<P> = Result<Fetched<P>, FetchError>;

/// One request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<R> {
    /// What to fetch.
    pub request: R,
    /// The version the cache holds, if a source can ask "only if it is another".
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
    /// This is what it is now.
    Current(P, Option<Version>),
}

impl<P> Fetched<P> {
    /// It still is the version that is held: the value stays, its age starts anew.
    pub fn unchanged() -> Self {
        Self { answer: Answered::Unchanged, valid_until: None }
    }

    /// This is what it is now: the answer, not yet decoded, and its version, if the service has such
    /// a thing. If the version is the one held, the value stays; without one every answer is a
    /// change.
    pub fn current(payload: P, version: Option<Version>) -> Self {
        Self { answer: Answered::Current(payload, version), valid_until: None }
    }

    /// The answer may be served until then at the longest, however long the entry's max age is: the
    /// service has said when it will change.
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
    pub(crate) cause: Arc<dyn StdError + Send + Sync>,
}

impl FetchError {
    /// A failure of this kind with its cause, which must not contain a value of the source.
    pub fn new(kind: ErrorKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, cause: Arc::from(cause.into()) }
    }
}

impl FetchError {
    /// The same failure, of an operation that is not the request's own.
    pub(crate) fn of(self, operation: impl Into<String>) -> Self {
        let cause = OfOperation { operation: operation.into(), cause: self.cause };
        Self { kind: self.kind, cause: Arc::new(cause) }
    }
}

/// Which operation something is the failure of.
#[derive(Debug)]
struct OfOperation {
    operation: String,
    cause: Arc<dyn StdError + Send + Sync>,
}

impl fmt::Display for OfOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.operation)
    }
}

impl StdError for OfOperation {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// Without the cause's own `Debug`, which may hold a whole response.
impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FetchError({:?}: {})", self.kind, self.cause)
    }
}
