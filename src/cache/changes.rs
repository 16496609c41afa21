//! [`Cache::changed`]: a watch on one entry.

use std::fmt;

use super::Cache;
use crate::entry::{Key, Version};
use crate::error::Error;
use crate::snapshot::{Read, ReadKind, RefresherStatus, Value};
use crate::sync::watch;

impl Cache {
    /// Watches an entry: each call of [`Changes::next`] waits for a version that was not seen before.
    ///
    /// The one that is held now counts as seen. A watch causes no fetches; what reads, INVOKE events
    /// and timers cause is what it sees.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use lambda_cache::{Builder, testing::TestSource};
    /// # let source = TestSource::new();
    /// # source.set("greeting", "hello");
    /// # let mut builder = Builder::new();
    /// # let greeting = builder.add(source.entry("greeting"));
    /// # let cache = builder.spawn().await?;
    /// let mut changes = cache.changed(greeting);
    /// # source.set("greeting", "good day");
    /// # cache.refresh(greeting).await?;
    /// let value = changes.next().await?;
    /// println!("now of version {}: {}", value.version(), *value);
    /// # assert_eq!(*value, "good day");
    /// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
    /// ```
    pub fn changed<T: Send + Sync + 'static>(&self, key: Key<T>) -> Changes<T> {
        let reader = self.refresher.reader();
        // Before the look, so that no change is missed.
        let published = reader.changes();
        let state = reader.load();
        let stored = state.find(key).ok().and_then(|(slot, _)| slot.stored());
        let seen = stored.map(|stored| stored.version.clone());
        Changes { cache: self.clone(), key, seen, published }
    }
}

/// The changes of one entry, as [`Cache::changed`] watches them.
///
/// It holds the cache, as any clone of it does.
pub struct Changes<T> {
    cache: Cache,
    key: Key<T>,
    seen: Option<Version>,
    published: watch::Receiver<RefresherStatus>,
}

impl<T: Send + Sync + 'static> Changes<T> {
    /// Waits until the entry holds a version that this has not returned yet, and returns it, within
    /// its max age. Versions that come and go between two calls are not seen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`](crate::ErrorKind::Key) for a key of another cache;
    /// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) when the refresher has ended. A failure of
    /// the entry is not a change.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call returns it.
    pub async fn next(&mut self) -> Result<Value<T>, Error> {
        // No fetch is an answer to a read that asks for none, so only what is fresh as it is will do.
        let read = Read { kind: ReadKind::Entry, after: u64::MAX };
        loop {
            let status = self.published.borrow_and_update().clone();
            let state = self.cache.refresher.reader().load();
            state.find(self.key)?;
            if let Some(Ok(value)) = state.answer(self.key, read, self.cache.clock.now())
                && self.seen.as_ref() != Some(value.version())
            {
                self.seen = Some(value.version().clone());
                return Ok(value);
            }
            if let RefresherStatus::Stopped(error) = status {
                return Err(error);
            }
            // The sender lives as long as the cache does, so this cannot fail.
            _ = self.published.changed().await;
        }
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("key", &self.key)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
