//! What an SDK error means: for a request, and for the others of its call.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{CreateUnhandledError, SdkError};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};

use crate::error::{ErrorKind, SharedError};
use crate::sources::FetchError;

/// What a client's error means for a request.
pub(crate) fn failure<E>(error: SdkError<E, HttpResponse>) -> FetchError
where
    E: ProvideErrorMetadata + CreateUnhandledError + StdError + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::ServiceError(service) => kind_of(service.err().code().unwrap_or_default()),
        _ => code_within(&error).map_or(ErrorKind::Source, kind_of),
    };
    let is_lasting = is_lasting(&error);
    let failure = FetchError::new(kind, error.map_service_error(with_message));
    if is_lasting { failure.lasting() } else { failure }
}

/// Whether the same request would fail again a moment later: it cannot be made, or the service does not
/// accept it.
fn is_lasting<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(service) => {
            let status = service.raw().status();
            status.is_client_error() && !matches!(status.as_u16(), 408 | 429)
        }
        _ => false,
    }
}

/// Why a call for several items failed, and which of them that concerns.
pub(crate) enum CallError {
    /// It would have failed with any items.
    AnyCall(FetchError),
    /// At least one of the items is refused: the error's code and message.
    SomeItems(FetchError, ErrorMetadata),
    /// Each of the items is refused.
    AllItems(FetchError),
}

impl CallError {
    pub(crate) fn new<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + CreateUnhandledError + StdError + Send + Sync + 'static,
    {
        let metadata = may_concern_some(&error).then(|| error.meta().clone());
        let failure = failure(error);
        match metadata {
            Some(metadata) => Self::SomeItems(failure, metadata),
            None => Self::AnyCall(failure),
        }
    }

    pub(crate) fn into_failure(self) -> FetchError {
        match self {
            Self::AnyCall(failure) | Self::SomeItems(failure, _) | Self::AllItems(failure) => {
                failure
            }
        }
    }
}

impl FetchError {
    /// The same failure, explained by what was being done.
    pub(crate) fn context(self, message: impl Into<String>) -> Self {
        let cause = Context { message: message.into(), cause: Arc::clone(&self.cause) };
        Self { cause: Arc::new(cause), ..self }
    }
}

#[derive(Debug)]
struct Context {
    message: String,
    cause: SharedError,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Context {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// Whether a call for several items may have been refused for some of them only: the service has
/// answered, and does not object to the number of requests or to the credentials.
fn may_concern_some<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    let status = service.raw().status();
    let is_refusal = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
    let code = service.err().code().map(plain);
    let is_other = |code| !is_throttling(code) && !is_about_credentials(code);
    is_refusal && code.is_some_and(|code| !code.is_empty() && is_other(code))
}

/// Adds the service's message where the error does not show it.
///
/// The SDK reads errors that an operation does not list by the service's model. For some of them the
/// model spells the member `Message`, and the service `message`.
fn with_message<E>(error: E) -> E
where
    E: ProvideErrorMetadata + CreateUnhandledError + StdError + 'static,
{
    let metadata = error.meta().clone();
    match metadata.message() {
        Some(message) if !shows(&error, message) => {
            E::create_unhandled_error(Box::new(metadata.clone()), Some(metadata))
        }
        _ => error,
    }
}

/// Whether an error or one of its causes contains this text.
fn shows(error: &(dyn StdError + 'static), text: &str) -> bool {
    error.to_string().contains(text) || error.source().is_some_and(|cause| shows(cause, text))
}

/// The code of another service's error that kept the request from being sent: STS, of a role.
fn code_within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a str> {
    match error.downcast_ref::<ErrorMetadata>() {
        Some(metadata) => metadata.code(),
        None => code_within(error.source()?),
    }
}

/// What a service's error code means.
pub(crate) fn kind_of(code: &str) -> ErrorKind {
    let code = plain(code);
    match code {
        _ if is_throttling(code) => ErrorKind::Throttled,
        _ if is_about_credentials(code) => ErrorKind::Denied,
        "AccessDenied"
        | "NotAuthorized"
        | "UnauthorizedOperation"
        | "InvalidKeyId"
        | "DecryptionFailure" => ErrorKind::Denied,
        _ if code.ends_with("NotFound") || code.starts_with("NoSuch") => ErrorKind::NotFound,
        _ => ErrorKind::Source,
    }
}

fn plain(code: &str) -> &str {
    code.trim_end_matches("Exception")
}

/// The codes that the SDK takes for throttling, and others that say so.
fn is_throttling(code: &str) -> bool {
    let is_listed = matches!(
        code,
        "BandwidthLimitExceeded"
            | "LimitExceeded"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
            | "SlowDown"
            | "TooManyRequests"
            | "TransactionInProgress"
    );
    is_listed || code.contains("Throttl")
}

/// Whether the service rejects the credentials.
fn is_about_credentials(code: &str) -> bool {
    matches!(
        code,
        "AuthFailure"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignature"
            | "InvalidToken"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "TokenRefreshRequired"
            | "UnrecognizedClient"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_tells_what_went_wrong() {
        assert_eq!(kind_of("AccessDeniedException"), ErrorKind::Denied);
        assert_eq!(kind_of("ParameterNotFound"), ErrorKind::NotFound);
        assert_eq!(kind_of("ParameterVersionNotFound"), ErrorKind::NotFound);
        assert_eq!(kind_of("NoSuchKey"), ErrorKind::NotFound);
        assert_eq!(kind_of("NoSuchBucket"), ErrorKind::NotFound);
        assert_eq!(kind_of("InternalServerError"), ErrorKind::Source);
    }

    #[test]
    fn every_code_that_asks_for_fewer_requests_is_throttling() {
        for code in [
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "KMSThrottlingException",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ] {
            assert_eq!(kind_of(code), ErrorKind::Throttled, "{code}");
        }
    }

    #[test]
    fn credentials_that_are_not_accepted_and_permissions_that_lack_are_a_denial() {
        for code in [
            "AccessDenied",
            "AuthFailure",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NotAuthorized",
            "NotAuthorizedException",
            "OptInRequired",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnauthorizedOperation",
            "UnrecognizedClientException",
        ] {
            assert_eq!(kind_of(code), ErrorKind::Denied, "{code}");
        }
    }
}
