//! What clients get when a service gives nothing: its own status and words, where it has spoken.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use hyper::StatusCode;
use lambda_cache::ErrorKind;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::answer::{Answer, Response};
use crate::unsent::why_unsent;

/// Why a service gave nothing.
#[derive(Debug)]
pub(super) struct Failure {
    /// The operation, and what it was asked for.
    call: String,
    status: StatusCode,
    body: Bytes,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// There is no such thing.
    NotFound(BoxError),
    Failed(BoxError),
    /// It has not answered in this time.
    Late(Duration),
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (status, body) = match &error {
            SdkError::ServiceError(said) => said_by_service(said.raw()),
            SdkError::TimeoutError(_) => timeout(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => timeout(),
            SdkError::DispatchFailure(failure) => match why_unsent(&error) {
                Some(why) => internal(Some(&why)),
                None if failure.is_user() => internal(None),
                None => no_connection("Read Error"),
            },
            SdkError::ResponseError(_) => no_connection("Response Error"),
            _ => internal(why_unsent(&error).as_deref()),
        };
        let code = error.code().unwrap_or_default().trim_end_matches("Exception");
        let why = match code.ends_with("NotFound") {
            true => Why::NotFound(error.into()),
            false => Why::Failed(error.into()),
        };
        Self { call: String::new(), status, body, why }
    }

    pub(super) fn late(limit: Duration) -> Self {
        let (status, body) = timeout();
        Self { call: String::new(), status, body, why: Why::Late(limit) }
    }

    /// The same failure, of this call.
    pub(super) fn of_call(self, call: String) -> Self {
        Self { call, ..self }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self.why, Why::NotFound(_))
    }

    /// Bytes of what is kept of it.
    pub(super) fn size(&self) -> usize {
        self.call.len() + self.body.len()
    }

    pub(super) fn respond(&self) -> Response {
        Answer::json(self.body.clone()).respond(self.status)
    }

    /// In words, with all that led to it.
    pub(super) fn with_causes(&self) -> impl fmt::Display {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |words, cause| format!("{words}: {cause}"))
    }
}

/// The answer to a client whose read failed with `error`.
pub(super) fn respond(error: &lambda_cache::Error) -> Response {
    if let Some(failure) = failure_in(error) {
        return failure.respond();
    }
    let (status, body) = match error.kind() {
        ErrorKind::Timeout => timeout(),
        _ => internal(None),
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
        (Err(_), _) => internal(None),
    }
}

fn timeout() -> (StatusCode, Bytes) {
    (StatusCode::GATEWAY_TIMEOUT, body("TimeoutError", Some("Timeout")))
}

fn no_connection(message: &str) -> (StatusCode, Bytes) {
    (StatusCode::BAD_GATEWAY, body("ConnectionError", Some(message)))
}

fn internal(message: Option<&str>) -> (StatusCode, Bytes) {
    (StatusCode::INTERNAL_SERVER_ERROR, body("InternalFailure", message))
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
        let Self { call, status, why, .. } = self;
        match why {
            Why::NotFound(_) | Why::Failed(_) => write!(f, "{call}: status {}", status.as_u16()),
            Why::Late(limit) => write!(f, "{call}: no answer within {limit:.1?}"),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::NotFound(cause) | Why::Failed(cause) => Some(&**cause),
            Why::Late(_) => None,
        }
    }
}
