//! A registered extension's side of the Extensions API, and the loop that keeps to its rules.
//!
//! A function whose extension has asked for INVOKE events and then stops asking runs every later
//! invocation to its timeout. So the loop either goes on or ends with an error that ends the
//! process. lambda-extension registers it; its own loop would end silently on a connection that
//! closes, go on after a refusal, and report errors where Lambda no longer takes them.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use lambda_extension::{InvokeEvent, NextEvent};
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};

use super::invoked;
use crate::cache::Cache;
use crate::error::{Error, ErrorKind, SharedError};
use crate::refresher::Message;

const ID_HEADER: &str = "Lambda-Extension-Identifier";
const ERROR_TYPE_HEADER: &str = "Lambda-Extension-Function-Error-Type";
const ERROR_TYPE: &str = "Extension.LambdaCache";
/// How often in a row asking may fail before a connection that breaks off ends the loop.
const MOST_FAILURES: u32 = 5;
/// Before asking again for the first time; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(640);
/// How long reporting an error may take.
const REPORT_TIMEOUT: Duration = Duration::from_millis(300);

pub(super) struct Registration {
    id: String,
    client: PooledClient,
}

/// What can go wrong when asking for an event.
enum Trouble {
    /// What was delivered is not an event; the loop goes on.
    Malformed(SharedError),
    /// The connection broke; asking again may help.
    Broken(SharedError),
    /// The Extensions API refuses.
    Refused(SharedError),
}

impl Registration {
    pub(super) async fn register(name: &str, events: &[&str]) -> Result<Self, Error> {
        let registered = lambda_extension::Extension::new()
            .with_events(events)
            .with_extension_name(name)
            .register()
            .await
            .map_err(|cause| {
                let message = format!("the extension \"{name}\" could not be registered");
                Error::new(ErrorKind::Lambda, message).caused_by(SharedError::from(cause))
            })?;
        Ok(Self { id: registered.extension_id, client: client() })
    }

    /// Asks for events, and has the refresher do what is due at each INVOKE, until SHUTDOWN.
    pub(super) async fn serve(mut self, cache: &Cache) -> Result<(), lambda_extension::Error> {
        let mut failures = 0u32;
        loop {
            let trouble = match self.next().await {
                Ok(NextEvent::Invoke(event)) => {
                    failures = 0;
                    match cache.invoked(event).await {
                        Ok(()) => continue,
                        Err(stopped) => return Err(self.give_up(stopped).await),
                    }
                }
                Ok(NextEvent::Shutdown(event)) => {
                    tracing::debug!(reason = event.shutdown_reason, "shutdown");
                    return Ok(());
                }
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Malformed(cause) => {
                    tracing::error!(%cause, "the extension got an event it cannot read");
                }
                Trouble::Broken(cause) if failures < MOST_FAILURES => {
                    tracing::warn!(%cause, "the Extensions API broke off; asking again");
                    // A snapshot's connections do not survive it.
                    self.client = client();
                }
                Trouble::Broken(cause) | Trouble::Refused(cause) => {
                    let message = "the extension cannot go on, so the process must end";
                    let error = Error::new(ErrorKind::Lambda, message).caused_by(cause);
                    return Err(self.give_up(error).await);
                }
            }
            tokio::time::sleep(pause(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn next(&self) -> Result<NextEvent, Trouble> {
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
        event(&body)
    }

    async fn call(&self, request: Request<Body>) -> Result<(StatusCode, Vec<u8>), SharedError> {
        let response = self.client.call(request).await.map_err(SharedError::from)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(boxed)?;
        Ok((status, body.to_bytes().to_vec()))
    }

    /// Tells Lambda why, if it still listens; the process has to end in any case.
    async fn give_up(&self, error: Error) -> lambda_extension::Error {
        tracing::error!(%error, "the extension ends");
        self.report("/2020-01-01/extension/exit/error", &error.to_string()).await;
        error.into()
    }

    /// Says why init failed, for the function's log.
    pub(super) async fn fail_init(&self, message: &str) {
        self.report("/2020-01-01/extension/init/error", message).await;
    }

    async fn report(&self, path: &str, message: &str) {
        let report = serde_json::json!({
            "errorType": ERROR_TYPE,
            "errorMessage": message,
            "stackTrace": [],
        });
        let request = build_request()
            .method(Method::POST)
            .uri(path)
            .header(ID_HEADER, &self.id)
            .header(ERROR_TYPE_HEADER, ERROR_TYPE)
            .body(Body::from(report.to_string()));
        if let Ok(request) = request {
            tokio::time::timeout(REPORT_TIMEOUT, self.call(request)).await.ok();
        }
    }
}

impl Cache {
    /// Has the refresher do what is due, and returns when nothing is in flight any more.
    async fn invoked(&self, event: InvokeEvent) -> Result<(), Error> {
        let trace = event.tracing.value;
        let invocation = invoked(event.request_id, event.deadline_ms, Some(&trace));
        self.refresher.ask(|done| Message::Invoke { invocation, done }).await
    }
}

fn event(body: &[u8]) -> Result<NextEvent, Trouble> {
    serde_json::from_slice(body).map_err(|error| Trouble::Malformed(boxed(error)))
}

/// How long to wait before asking again, after so many failures in a row.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

fn client() -> PooledClient {
    PooledClient::builder().build()
}

fn boxed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SharedError {
    SharedError::from(cause.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_failing_asks_ever_more_seldom_and_never_less_than_that() {
        let pauses: Vec<_> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 640, 640]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod parsers {
    use proptest::prelude::*;

    use super::*;
    use crate::near::near_any;

    proptest! {
        #[test]
        fn an_invocation_is_read_as_it_was_written(
            request_id: String, deadline: u64, arn: String, trace: String, more: Option<String>
        ) {
            let written = serde_json::json!({
                "eventType": "INVOKE",
                "deadlineMs": deadline,
                "requestId": request_id,
                "invokedFunctionArn": arn,
                "tracing": { "type": "X-Amzn-Trace-Id", "value": trace },
                "more": more,
            });
            let Ok(NextEvent::Invoke(read)) = event(written.to_string().as_bytes()) else {
                return Err(TestCaseError::fail("no invocation"));
            };
            prop_assert_eq!(read.deadline_ms, deadline);
            prop_assert_eq!(&read.tracing.value, &trace);
            prop_assert_eq!(&read.request_id, &request_id);
            _ = invoked(read.request_id, read.deadline_ms, Some(&read.tracing.value));
        }

        #[test]
        fn whatever_is_delivered_is_an_event_or_malformed(
            text in near_any(
                &[
                    r#"{"eventType":"INVOKE","deadlineMs":1,"requestId":"a","invokedFunctionArn":"b","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd"}}"#,
                    r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":676051}"#,
                ],
                &["\"", ":", "{", "}", "[", "-", "1e9", "18446744073709551616", "null", "\\ud800", "INVOKE", "SHUTDOWN"],
            )
        ) {
            match event(text.as_bytes()) {
                Ok(NextEvent::Invoke(read)) => {
                    _ = invoked(read.request_id, read.deadline_ms, Some(&read.tracing.value));
                }
                Ok(NextEvent::Shutdown(_)) => prop_assert!(text.contains("SHUTDOWN")),
                Err(trouble) => prop_assert!(matches!(trouble, Trouble::Malformed(_))),
            }
        }
    }
}
