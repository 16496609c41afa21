//! The internal extension: registered at init, then driven by INVOKE events.

use std::fmt;

use super::registration::Registration;
use crate::cache::Cache;
use crate::error::Error;
use crate::mode::Mode;

impl Cache {
    /// Registers the internal extension for INVOKE events, so that entries are refreshed ahead while
    /// the function runs. Do this at init, before the runtime asks for its first invocation, and run
    /// the [`Extension`] beside the runtime:
    ///
    /// ```no_run
    /// # async fn doc(cache: lambda_cache::Cache) -> Result<(), lambda_runtime::Error> {
    /// # use lambda_runtime::{LambdaEvent, service_fn};
    /// # let app = service_fn(|_: LambdaEvent<String>| async { Ok::<_, lambda_runtime::Error>(()) });
    /// let extension = cache.register().await?;
    /// tokio::try_join!(lambda_runtime::run(app), extension.run())?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`run`](Self::run) does this by itself. On a Managed Instance, and outside Lambda, there are
    /// no INVOKE events: nothing is registered, and timers keep entries fresh.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lambda`](crate::ErrorKind::Lambda) if the Extensions API refuses: ten extensions
    /// are registered already, init is over, or another has the name ([`Builder::extension_name`](crate::Builder::extension_name)).
    pub async fn register(&self) -> Result<Extension, Error> {
        let registration = match self.mode() {
            Mode::OnDemand | Mode::SnapStart => {
                Some(Registration::register(&self.extension_name, &["INVOKE"]).await?)
            }
            Mode::ManagedInstance | Mode::Elsewhere => None,
        };
        Ok(Extension { cache: self.clone(), registration })
    }
}

/// The internal extension, registered by [`Cache::register`]; does its work in [`run`](Self::run).
#[must_use = "a registered extension that does not run makes every invocation time out"]
pub struct Extension {
    cache: Cache,
    /// `None` where there is nothing to register for.
    registration: Option<Registration>,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("cache", &self.cache)
            .field("registered", &self.registration.is_some())
            .finish_non_exhaustive()
    }
}

impl Extension {
    /// Handles events until the process ends.
    ///
    /// Where nothing is registered it waits for ever.
    ///
    /// # Errors
    ///
    /// Only if it cannot go on: the Extensions API refuses or stays away, or the refresher has
    /// ended. The process must then end, because Lambda waits for this extension in every invocation;
    /// returning the error from `main`, as `try_join!` does, is enough. The error is boxed as the
    /// runtimes' are, so that they can be joined.
    ///
    /// # Cancel safety
    ///
    /// Must not be dropped while the function goes on to be invoked.
    pub async fn run(self) -> Result<(), lambda_extension::Error> {
        let Self { cache, registration } = self;
        let Some(registration) = registration else {
            return std::future::pending().await;
        };
        registration.serve(&cache).await
    }
}
