//! The external extension: a process of its own beside the runtime, with a cache in it.

use std::fmt;

use super::registration::Registration;
use crate::cache::Cache;
use crate::error::Error;
use crate::mode::Mode;

/// An external extension of Lambda, registered: a process in `/opt/extensions` whose cache serves
/// functions in any language.
///
/// Register it before anything else, so that what goes wrong after that can be told to Lambda
/// ([`fail_init`](Self::fail_init)), then [`run`](Self::run) it with the cache. It knows of an
/// invocation by its INVOKE event, and not when its handler ends: what is due is refreshed at once,
/// while the function runs, within the [hold limit](crate::Builder::hold_limit).
///
/// ```no_run
/// # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_runtime::Error> {
/// use lambda_cache::{Builder, ExternalExtension, from_fn};
///
/// # async fn fetch_rates() -> Result<Vec<f64>, std::io::Error> { Ok(vec![]) }
/// let extension = ExternalExtension::register("rates-extension").await?; // its file's name
/// let mut builder = Builder::new();
/// let rates = builder.add(from_fn("rates", fetch_rates));
/// let cache = match builder.spawn().await {
///     Ok(cache) => cache,
///     Err(error) => {
///         extension.fail_init(&error.to_string()).await;
///         return Err(error.into());
///     }
/// };
/// // ... serve `cache` to the function, and
/// extension.run(&cache).await // until SHUTDOWN
/// # }
/// ```
pub struct ExternalExtension {
    /// `None` outside Lambda, where there is nothing to register for.
    registration: Option<Registration>,
}

impl ExternalExtension {
    /// Registers it for INVOKE and SHUTDOWN; on a Managed Instance, which knows no INVOKE events and
    /// where timers keep entries fresh, for SHUTDOWN alone; outside Lambda not at all.
    ///
    /// `name` must be that of the process's file in `/opt/extensions`, by which Lambda knows it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lambda`](crate::ErrorKind::Lambda) if the Extensions API refuses.
    pub async fn register(name: &str) -> Result<Self, Error> {
        let events: &[&str] = match Mode::detect() {
            Mode::OnDemand | Mode::SnapStart => &["INVOKE", "SHUTDOWN"],
            Mode::ManagedInstance => &["SHUTDOWN"],
            Mode::Elsewhere => return Ok(Self { registration: None }),
        };
        Ok(Self { registration: Some(Registration::register(name, events).await?) })
    }

    /// Handles events until SHUTDOWN, after which Lambda gives the process two seconds to end.
    /// Outside Lambda it waits for ever.
    ///
    /// It asks for the next event only when nothing is in flight. The first time it asks, its init is
    /// over.
    ///
    /// # Errors
    ///
    /// Only if it cannot go on: the Extensions API refuses or stays away, or the refresher has
    /// ended. The process must then end.
    ///
    /// # Cancel safety
    ///
    /// Must not be dropped while the function goes on to be invoked.
    pub async fn run(self, cache: &Cache) -> Result<(), lambda_extension::Error> {
        match self.registration {
            Some(registration) => registration.serve(cache).await,
            None => std::future::pending().await,
        }
    }

    /// Tells Lambda why the extension cannot start, for the function's log. The process must then end
    /// with an error.
    ///
    /// Waits no longer than 300 milliseconds.
    pub async fn fail_init(&self, message: &str) {
        if let Some(registration) = &self.registration {
            registration.fail_init(message).await;
        }
    }
}

impl fmt::Debug for ExternalExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalExtension")
            .field("registered", &self.registration.is_some())
            .finish_non_exhaustive()
    }
}
