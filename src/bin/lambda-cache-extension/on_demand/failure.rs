//! What clients get when a service gives nothing: its own status and words, where it has spoken.

use std::error::Error as StdError;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use bytes::Bytes;
use hyper::StatusCode;
use lambda_cache::ErrorKind;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::answer::{Answer, Response};

/// Why a service gave nothing.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: Bytes,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + Send + Sync + 'static,
    {
        let (status, body) = match &error {
            SdkError::ServiceError(said) => said_by_service(said.raw()),
            SdkError::TimeoutError(_) => timeout(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => timeout(),
            SdkError::DispatchFailure(failure) if !failure.is_user() => no_connection("Read Error"),
            SdkError::ResponseError(_) => no_connection("Response Error"),
            _ => internal(),
        };
        Self { status, body, cause: Some(error.into()) }
    }

    /// The service has not answered in the time that its variable allows.
    pub(super) fn late() -> Self {
        let (status, body) = timeout();
        Self { status, body, cause: None }
    }
}

/// The answer to a client whose read failed with `error`.
pub(super) fn respond(error: &lambda_cache::Error) -> Response {
    let (status, body) = match failure_in(error) {
        Some(Failure { status, body, .. }) => (*status, body.clone()),
        None if error.kind() == ErrorKind::Timeout => timeout(),
        None => internal(),
    };
    Answer::json(body).respond(status)
}

fn failure_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Failure> {
    match error.downcast_ref() {
        Some(failure) => Some(failure),
        None => failure_in(error.source()?),
    }
}

fn said_by_service(response: &HttpResponse) -> (StatusCode, Bytes) {
    let status = StatusCode::from_u16(response.status().as_u16());
    let body = response.body().bytes();
    let body = body.filter(|it| serde_json::from_slice::<IgnoredAny>(it).is_ok());
    match (status, body) {
        (Ok(status), Some(body)) => (status, Bytes::copy_from_slice(body)),
        (Ok(status), None) => (status, self::body("InternalFailure", None)),
        (Err(_), _) => internal(),
    }
}

fn timeout() -> (StatusCode, Bytes) {
    (StatusCode::GATEWAY_TIMEOUT, body("TimeoutError", Some("Timeout")))
}

fn no_connection(message: &str) -> (StatusCode, Bytes) {
    (StatusCode::BAD_GATEWAY, body("ConnectionError", Some(message)))
}

fn internal() -> (StatusCode, Bytes) {
    (StatusCode::INTERNAL_SERVER_ERROR, body("InternalFailure", None))
}

/// An error in the services' own form.
fn body(code: &str, message: Option<&str>) -> Bytes {
    let json = match message {
        Some(message) => json!({ "__type": code, "message": message }),
        None => json!({ "__type": code }),
    };
    json.to_string().into()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(_) => write!(f, "the service failed with status {}", self.status.as_u16()),
            None => f.write_str("the service did not answer within the time of its variable"),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
