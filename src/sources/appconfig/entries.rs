//! What an entry can ask AppConfig for: the constructor, options, and what they come to.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::flags::{Flag, Flags};
use super::{AppConfig, Payload, Request, variants};
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::sources::{AwsEntry, Connections, Declare, Declared, Entry, Place};

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
    let asks = OneConfiguration { request, place: Place::default() };
    Entry::new(asks, |payload: &Payload| Ok(payload.0.clone()))
}

/// What an entry made by [`configuration`] asks for.
#[derive(Debug, Clone)]
pub struct OneConfiguration {
    request: Request,
    place: Place,
}

impl Entry<OneConfiguration, Bytes> {
    /// The configuration as UTF-8 text.
    pub fn text(self) -> Entry<OneConfiguration, String> {
        self.then(|bytes| decode::text(bytes).map(str::to_owned))
    }

    /// A value of type `T` from the configuration's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneConfiguration, T> {
        self.then(|bytes| variants::json(bytes))
    }

    /// One feature flag. That the configuration does not have it is a decode error.
    ///
    /// As soon as any flag of the configuration has variants, this is an error for all its flags:
    /// AppConfig then sends them in a format that only the AppConfig Agent evaluates.
    pub fn flag(self, name: impl Into<String>) -> Entry<OneConfiguration, Flag> {
        let name = name.into();
        self.then(move |bytes| variants::json::<Flags>(bytes)?.take(&name))
    }

    /// All feature flags of the configuration, none of which may have variants.
    pub fn flags(self) -> Entry<OneConfiguration, Flags> {
        self.json()
    }
}

impl AwsEntry for OneConfiguration {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Declare for OneConfiguration {
    type Source = AppConfig;

    fn declare(self, connections: &mut Connections) -> Result<Declared<AppConfig>, Error> {
        let Self { request, place } = self;
        let Request { application, environment, profile } = &request;
        let name = profile.clone();
        let is_id = |id: &String| (1..=128).contains(&id.len());
        if ![application, environment, profile].into_iter().all(is_id) {
            let message = format!(
                "application \"{application}\", environment \"{environment}\" and profile \
                 \"{profile}\" must have 1 to 128 characters each"
            );
            let error = Error::new(ErrorKind::Declaration, message);
            return Err(if name.is_empty() { error } else { error.entry_named(&Arc::from(name)) });
        }
        let source = AppConfig::at(place, connections);
        let source = source.map_err(|error| error.entry_named(&Arc::from(name.as_str())))?;
        Ok(Declared { source, request, name: Some(name) })
    }
}
