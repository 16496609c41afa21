//! A session: a chain of tokens, each of which is good for one question.

use std::time::Duration;

use aws_sdk_appconfigdata::Client;
use aws_sdk_appconfigdata::error::SdkError;
use aws_sdk_appconfigdata::operation::get_latest_configuration::GetLatestConfigurationError;
use aws_sdk_appconfigdata::operation::start_configuration_session::StartConfigurationSessionError;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Request;
use crate::clock::Stamp;
use crate::entry::Version;
use crate::freshness::Bounds;
use crate::sources::digest;

/// The shortest interval that the service agrees to, in seconds.
const INTERVAL: i32 = 15;

/// A session that is not being used.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// `None` if the service gave no further one.
    token: Option<String>,
    /// Within this the service does not want to be asked again.
    interval: Bounds,
    /// What it gave last: it says nothing as long as that is the newest.
    version: Option<Version>,
}

/// A configuration, as the service gives it.
#[derive(Default)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    label: Option<String>,
}

impl Session {
    pub(super) async fn start(
        client: &Client,
        request: &Request,
    ) -> Result<Self, SdkError<StartConfigurationSessionError>> {
        let started = client
            .start_configuration_session()
            .application_identifier(&request.application)
            .environment_identifier(&request.environment)
            .configuration_profile_identifier(&request.profile)
            .required_minimum_poll_interval_in_seconds(INTERVAL)
            .send()
            .await?;
        Ok(Self {
            token: started.initial_configuration_token,
            interval: Bounds::NEVER,
            version: None,
        })
    }

    /// Whether this can answer one that holds `held`, now.
    pub(super) fn serves(&self, held: Option<&Version>, now: Stamp) -> bool {
        self.token.is_some()
            && held.is_some()
            && held == self.version.as_ref()
            && !self.interval.admits(now)
    }

    /// What is new, if anything is, and the session after that.
    pub(super) async fn poll(
        self,
        client: &Client,
        now: Stamp,
    ) -> Result<(Option<Content>, Self), SdkError<GetLatestConfigurationError>> {
        let call = client.get_latest_configuration().set_configuration_token(self.token);
        let answer = call.send().await?;
        let interval = answer.next_poll_interval_in_seconds.try_into().unwrap_or_default();
        let bytes = answer.configuration.map(|blob| Bytes::from(blob.into_inner()));
        let content = bytes
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| Content { bytes, label: answer.version_label });
        let session = Self {
            token: answer.next_poll_configuration_token,
            interval: Bounds::of(now, Duration::from_secs(interval)),
            version: self.version,
        };
        Ok((content, session))
    }

    pub(super) fn holding(self, version: Version) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl Content {
    pub(super) fn version(&self) -> Version {
        let digest = digest::short(Sha256::new_with_prefix(&self.bytes));
        match &self.label {
            Some(label) => Version::new(format_args!("{label} {digest}")),
            None => Version::new(digest),
        }
    }
}

/// Whether a session was refused rather than the request: its token was used, has expired after a
/// day, or came too early.
pub(super) fn is_over(error: &SdkError<GetLatestConfigurationError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(GetLatestConfigurationError::is_bad_request_exception)
}
