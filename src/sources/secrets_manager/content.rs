//! What a secret holds, and how it is decoded.
//!
//! Secrets are kept in `secrecy` types from the moment the SDK hands them over, so that they are
//! wiped from memory when the last holder drops them, and no `Debug` shows them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use aws_smithy_types::{Blob, DateTime};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::decode::{self, DecodeError};
use crate::entry::Version;
use crate::sources::{Fetched, Prepared};

/// One version of a secret, as the service gave it.
#[derive(Clone)]
pub(super) struct Found {
    content: Content,
    version: Option<Version>,
}

#[derive(Clone)]
enum Content {
    Text(SecretString),
    Binary(SecretSlice<u8>),
    Nothing,
}

impl Found {
    pub(super) fn new(
        id: Option<String>,
        created: Option<DateTime>,
        text: Option<String>,
        binary: Option<Blob>,
    ) -> Self {
        let created = created.and_then(|created| SystemTime::try_from(created).ok());
        let version = id.map(Version::new).map(|version| match created {
            Some(created) => version.changed_at(created),
            None => version,
        });
        let content = match (text, binary) {
            (Some(text), _) => Content::Text(SecretString::from(text)),
            (None, Some(binary)) => Content::Binary(SecretSlice::from(binary.into_inner())),
            (None, None) => Content::Nothing,
        };
        Self { content, version }
    }

    pub(super) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    pub(super) fn fetched(self) -> Fetched<Payload> {
        Fetched::current(Payload { current: self.content, previous: None }, self.version)
    }

    /// Both as one value, whose version is that of both.
    pub(super) fn fetched_with(self, previous: Option<Found>) -> Fetched<Payload> {
        let version = match (&self.version, previous.as_ref().map(Found::version)) {
            (Some(current), Some(Some(previous))) => {
                Some(Version::new(format_args!("{current}, {previous}")))
            }
            (Some(current), None) => Some(current.clone()),
            _ => None,
        };
        let previous = previous.map(|it| Payload { current: it.content, previous: None });
        let payload = Payload { current: self.content, previous: previous.map(Box::new) };
        Fetched::current(payload, version)
    }
}

/// A secret's value, and the one before it if it was asked for.
pub struct Payload {
    current: Content,
    previous: Option<Box<Payload>>,
}

impl Payload {
    pub(super) fn text(&self) -> Result<&SecretString, DecodeError> {
        match &self.current {
            Content::Text(text) => Ok(text),
            Content::Binary(_) => Err(DecodeError::new(
                "the secret is binary, not text: declare the entry with `.binary()`",
            )),
            Content::Nothing => Err(DecodeError::new("the secret has no value")),
        }
    }

    pub(super) fn binary(&self) -> Result<&SecretSlice<u8>, DecodeError> {
        match &self.current {
            Content::Binary(bytes) => Ok(bytes),
            Content::Text(_) => Err(DecodeError::new(
                "the secret is text, not binary: declare the entry without `.binary()`",
            )),
            Content::Nothing => Err(DecodeError::new("the secret has no value")),
        }
    }

    /// One field of a JSON object: a string as it is, anything else as its JSON text.
    pub(super) fn field(&self, name: &str) -> Result<SecretString, DecodeError> {
        let text = self.text()?.expose_secret();
        let fields: HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(text).map_err(|_| DecodeError::new("not a JSON object"))?;
        match fields.get(name).map(|value| value.get()) {
            None | Some("null") => {
                Err(DecodeError::new(format!("the JSON object has no field `{name}`")))
            }
            Some(quoted) if quoted.starts_with('"') => {
                let text: Zeroizing<String> = decode::json::<String>(quoted)?.into();
                Ok(SecretString::from(text.as_str()))
            }
            Some(text) => Ok(SecretString::from(text)),
        }
    }

    pub(super) fn previous(&self) -> Option<&Payload> {
        self.previous.as_deref()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").finish_non_exhaustive()
    }
}

/// A secret's current value and the one before it, of one state of its rotation.
///
/// While a rotation is going on both may be in use: accept either, and write with the current one.
#[derive(Debug, Clone)]
pub struct WithPrevious<T> {
    /// The value of stage AWSCURRENT.
    pub current: T,
    /// The value of stage AWSPREVIOUS, if the secret has been rotated before.
    pub previous: Option<T>,
}

/// Both values, once both are there.
pub(super) fn both<T: Send + 'static>(
    current: Prepared<T>,
    previous: Option<Prepared<T>>,
) -> Prepared<WithPrevious<T>> {
    match (current, previous) {
        (Prepared::Ready(current), None) => {
            Prepared::Ready(WithPrevious { current, previous: None })
        }
        (Prepared::Ready(current), Some(Prepared::Ready(previous))) => {
            Prepared::Ready(WithPrevious { current, previous: Some(previous) })
        }
        (current, previous) => Prepared::Deriving(Box::pin(async move {
            let current = current.finish().await?;
            let previous = match previous {
                Some(previous) => Some(previous.finish().await?),
                None => None,
            };
            Ok(WithPrevious { current, previous })
        })),
    }
}
