//! The extensions: the internal one beside a function, and an external one in a process of its own.

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
    /// # use lambda_runtime::{LambdaEvent, Runtime, service_fn};
    /// # let app = service_fn(|_: LambdaEvent<String>| async { Ok::<_, lambda_runtime::Error>(()) });
    /// let extension = cache.register().await?;
    /// let runtime = Runtime::new(app).layer(cache.layer());
    /// tokio::try_join!(runtime.run(), extension.run())?;
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

/// An external extension of Lambda, registered: a process in `/opt/extensions` whose cache serves
/// functions in any language.
///
/// Register it before anything else, so that what goes wrong after that can be told to Lambda
/// ([`fail_init`](Self::fail_init)), then [`run`](Self::run) it with the cache. It knows of an
/// invocation by its INVOKE event, and not when its handler ends: it refreshes what is due while the
/// function runs, within the [hold limit](crate::Builder::hold_limit).
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
