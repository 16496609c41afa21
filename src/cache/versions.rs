//! What is done when an entry gets another version: [`Cache::changed`] watches for it,
//! [`Cache::refresh_on_error`] lets an operation outlive the rotation of what it uses.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Cache;
use crate::clock::Stamp;
use crate::engine::Cause;
use crate::entry::{Key, Version};
use crate::error::Error;
use crate::snapshot::{Read, ReadKind, RefresherStatus, State, Value};
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

impl Cache {
    /// Runs an operation that uses an entry's value and, if it fails because the value was rotated,
    /// refreshes the value and runs the operation once more.
    ///
    /// `is_rotated` tells from the operation's error whether the value is to blame, such as a refused
    /// password. If the entry has changed since the operation was given its value, because another
    /// caller has refreshed it, nothing is fetched. Callers that fail at the same time share one fetch.
    /// If the refresh brings the same version again, the value is not to blame; then, and if the
    /// refresh fails, the operation's own error is returned.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use lambda_cache::{Builder, Value, testing::TestSource};
    /// # let source = TestSource::new();
    /// # source.set("password", "old");
    /// # let mut builder = Builder::new();
    /// # let password = builder.add(source.entry("password"));
    /// # let cache = builder.spawn().await?;
    /// # source.set("password", "new");
    /// # type Error = Box<dyn std::error::Error + Send + Sync>;
    /// async fn log_in(password: Value<String>) -> Result<&'static str, Error> {
    ///     if *password == "new" { Ok("welcome") } else { Err("refused".into()) }
    /// }
    ///
    /// let refused = |error: &Error| error.to_string() == "refused";
    /// assert_eq!(cache.refresh_on_error(password, log_in, refused).await?, "welcome");
    /// # Ok::<_, Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// What the operation returns, or, where there is no value to run it with, what
    /// [`get`](Self::get) returns.
    ///
    /// # Cancel safety
    ///
    /// As the operation's; the refresh goes on.
    pub async fn refresh_on_error<T, R, E, Fut>(
        &self,
        key: Key<T>,
        operation: impl Fn(Value<T>) -> Fut,
        is_rotated: impl FnOnce(&E) -> bool,
    ) -> Result<R, E>
    where
        T: Send + Sync + 'static,
        E: From<Error>,
        Fut: Future<Output = Result<R, E>>,
    {
        let value = self.get(key).await?;
        let used = value.version().clone();
        let error = match operation(value).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if !is_rotated(&error) {
            return Err(error);
        }
        match self.other_than(key, &used).await {
            Ok(value) if *value.version() != used => operation(value).await,
            // What was wrong with the refresh is in the trace and in the entry's status.
            _ => Err(error),
        }
    }

    /// The value, if it is of another version than `used`; else what a refresh brings.
    async fn other_than<T: Send + Sync + 'static>(
        &self,
        key: Key<T>,
        used: &Version,
    ) -> Result<Value<T>, Error> {
        let read = self.begin(ReadKind::Forced);
        let fresh = Read { kind: ReadKind::Entry, after: u64::MAX };
        let look = |state: &Arc<State>, now: Stamp| {
            match state.answer(key, fresh, now) {
                Some(Ok(value)) if value.version() != used => return ControlFlow::Break(Ok(value)),
                _ => {}
            }
            match state.answer(key, read, now) {
                Some(answer) => ControlFlow::Break(answer),
                None => ControlFlow::Continue(true),
            }
        };
        self.wait(Some(key.entry), read, Cause::Forced, look).await?
    }
}
