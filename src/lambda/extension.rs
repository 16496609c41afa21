//! The internal extension: registered at init, then a loop that asks for an event, hands it to the
//! refresher, and asks for the next only when nothing is in flight.
//!
//! A function whose extension has asked for INVOKE events and then stops asking runs every later
//! invocation to its timeout. So the loop either goes on or ends with an error that ends the
//! process. lambda-extension registers it; its own loop would end silently on a connection that
//! closes, go on after a refusal, and report errors where Lambda no longer takes them.

use std::fmt;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use lambda_extension::{InvokeEvent, NextEvent};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};

use super::handler::milliseconds;
use super::trace;
use crate::cache::Cache;
use crate::error::{Cause, Error, ErrorKind};
use crate::mode::Mode;
use crate::refresher::{Invocation, Message};

const ID_HEADER: &str = "Lambda-Extension-Identifier";
const ERROR_TYPE_HEADER: &str = "Lambda-Extension-Function-Error-Type";
/// How often in a row the Extensions API may break off before the loop gives up.
const MOST_FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_millis(300);

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
    /// [`ErrorKind::Lambda`] if the Extensions API refuses: ten extensions are registered already,
    /// init is over, or another has the name
    /// ([`Builder::extension_name`](crate::Builder::extension_name)).
    pub async fn register(&self) -> Result<Extension, Error> {
        let registration = match self.mode() {
            Mode::OnDemand | Mode::SnapStart => Some(register(&self.extension_name).await?),
            Mode::ManagedInstance | Mode::Elsewhere => None,
        };
        Ok(Extension { cache: self.clone(), registration })
    }
}

async fn register(name: &str) -> Result<Registration, Error> {
    let registered = lambda_extension::Extension::new()
        .with_events(&["INVOKE"])
        .with_extension_name(name)
        .register()
        .await
        .map_err(|cause| {
            let message = format!("the internal extension \"{name}\" could not be registered");
            Error::new(ErrorKind::Lambda, message).caused_by(Cause::from(cause))
        })?;
    Ok(Registration { id: registered.extension_id, client: client() })
}

fn client() -> PooledClient {
    PooledClient::builder().build()
}

/// The internal extension, registered by [`Cache::register`]; does its work in [`run`](Self::run).
#[must_use = "a registered extension that does not run makes every invocation time out"]
pub struct Extension {
    cache: Cache,
    /// `None` where there is nothing to register for.
    registration: Option<Registration>,
}

struct Registration {
    id: String,
    client: PooledClient,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("cache", &self.cache)
            .field("registered", &self.registration.is_some())
            .finish_non_exhaustive()
    }
}

/// What asking for an event can come to, if not to an INVOKE.
enum Trouble {
    /// Something was delivered that is no INVOKE event; the loop goes on.
    Malformed(Cause),
    /// The connection broke; asking again may help.
    Broken(Cause),
    /// The Extensions API will not have it.
    Refused(Cause),
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
        let Some(mut registration) = registration else {
            return std::future::pending().await;
        };
        let mut failures = 0;
        loop {
            let trouble = match registration.next().await {
                Ok(event) => {
                    failures = 0;
                    match cache.invoked(event).await {
                        Ok(()) => continue,
                        Err(stopped) => return Err(registration.give_up(stopped).await),
                    }
                }
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Malformed(cause) => {
                    failures = 0;
                    tracing::error!(%cause, "the extension got an event it cannot read");
                }
                Trouble::Broken(cause) if failures < MOST_FAILURES => {
                    tracing::warn!(%cause, "the Extensions API broke off; asking again");
                    tokio::time::sleep(FIRST_PAUSE * 2u32.pow(failures)).await;
                    failures += 1;
                    // A snapshot's connections do not survive it.
                    registration.client = client();
                }
                Trouble::Broken(cause) | Trouble::Refused(cause) => {
                    let message = "the internal extension cannot go on, so the process must end";
                    let error = Error::new(ErrorKind::Lambda, message).caused_by(cause);
                    return Err(registration.give_up(error).await);
                }
            }
        }
    }
}

impl Cache {
    /// Has the refresher do what is due, and returns when nothing is in flight any more.
    async fn invoked(&self, event: InvokeEvent) -> Result<(), Error> {
        let invocation = Invocation {
            request_id: event.request_id,
            deadline: milliseconds(event.deadline_ms),
            witness: trace::epoch(&event.tracing.value),
        };
        self.refresher.ask(|done| Message::Invoke { invocation, done }).await
    }
}

impl Registration {
    async fn next(&self) -> Result<InvokeEvent, Trouble> {
        let request = build_request()
            .method(Method::GET)
            .uri("/2020-01-01/extension/event/next")
            .header(ID_HEADER, &self.id)
            .body(Body::empty())
            .map_err(|error| Trouble::Refused(boxed(error)))?;
        let (status, body) = self.call(request).await.map_err(Trouble::Broken)?;
        if !status.is_success() {
            // 5xx as well: "non-recoverable state", says the Extensions API.
            let text = String::from_utf8_lossy(&body);
            return Err(Trouble::Refused(boxed(format!("it answered {status}: {text}"))));
        }
        match serde_json::from_slice(&body) {
            Ok(NextEvent::Invoke(event)) => Ok(event),
            Ok(NextEvent::Shutdown(_)) => Err(Trouble::Malformed(boxed("SHUTDOWN"))),
            Err(error) => Err(Trouble::Malformed(boxed(error))),
        }
    }

    async fn call(&self, request: Request<Body>) -> Result<(StatusCode, Vec<u8>), Cause> {
        let response = self.client.call(request).await.map_err(Cause::from)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(boxed)?;
        Ok((status, body.to_bytes().to_vec()))
    }

    /// Tells Lambda why, if it still listens; the process has to end in any case.
    async fn give_up(&self, error: Error) -> lambda_extension::Error {
        tracing::error!(%error, "the internal extension ends");
        let report = serde_json::json!({
            "errorType": "Extension.LambdaCache",
            "errorMessage": error.to_string(),
            "stackTrace": [],
        });
        let request = build_request()
            .method(Method::POST)
            .uri("/2020-01-01/extension/exit/error")
            .header(ID_HEADER, &self.id)
            .header(ERROR_TYPE_HEADER, "Extension.LambdaCache")
            .body(Body::from(report.to_string()));
        if let Ok(request) = request {
            tokio::time::timeout(LAST_WORDS, self.call(request)).await.ok();
        }
        error.into()
    }
}

fn boxed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Cause {
    Cause::from(cause.into())
}
