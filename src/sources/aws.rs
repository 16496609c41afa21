//! What all AWS sources share: client configuration that suits an environment which freezes, and
//! what a client's failure means.

use std::time::Duration;

use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::{Declare, Entry, FetchError};
use crate::error::ErrorKind;

/// Sockets die silently in a freeze, so idle ones are not kept for long. (The SDK keeps them 90 s.)
const IDLE: Duration = Duration::from_secs(15);
/// One attempt of a request, of which the SDK makes up to three. (The SDK has no limit.)
const ATTEMPT: Duration = Duration::from_millis(1500);

/// The AWS configuration of a cache.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    config: SdkConfig,
    /// Shared by all clients made at init; loading its certificates takes a while.
    http_client: SharedHttpClient,
}

impl Aws {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let http_client = config.http_client().unwrap_or_else(http_client);
        Self { config: config.clone(), http_client }
    }

    /// The configuration of a client in `region`, or in the configuration's own.
    pub(crate) fn config(&self, region: Option<&str>) -> SdkConfig {
        let given = &self.config;
        let timeouts = given.timeout_config().map_or_else(Default::default, |it| it.to_builder());
        let timeouts = match given.timeout_config().and_then(|it| it.operation_attempt_timeout()) {
            Some(_) => timeouts,
            None => timeouts.operation_attempt_timeout(ATTEMPT),
        };
        let region = region.map(|region| Region::new(region.to_owned()));
        let behavior = given.behavior_version().unwrap_or_else(BehaviorVersion::latest);
        given
            .clone()
            .into_builder()
            .region(region.or_else(|| given.region().cloned()))
            .behavior_version(behavior)
            .timeout_config(timeouts.build())
            .http_client(self.http_client.clone())
            .build()
    }

    /// The configuration's own region.
    pub(crate) fn region(&self) -> Option<&str> {
        self.config.region().map(|region| region.as_ref())
    }

    /// The same configuration with connections of its own: none survives a snapshot.
    pub(crate) fn reconnected(&self) -> Self {
        Self::new(&self.config)
    }
}

fn http_client() -> SharedHttpClient {
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    Builder::new().pool_idle_timeout(IDLE).tls_provider(provider).build_https()
}

/// What a client's failure means for a request.
pub(super) fn failure<E>(error: SdkError<E, HttpResponse>) -> FetchError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::ServiceError(service) => kind_of(service.err().code().unwrap_or_default()),
        _ => ErrorKind::Source,
    };
    FetchError::new(kind, error)
}

fn kind_of(code: &str) -> ErrorKind {
    let code = code.trim_end_matches("Exception");
    match code {
        "Throttling"
        | "ThrottledException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceeded"
        | "SlowDown" => ErrorKind::Throttled,
        "AccessDenied" | "UnrecognizedClient" | "ExpiredToken" | "InvalidSignature"
        | "InvalidKeyId" => ErrorKind::Denied,
        _ if code.ends_with("NotFound") => ErrorKind::NotFound,
        _ => ErrorKind::Source,
    }
}

/// What an entry of an AWS source asks for, in a region of its own if its user says so.
pub trait Regional: Declare {
    /// Sets the region.
    fn set_region(&mut self, region: String);
}

impl<D: Regional, T> Entry<D, T> {
    /// The region to ask in. Entries of one region share a client and batches. Defaults to that of
    /// the configuration given to [`Cache::builder`](crate::Cache::builder).
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.asks.set_region(region.into());
        self
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
        assert_eq!(kind_of("InternalServerError"), ErrorKind::Source);
    }

    #[test]
    fn a_client_has_an_attempt_timeout_unless_the_user_gave_one() {
        let given = SdkConfig::builder().region(Region::new("eu-west-1")).build();
        let config = Aws::new(&given).config(None);
        let timeouts = config.timeout_config().expect("timeouts");
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT));
        assert_eq!(config.region().map(|it| it.as_ref()), Some("eu-west-1"));

        let own = Duration::from_secs(9);
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder();
        let timeouts = timeouts.operation_attempt_timeout(own).build();
        let given = given.into_builder().timeout_config(timeouts).build();
        let config = Aws::new(&given).config(Some("us-east-1"));
        let timeouts = config.timeout_config().expect("timeouts");
        assert_eq!(timeouts.operation_attempt_timeout(), Some(own));
        assert_eq!(config.region().map(|it| it.as_ref()), Some("us-east-1"));
    }
}
