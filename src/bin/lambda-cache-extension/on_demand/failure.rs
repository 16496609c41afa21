//! [`Failure`]: why a service gave no value, and the response for it: the service's own status and
//! error, if it sent one.

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
use crate::messages::why_unsent;

#[derive(Debug)]
pub(super) struct Failure {
    /// The operation, and what it was called for.
    call: String,
    reply: Reply,
    cause: Reason,
}

/// What the client gets.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    body: Bytes,
}

#[derive(Debug)]
enum Reason {
    NotFound(BoxError),
    Failed(BoxError),
    /// No answer within this time.
    Timeout(Duration),
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let reply = match &error {
            // An answer of success that is not the protocol's.
            SdkError::ServiceError(error) if error.raw().status().is_success() => {
                Reply::connection("Response Error")
            }
            SdkError::ServiceError(error) => Reply::of_service(error.raw()),
            SdkError::TimeoutError(_) => Reply::timeout(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Reply::timeout(),
            SdkError::DispatchFailure(failure) => match why_unsent(&error) {
                Some(why) => Reply::internal(Some(&why)),
                None if failure.is_user() => Reply::internal(None),
                None => Reply::connection("Read Error"),
            },
            SdkError::ResponseError(_) => Reply::connection("Response Error"),
            _ => Reply::internal(why_unsent(&error).as_deref()),
        };
        let code = error.code().unwrap_or_default().trim_end_matches("Exception");
        let cause = match code.ends_with("NotFound") {
            true => Reason::NotFound(error.into()),
            false => Reason::Failed(error.into()),
        };
        Self { call: String::new(), reply, cause }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        Self { call: String::new(), reply: Reply::timeout(), cause: Reason::Timeout(limit) }
    }

    /// The same failure, naming its call.
    pub(super) fn of_call(self, call: String) -> Self {
        Self { call, ..self }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self.cause, Reason::NotFound(_))
    }

    /// Bytes that it takes in the cache.
    pub(super) fn size(&self) -> usize {
        self.call.len() + self.reply.body.len()
    }

    pub(super) fn respond(&self) -> Response {
        self.reply.respond()
    }

    /// Its text and those of all its causes.
    pub(super) fn with_causes(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// The response for a read that failed with `error`.
pub(super) fn response(error: &lambda_cache::Error) -> Response {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    match causes.find_map(|cause| cause.downcast_ref::<Failure>()) {
        Some(failure) => failure.respond(),
        None if error.kind() == ErrorKind::Timeout => Reply::timeout().respond(),
        None => Reply::internal(None).respond(),
    }
}

impl Reply {
    /// What the service itself sent.
    fn of_service(response: &HttpResponse) -> Self {
        let Ok(status) = StatusCode::from_u16(response.status().as_u16()) else {
            return Self::internal(None);
        };
        let is_json = |body: &&[u8]| serde_json::from_slice::<IgnoredAny>(body).is_ok();
        match response.body().bytes().filter(is_json) {
            Some(body) => Self { status, body: Bytes::copy_from_slice(body) },
            None => Self { status, ..Self::internal(None) },
        }
    }

    fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "TimeoutError", Some("Timeout"))
    }

    fn connection(message: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "ConnectionError", Some(message))
    }

    fn internal(message: Option<&str>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message)
    }

    /// An error in the services' own form.
    fn new(status: StatusCode, code: &str, message: Option<&str>) -> Self {
        let json = match message {
            Some(message) => json!({ "__type": code, "message": message }),
            None => json!({ "__type": code }),
        };
        Self { status, body: json.to_string().into() }
    }

    fn respond(&self) -> Response {
        Answer::json(self.body.clone()).respond(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, reply, cause } = self;
        match cause {
            Reason::Timeout(limit) => write!(f, "{call}: no answer within {limit:.1?}"),
            _ => write!(f, "{call}: status {}", reply.status.as_u16()),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Reason::NotFound(error) | Reason::Failed(error) => Some(&**error),
            Reason::Timeout(_) => None,
        }
    }
}
