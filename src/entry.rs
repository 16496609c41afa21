//! [`Key`], [`Version`], and what every entry declares whatever its source.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::freshness::Policy;

/// Finds one entry of one cache, typed by what the entry holds.
///
/// A key is a small `Copy` value, so handlers capture it freely. It is made by
/// [`Builder::add`](crate::Builder::add) or found by name with [`Cache::key`](crate::Cache::key).
/// Used with another cache it gives an error, never another entry's value.
pub struct Key<T> {
    pub(crate) cache: u64,
    pub(crate) entry: usize,
    holds: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    pub(crate) fn new(cache: u64, entry: usize) -> Self {
        Self { cache, entry, holds: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("cache", &self.cache)
            .field("entry", &self.entry)
            .field("holds", &std::any::type_name::<T>())
            .finish()
    }
}

/// Which of a thing's successive values one is, as its service counts them: a parameter's number, an
/// object's ETag.
///
/// Two versions are equal if both number and time of change are: services restart their numbers when a
/// thing is deleted and created again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    text: Arc<str>,
    changed: Option<SystemTime>,
}

impl Version {
    /// A version that the service calls by this number or tag.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: Arc::from(text.to_string()), changed: None }
    }

    /// The same version, told apart from others of its number by when it was made.
    pub fn changed_at(self, changed: SystemTime) -> Self {
        Self { changed: Some(changed), ..self }
    }

    /// What the service calls it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The options that entries of every source have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) policy: Policy,
    pub(crate) loading: Loading,
    pub(crate) timeout: Option<Duration>,
}

/// When an entry is first fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Loading {
    /// At init, which fails if this does.
    #[default]
    AtInit,
    /// From init on, which does not wait for it.
    InBackground,
    /// At its first read.
    Lazy,
}

/// One entry of a cache, as declared and checked.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) loading: Loading,
    /// How long a fetch may take; `None`: what holds for the cache.
    pub(crate) timeout: Option<Duration>,
    /// The request whose answer it holds; entries with equal requests share one.
    pub(crate) request: usize,
    /// What that request is, in words.
    pub(crate) source: Arc<str>,
    pub(crate) holds: TypeId,
}

impl Options {
    /// Checks the options.
    pub(crate) fn check(
        self,
        default_name: Option<String>,
        (request, source): (usize, String),
        holds: TypeId,
    ) -> Result<Definition, Error> {
        let Some(name) = self.name.or(default_name) else {
            return Err(Error::new(
                ErrorKind::Declaration,
                "an entry without a name: a group or a path has no name of its own, so give it one \
                 with `.name(..)`",
            ));
        };
        let name: Arc<str> = Arc::from(name);
        let invalid =
            |message: &str| Err(Error::new(ErrorKind::Declaration, message).entry_named(&name));
        if name.is_empty() {
            return invalid("an entry's name must not be empty");
        }
        match (self.policy.refresh_after, self.policy.max_age) {
            (Some(soft), Some(hard)) if soft > hard => {
                return invalid(
                    "`refresh_after` is longer than `max_age`, so it would never be used",
                );
            }
            (Some(Duration::ZERO), hard) if hard != Some(Duration::ZERO) => {
                return invalid(
                    "`refresh_after` of zero would refresh without end; for a fetch per read use \
                     `max_age` of zero",
                );
            }
            _ => {}
        }
        if self.policy.refresh_after.is_some() && self.policy.ahead.is_some() {
            return invalid(
                "`refresh_after` and `ahead` both say when it is refreshed; one of them must go",
            );
        }
        if self.timeout == Some(Duration::ZERO) {
            return invalid("a `timeout` of zero gives no fetch time to answer");
        }
        let Self { policy, loading, timeout, .. } = self;
        Ok(Definition { name, policy, loading, timeout, request, source: Arc::from(source), holds })
    }
}
