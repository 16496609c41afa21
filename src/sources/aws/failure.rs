//! What a client's failure means for a request.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};

use crate::error::ErrorKind;
use crate::sources::FetchError;

/// What a client's failure means for a request.
pub(crate) fn failure<E>(error: SdkError<E, HttpResponse>) -> FetchError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::ServiceError(service) => kind_of(service.err().code().unwrap_or_default()),
        _ => code_within(&error).map_or(ErrorKind::Source, kind_of),
    };
    FetchError::new(kind, error)
}

/// What another service said on whose account the request was not even sent: STS, of a role.
fn code_within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a str> {
    match error.downcast_ref::<ErrorMetadata>() {
        Some(said) => said.code(),
        None => code_within(error.source()?),
    }
}

/// What a service's error code means.
pub(crate) fn kind_of(code: &str) -> ErrorKind {
    let code = code.trim_end_matches("Exception");
    match code {
        "Throttling"
        | "ThrottledException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceeded"
        | "SlowDown" => ErrorKind::Throttled,
        "AccessDenied"
        | "UnrecognizedClient"
        | "ExpiredToken"
        | "InvalidSignature"
        | "InvalidKeyId"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "SignatureDoesNotMatch"
        | "DecryptionFailure" => ErrorKind::Denied,
        _ if code.ends_with("NotFound") || code.starts_with("NoSuch") => ErrorKind::NotFound,
        _ => ErrorKind::Source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_tells_what_went_wrong() {
        assert_eq!(kind_of("ThrottlingException"), ErrorKind::Throttled);
        assert_eq!(kind_of("AccessDeniedException"), ErrorKind::Denied);
        assert_eq!(kind_of("ParameterNotFound"), ErrorKind::NotFound);
        assert_eq!(kind_of("ParameterVersionNotFound"), ErrorKind::NotFound);
        assert_eq!(kind_of("NoSuchKey"), ErrorKind::NotFound);
        assert_eq!(kind_of("NoSuchBucket"), ErrorKind::NotFound);
        assert_eq!(kind_of("SlowDown"), ErrorKind::Throttled);
        assert_eq!(kind_of("SignatureDoesNotMatch"), ErrorKind::Denied);
        assert_eq!(kind_of("InternalServerError"), ErrorKind::Source);
    }
}
