//! Configurations and feature flags of AWS AppConfig (feature `appconfig`).
//!
//! | | |
//! |---|---|
//! | operations | `appconfig:GetLatestConfiguration`, one call a refresh, shared by all entries of one configuration; `appconfig:StartConfigurationSession` before the first, and whenever a session can no longer be used |
//! | permissions | those of the same names on the configuration |
//! | version | a digest of the content, after the label of the configuration's version if it has one |
//! | promise of the service | the deployment's: during one a session gets the old configuration or the new one |
//!
//! A session may be asked again after 15 seconds at the earliest. An entry with a shorter max age, and
//! a forced refresh, start another session instead.
//!
//! Flags with variants cannot be read: AppConfig sends a configuration that has any as Amazon Ion,
//! with rules that only the AppConfig Agent evaluates. The error says so.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct Settings { limit: u32 }
//! # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_cache::Error> {
//! use lambda_cache::{Cache, sources::appconfig};
//!
//! let mut builder = Cache::builder(&aws);
//! let settings = appconfig::configuration("shop", "production", "settings");
//! let settings = builder.add(settings.json::<Settings>());
//! let checkout = appconfig::configuration("shop", "production", "features").flag("checkout");
//! let checkout = builder.add(checkout);
//! let cache = builder.spawn().await?;
//! if cache.snapshot().await.get(checkout)?.is_enabled() { /* ... */ }
//! # Ok(()) }
//! ```

mod flags;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_appconfigdata::Client;
use aws_sdk_appconfigdata::error::SdkError;
use aws_sdk_appconfigdata::operation::get_latest_configuration::GetLatestConfigurationError;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::aws::{self, AtPlace, Aws, AwsSource, Declaration, Place, failure};
use super::{BoxFuture, Entry, Fetch, Fetched, Source, Wanted};
use crate::clock::Stamp;
use crate::decode;
use crate::entry::Version;
use crate::freshness::Bounds;

pub use self::flags::{Flag, Flags};

/// The shortest interval between two calls that the service agrees to, in seconds.
const INTERVAL: i32 = 15;

/// The latest deployed configuration of a profile, as [`Bytes`].
///
/// Application, environment and profile are names or ids. The entry's name is the profile.
pub fn configuration(
    application: impl Into<String>,
    environment: impl Into<String>,
    profile: impl Into<String>,
) -> Entry<OneConfiguration, Bytes> {
    let request = Request {
        application: application.into(),
        environment: environment.into(),
        profile: profile.into(),
    };
    aws::entry(request, |payload| Ok(payload.0.clone()))
}

/// What an entry made by [`configuration`] asks for.
pub type OneConfiguration = AtPlace<Request>;

impl Entry<OneConfiguration, Bytes> {
    /// The configuration as UTF-8 text.
    pub fn text(self) -> Entry<OneConfiguration, String> {
        self.and_then(|bytes| decode::text(bytes).map(str::to_owned))
    }

    /// A value of type `T` from the configuration's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneConfiguration, T> {
        self.and_then(|bytes| flags::json(bytes))
    }

    /// One feature flag. If the configuration does not have it, that is a decode error.
    ///
    /// As soon as any flag of the configuration has variants, this is an error for all its flags:
    /// AppConfig then sends them in a format that only the AppConfig Agent evaluates.
    pub fn flag(self, name: impl Into<String>) -> Entry<OneConfiguration, Flag> {
        let name = name.into();
        self.and_then(move |bytes| flags::json::<Flags>(bytes)?.take(&name))
    }

    /// All feature flags of the configuration. They must not have variants.
    pub fn flags(self) -> Entry<OneConfiguration, Flags> {
        self.json()
    }
}

impl Declaration for Request {
    type Source = AppConfig;

    fn default_name(&self) -> Option<String> {
        (!self.profile.is_empty()).then(|| self.profile.clone())
    }

    fn request(self) -> Result<Self, String> {
        let Self { application, environment, profile } = &self;
        if [application, environment, profile].iter().all(|id| (1..=128).contains(&id.len())) {
            return Ok(self);
        }
        Err(format!(
            "application \"{application}\", environment \"{environment}\" and profile \
             \"{profile}\" must have 1 to 128 characters each"
        ))
    }
}

