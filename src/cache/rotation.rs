//! [`Cache::refresh_on_error`]: an operation that outlives the rotation of what it uses.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Cache;
use crate::clock::Stamp;
use crate::engine::Cause;
use crate::entry::{Key, Version};
use crate::error::Error;
use crate::snapshot::{Read, ReadKind, State, Value};

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
