//! [`Snapshot`] and [`Value`], and the cell through which the refresher hands them to readers.
//!
//! A [`State`] is immutable: all slots and, precomputed, the bound within which all of them may be
//! served. The refresher's [`Publisher`] replaces it; a [`Reader`] loads it with one
//! `ArcSwap::load_full` and compares the bound with the clocks. Only the far side of that bound
//! costs more.

mod cell;
mod slot;
mod state;
mod verdict;

use std::any::type_name;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stamp;
use crate::entry::{Definition, Key, Version};
use crate::error::{Error, ErrorKind};
use crate::freshness::Policy;

pub(crate) use cell::{Publisher, Reader, RefresherStatus, WaitCount, Waiters, Waiting};
pub(crate) use slot::{Answer, AnyValue, Asked, Attempt, Failure, NewValue, Slot, Stored};
pub(crate) use state::{Catalog, Slots, State};
pub(crate) use verdict::{Look, Read, ReadKind, Turn, Verdict};

/// Every entry of a cache at one instant: each fresh, or holding its own error.
///
/// Taken with [`Cache::snapshot`](crate::Cache::snapshot), or handed to the handler by
/// [`Cache::run`](crate::Cache::run). Reading from it is a memory read; it never changes, however
/// long it is kept, and the values stay alive while it is. A long handler that wants the present
/// value takes another, or asks [`Cache::get`](crate::Cache::get).
#[derive(Clone)]
pub struct Snapshot {
    state: Arc<State>,
    taken: Stamp,
    /// The cache whose bound held when this was taken, so that every slot without a failure is
    /// fresh; [`NONE`] if each has to be judged.
    vouched: u64,
    judged: Option<Box<Judged>>,
}

/// The number of no cache.
const NONE: u64 = 0;

/// How to judge each slot when the joint bound failed.
#[derive(Clone)]
struct Judged {
    read: Read,
    /// The error of slots that would have to wait.
    stopped: Option<Error>,
}

impl Snapshot {
    /// A snapshot whose bound holds at `taken`.
    #[inline]
    pub(crate) fn vouched(state: Arc<State>, taken: Stamp) -> Self {
        Self { taken, vouched: state.cache, judged: None, state }
    }

    /// A snapshot in which each slot is judged when it is read; what would have to wait is an error
    /// instead: `stopped`, if the refresher has ended.
    pub(crate) fn judged(
        state: Arc<State>,
        taken: Stamp,
        read: Read,
        stopped: Option<Error>,
    ) -> Self {
        let judged = Some(Box::new(Judged { read, stopped }));
        Self { state, taken, vouched: NONE, judged }
    }

    /// The value of an entry.
    ///
    /// # Errors
    ///
    /// The entry's own failure, if it could not be kept fresh; [`ErrorKind::NotLoaded`] for a lazy
    /// entry that nothing has read with [`Cache::get`](crate::Cache::get) yet; [`ErrorKind::Key`]
    /// for a key of another cache.
    #[inline]
    pub fn get<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<&T, Error> {
        if key.cache == self.vouched
            && let Some(value) = self.state.ready(key.entry)
            && let Some(value) = value.downcast_ref::<T>()
        {
            return Ok(value);
        }
        let (stored, _) = self.judge(key)?;
        stored.value.downcast_ref().ok_or_else(|| self.wrong_type::<T>(key.entry))
    }

    /// How old an entry's value was when this snapshot was taken.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn age<T>(&self, key: Key<T>) -> Result<Duration, Error> {
        let (stored, _) = self.judge(key)?;
        let (_, definition) = self.state.find(key)?;
        Ok(stored.age(&definition.policy, self.taken).unwrap_or(Duration::MAX))
    }

    /// Which version of the entry's value this is, as its source counts them, or as the cache does
    /// for a source that has no versions.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn version<T>(&self, key: Key<T>) -> Result<&Version, Error> {
        self.judge(key).map(|(stored, _)| &stored.version)
    }

    /// Whether the value is past its max age and served only because its refreshes fail
    /// ([`stale_if_error`](crate::sources::Entry::stale_if_error)).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_stale<T>(&self, key: Key<T>) -> Result<bool, Error> {
        self.judge(key).map(|(_, stale)| stale)
    }

    #[cold]
    fn judge<T>(&self, key: Key<T>) -> Result<(&Stored, bool), Error> {
        let (slot, definition) = self.state.find(key)?;
        let (read, stopped) = match self.judged.as_deref() {
            None => (Read { kind: ReadKind::Snapshot, after: u64::MAX }, None),
            Some(judged) => (judged.read, judged.stopped.as_ref()),
        };
        match self.state.verdict(slot, definition, read, self.taken) {
            Verdict::Serve(stored) => Ok((stored, false)),
            Verdict::ServeStale(stored) => Ok((stored, true)),
            Verdict::Refuse(failure) => Err(slot.error(definition, &failure.error, self.taken)),
            Verdict::NotRequested => Err(not_loaded(definition)),
            Verdict::Wait => Err(match stopped {
                Some(stopped) => slot.error(definition, stopped, self.taken),
                None => not_loaded(definition),
            }),
        }
    }

    fn wrong_type<T>(&self, entry: usize) -> Error {
        let message = format!("the entry does not hold a {}", type_name::<T>());
        let error = Error::new(ErrorKind::Key, message);
        match self.state.catalog.entries.get(entry) {
            Some(definition) => error.entry_named(&definition.name),
            None => error,
        }
    }
}

pub(crate) fn foreign_key() -> Error {
    Error::new(ErrorKind::Key, "the key belongs to another cache")
}

pub(crate) fn not_loaded(definition: &Definition) -> Error {
    Error::new(ErrorKind::NotLoaded, "it has not been fetched yet").entry_named(&definition.name)
}

/// Names, ages and versions; never values.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (index, definition) in self.state.catalog.entries.iter().enumerate() {
            map.entry(&definition.name, &self.state.slots.get(index));
        }
        map.finish()
    }
}

/// One entry's value, as [`Cache::get`](crate::Cache::get) hands it out.
///
/// It dereferences to the value, and keeps it alive.
pub struct Value<T> {
    value: Arc<T>,
    age: Duration,
    version: Version,
    stale: bool,
}

impl<T: Send + Sync + 'static> Value<T> {
    pub(crate) fn new(stored: &Stored, policy: &Policy, now: Stamp, stale: bool) -> Option<Self> {
        Some(Self {
            value: stored.value.downcast()?,
            age: stored.age(policy, now).unwrap_or(Duration::MAX),
            version: stored.version.clone(),
            stale,
        })
    }
}

impl<T> Value<T> {
    /// How old the value was when it was handed out: the time since the request that fetched or
    /// revalidated it began. [`Duration::MAX`] if the clocks cannot tell, which only
    /// [`Cache::peek`](crate::Cache::peek) can give.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Which version it is, as its source counts them, or as the cache does for a source that has
    /// no versions.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether it is past its max age: served only because its refreshes fail, or only peeked at.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The value itself, shared with the cache.
    pub fn into_inner(self) -> Arc<T> {
        self.value
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), version: self.version.clone(), ..*self }
    }
}

/// Age and version; never the value.
impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("holds", &type_name::<T>())
            .field("age", &self.age)
            .field("version", &self.version)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}