/// AppConfig at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct AppConfig {
    client: aws::Client<Client>,
    /// The sessions that no fetch is using: a token can be used only once.
    sessions: Mutex<HashMap<Request, Session>>,
}

/// What one fetch asks AppConfig for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    application: String,
    environment: String,
    profile: String,
}

/// A configuration's content.
pub struct Payload(Bytes);

/// A chain of tokens, each good for one call.
#[derive(Debug, Clone)]
struct Session {
    /// `None` if the service gave no further one.
    token: Option<String>,
    /// Within this the service must not be asked again.
    interval: Bounds,
    /// The version of its last answer. While that is the newest, answers are empty.
    version: Option<Version>,
}

/// A configuration, as the service gives it.
#[derive(Default)]
struct Content {
    bytes: Bytes,
    label: Option<String>,
}

impl AwsSource for AppConfig {
    fn at(place: Place, aws: Aws) -> Self {
        let client = aws::Client::new(aws, place, Client::new);
        Self { client, sessions: Mutex::default() }
    }
}

impl Source for AppConfig {
    type Request = Request;
    type Payload = Payload;

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            join_all(batch.into_iter().map(|wanted| self.latest(&client, wanted))).await
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.sessions().clear();
    }
}

impl AppConfig {
    async fn latest(&self, client: &Client, wanted: Wanted<Request>) -> Fetch<Payload> {
        let Wanted { request, held, began } = wanted;
        // Removed before its token is used, so that no other fetch uses it if this one is dropped.
        let session = self.sessions().remove(&request);
        if let Some(session) = session.filter(|session| session.serves(held.as_ref(), began)) {
            match session.poll(client, began).await {
                Ok((None, session)) => {
                    self.sessions().insert(request, session);
                    return Ok(Fetched::unchanged());
                }
                Ok((Some(content), session)) => return Ok(self.keep(request, content, session)),
                Err(error) if is_over(&error) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        self.first(client, request, began).await
    }

    /// The whole configuration, from a new session.
    async fn first(&self, client: &Client, request: Request, began: Stamp) -> Fetch<Payload> {
        let started = client
            .start_configuration_session()
            .application_identifier(&request.application)
            .environment_identifier(&request.environment)
            .configuration_profile_identifier(&request.profile)
            .required_minimum_poll_interval_in_seconds(INTERVAL);
        let started = started.send().await.map_err(failure)?;
        let token = started.initial_configuration_token;
        let session = Session { token, interval: Bounds::NEVER, version: None };
        let (content, session) = session.poll(client, began).await.map_err(failure)?;
        Ok(self.keep(request, content.unwrap_or_default(), session))
    }

    fn keep(&self, request: Request, content: Content, session: Session) -> Fetched<Payload> {
        let version = content.version();
        self.sessions().insert(request, Session { version: Some(version.clone()), ..session });
        Fetched::current(Payload(content.bytes), Some(version))
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Request, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Whether it can answer a fetch that holds this version, now.
    fn serves(&self, held: Option<&Version>, now: Stamp) -> bool {
        self.token.is_some()
            && held.is_some()
            && held == self.version.as_ref()
            && !self.interval.admits(now)
    }

    /// The content, if it is new, and the session for the next call.
    async fn poll(
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
}

/// Whether the session was refused rather than the request: its token was used, has expired after a
/// day, or came too early.
fn is_over(error: &SdkError<GetLatestConfigurationError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(GetLatestConfigurationError::is_bad_request_exception)
}

impl Content {
    fn version(&self) -> Version {
        let digest = aws::short_digest(&Sha256::digest(&self.bytes));
        match &self.label {
            Some(label) => Version::new(format_args!("{label} {digest}")),
            None => Version::new(digest),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, environment, profile } = self;
        write!(f, "appconfig:GetLatestConfiguration {application}/{environment}/{profile}")
    }
}

/// Without the content.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}
