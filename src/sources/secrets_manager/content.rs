//! What a secret holds, and how it is decoded.
//!
//! Secrets are kept in `secrecy` types from the moment the SDK hands them over, so that they are
//! wiped from memory when the last holder drops them, and no `Debug` shows them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use aws_smithy_types::Blob;
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
    /// The id alone is its version: it is never given to another content, while the dates that come
    /// with it are not the same in all answers.
    pub(super) fn new(id: Option<String>, text: Option<String>, binary: Option<Blob>) -> Self {
        let content = match (text, binary) {
            (Some(text), _) => Content::Text(SecretString::from(text)),
            (None, Some(binary)) => Content::Binary(SecretSlice::from(binary.into_inner())),
            (None, None) => Content::Nothing,
        };
        Self { content, version: id.map(Version::new) }
    }

    pub(super) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    pub(super) fn fetched(self) -> Fetched<Payload> {
        Fetched::current(Payload { current: self.content, previous: None }, self.version)
    }

    /// The version of both.
    pub(super) fn version_with(&self, previous: Option<&Found>) -> Option<Version> {
        let current = self.version.as_ref()?;
        match previous {
            Some(previous) => {
                Some(Version::new(format_args!("{current}, {}", previous.version.as_ref()?)))
            }
            None => Some(current.clone()),
        }
    }

    /// Both as one value.
    pub(super) fn fetched_with(self, previous: Option<Found>) -> Fetched<Payload> {
        let version = self.version_with(previous.as_ref());
        let previous = previous.map(|it| Box::new(Payload { current: it.content, previous: None }));
        Fetched::current(Payload { current: self.content, previous }, version)
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

    pub(super) fn bytes(&self) -> Result<SecretSlice<u8>, DecodeError> {
        match &self.current {
            Content::Binary(bytes) => Ok(bytes.clone()),
            _ => self.text().map(|text| text.expose_secret().as_bytes().to_vec().into()),
        }
    }

    pub(super) fn previous(&self) -> Option<&Payload> {
        self.previous.as_deref()
    }
}

/// One field of a JSON object: a string as it is, anything else as its JSON text.
pub(super) fn field(object: &SecretString, name: &str) -> Result<SecretString, DecodeError> {
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(object.expose_secret())
        .map_err(|_| DecodeError::new(format!("no JSON object, so there is no field `{name}`")))?;
    match fields.get(name).map(|value| value.get()) {
        None | Some("null") => {
            Err(DecodeError::new(format!("the JSON object has no field `{name}`, or it is null")))
        }
        Some(quoted) if quoted.starts_with('"') => {
            let text: Zeroizing<String> = decode::json::<String>(quoted)?.into();
            Ok(SecretString::from(text.as_str()))
        }
        Some(text) => Ok(SecretString::from(text)),
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
