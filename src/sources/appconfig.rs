//! Configurations and feature flags of AWS AppConfig (feature `appconfig`).
//!
//! | | |
//! |---|---|
//! | operations | `appconfig:GetLatestConfiguration`, one call a refresh, shared by all entries of one configuration; `appconfig:StartConfigurationSession` before the first, and wherever a session cannot be used any more |
//! | permissions | those of the same names on the configuration |
//! | version | a digest of the content, after the label of the configuration's version if it has one |
//! | promise of the service | the deployment's: during one a session gets the old configuration or the new one |
//!
//! A session may be asked again after 15 seconds at the soonest, and is. An entry with a shorter max
//! age, and a forced refresh, start another session instead.
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

mod entries;
mod flags;
mod session;
mod variants;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_appconfigdata::Client;
use bytes::Bytes;
use futures_util::future::join_all;

use self::session::Session;
use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, Fetched, Source, Wanted};
use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::Error;

pub use entries::{OneConfiguration, configuration};
pub use flags::{Flag, Flags};

/// AppConfig at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct AppConfig {
    client: aws::Client<Client>,
    /// A session's token can be used once, so a session is here only while nothing uses it.
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

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl AppConfig {
    fn at(place: Place, connections: &mut Connections) -> Result<Arc<Self>, Error> {
        let source = |client| Self { client, sessions: Mutex::default() };
        connections.service(place, Client::new, source)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Request, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn latest(&self, client: &Client, wanted: Wanted<Request>) -> Fetch<Payload> {
        let Wanted { request, held, began } = wanted;
        // Out of the map before its token is spent: if this is dropped, nobody spends it again.
        let session = self.sessions().remove(&request);
        if let Some(session) = session.filter(|session| session.serves(held.as_ref(), began)) {
            match session.poll(client, began).await {
                Ok((None, session)) => {
                    self.sessions().insert(request, session);
                    return Ok(Fetched::unchanged());
                }
                Ok((Some(content), session)) => return Ok(self.keep(request, content, session)),
                Err(error) if session::is_over(&error) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        self.first(client, request, began).await
    }

    /// The whole configuration, from a new session.
    async fn first(&self, client: &Client, request: Request, began: Stamp) -> Fetch<Payload> {
        let session = Session::start(client, &request).await.map_err(failure)?;
        let (content, session) = session.poll(client, began).await.map_err(failure)?;
        Ok(self.keep(request, content.unwrap_or_default(), session))
    }

    fn keep(
        &self,
        request: Request,
        content: session::Content,
        session: Session,
    ) -> Fetched<Payload> {
        let version: Version = content.version();
        self.sessions().insert(request, session.holding(version.clone()));
        Fetched::current(Payload(content.bytes), Some(version))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, environment, profile } = self;
        write!(f, "appconfig:GetLatestConfiguration {application}/{environment}/{profile}")
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
