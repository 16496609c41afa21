//! [`Cache`] and [`Builder`]: declare entries, spawn, read.

mod builder;
#[cfg(all(test, feature = "shuttle"))]
#[path = "../tests/interleavings/cache.rs"]
pub(crate) mod interleavings;
mod read;
mod versions;

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use builder::Builder;
pub use versions::Changes;

use crate::clock::Clocks;
use crate::entry::{Definition, Key};
use crate::error::{Error, ErrorKind};
use crate::freshness::{Ahead, Pace};
use crate::mode::Mode;
use crate::refresher::{Message, Refresher};
use crate::snapshot::{Slot, Stored, Value, not_loaded};
use crate::sources::Connections;
use crate::stats::{EntryStatus, Status};

/// Entries that are kept fresh, and may be read without locks.
///
/// Made by [`Builder::spawn`]. Clones are handles to one cache; when the last is dropped the
/// refresher ends, and with it every fetch in flight.
#[derive(Clone)]
pub struct Cache {
    pub(crate) refresher: Refresher,
    pub(crate) clock: Clocks,
    pub(crate) mode: Mode,
    pub(crate) operation_timeout: Duration,
    /// What holds for memos that say nothing else.
    pub(crate) ahead: Ahead,
    /// For memos, which are declared when the cache is there.
    pub(crate) connections: Arc<Mutex<Connections>>,
    #[cfg(feature = "runtime")]
    pub(crate) extension_name: Arc<str>,
}

impl Cache {
    /// The kind of environment this cache works for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Finds an entry by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`] if no entry has the name, or the one that has it holds another type.
    pub fn key<T: 'static>(&self, name: &str) -> Result<Key<T>, Error> {
        let state = self.refresher.reader().load();
        let mut entries = state.catalog.entries.iter().enumerate();
        let Some((index, definition)) = entries.find(|(_, it)| &*it.name == name) else {
            return Err(Error::new(ErrorKind::Key, format!("no entry is named \"{name}\"")));
        };
        if definition.holds != TypeId::of::<T>() {
            let message = format!("the entry does not hold a {}", std::any::type_name::<T>());
            return Err(Error::new(ErrorKind::Key, message).entry_named(&definition.name));
        }
        Ok(Key::new(state.cache, index))
    }

    /// Declares that what the entry holds is wrong, whatever its age: no read that begins after this
    /// returns gets it, and a fetch that is under way is discarded.
    ///
    /// Entries that share the request share the fate. Snapshots that were taken before keep what
    /// they have. The next read fetches; so does the next INVOKE.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`] for a key of another cache; [`ErrorKind::Stopped`] if the refresher has
    /// ended, in which case the value stays.
    ///
    /// # Cancel safety
    ///
    /// Once polled the entry may be invalidated, or not, if the future is dropped.
    pub async fn invalidate<T>(&self, key: Key<T>) -> Result<(), Error> {
        self.refresher.reader().load().find(key)?;
        self.refresher.ask(|done| Message::Invalidate { entry: key.entry, done }).await
    }

    /// How each entry is doing: its age, bounds, version, last error, and what its refreshes came to.
    ///
    /// Makes no request and never waits. [`Status::trace`] emits it as one event.
    pub fn status(&self) -> Status {
        let state = self.refresher.reader().load();
        let now = self.clock.now();
        let pace = if self.mode.freezes() { Pace::Invocations } else { Pace::Timers };
        let entry = |(slot, definition): (&Slot, &Definition)| {
            let (stored, policy) = (slot.stored(), &definition.policy);
            EntryStatus {
                name: Arc::clone(&definition.name),
                source: Arc::clone(&definition.source),
                age: stored.and_then(|stored| stored.age(policy, now)),
                max_age: policy.max_age,
                refresh_after: policy.soft_age(pace, Duration::ZERO),
                ahead: policy.ahead.unwrap_or_default(),
                cause: None,
                stale_if_error: policy.stale_if_error,
                version: stored.map(|stored| stored.version.clone()),
                last_error: slot.failure().map(|failure| failure.error.clone()),
                refreshes: 0,
                failures: 0,
                api_calls: 0,
            }
        };
        let entries = state.entries().map(entry).collect();
        Status::new(entries, self.refresher.counters())
    }

    /// Whatever the entry holds, however old it is; the value says so itself.
    ///
    /// Makes no request and never waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoaded`] if it holds nothing; [`ErrorKind::Key`] for a key of another cache.
    pub fn peek<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Value<T>, Error> {
        let state = self.refresher.reader().load();
        let (slot, definition) = state.find(key)?;
        let now = self.clock.now();
        let stale = |stored: &Stored| !stored.fresh(&definition.policy).admits(now);
        slot.stored()
            .and_then(|stored| Value::new(stored, &definition.policy, now, stale(stored)))
            .ok_or_else(|| not_loaded(definition))
    }
}

/// The entries' names; never their values.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.refresher.reader().load();
        let names: Vec<&str> = state.catalog.entries.iter().map(|it| &*it.name).collect();
        f.debug_struct("Cache").field("entries", &names).finish_non_exhaustive()
    }
}
