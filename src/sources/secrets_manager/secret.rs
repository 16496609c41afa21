//! A secret: its name, how its versions are fetched, and how they are decoded.
//!
//! Secrets are kept in `secrecy` types from the moment the SDK hands them over, so that they are
//! wiped from memory when the last holder drops them, and no `Debug` shows them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_types::Blob;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::PREVIOUS;
use crate::decode::{self, DecodeError};
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::aws::{arn_parts, consists_of, failure};
use crate::sources::{Fetch, FetchError, Fetched, Prepared};

/// How many attempts a consistent pair may take while the secret is being rotated.
const ATTEMPTS: usize = 3;

/// Whether this is a secret's name, of letters, digits and `/_+=.@-`, or its ARN.
pub(super) fn is_name_or_arn(secret: &str) -> bool {
    let name = match arn_parts(secret) {
        Some([_, "secretsmanager", _, _, resource]) => resource.strip_prefix("secret:"),
        _ => Some(secret),
    };
    name.is_some_and(|name| (1..=512).contains(&name.len()) && consists_of(name, "/_+=.@-"))
}

/// The last segment of the secret's name; of an ARN without the six characters that it ends in.
pub(super) fn last_segment(secret: &str) -> Option<&str> {
    let name = secret.rsplit([':', '/']).next()?;
    let name = match name.rsplit_once('-') {
        Some((name, suffix)) if secret.starts_with("arn:") && suffix.len() == 6 => name,
        _ => name,
    };
    (!name.is_empty()).then_some(name)
}

/// One version of a secret.
#[derive(Clone)]
pub(super) struct SecretVersion {
    content: Content,
    id: Option<Version>,
}

#[derive(Clone)]
enum Content {
    Text(SecretString),
    Binary(SecretSlice<u8>),
    Nothing,
}

pub(super) async fn get_current(
    client: &Client,
    secret: &str,
) -> Result<SecretVersion, SdkError<GetSecretValueError>> {
    get(client, secret, None, None).await
}

/// One version, by id or stage; the current one without either.
pub(super) async fn get(
    client: &Client,
    secret: &str,
    id: Option<&str>,
    stage: Option<&str>,
) -> Result<SecretVersion, SdkError<GetSecretValueError>> {
    let call = client.get_secret_value().secret_id(secret);
    let call = call.set_version_id(id.map(str::to_owned));
    let answer = call.set_version_stage(stage.map(str::to_owned)).send().await?;
    Ok(SecretVersion::new(answer.version_id, answer.secret_string, answer.secret_binary))
}

/// The current version and the one before it, consistent with each other: the same version is current
/// before and after the call for the previous one, which is another. A pair that is `held` already was
/// found to be consistent.
pub(super) async fn get_pair(
    client: &Client,
    secret: &str,
    held: Option<&Version>,
) -> Fetch<Payload> {
    let mut current = get_current(client, secret).await.map_err(failure)?;
    for _ in 0..ATTEMPTS {
        let previous = match get(client, secret, None, Some(PREVIOUS)).await {
            Ok(previous) => Some(previous),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(failure(error)),
        };
        let pair = current.id_with(previous.as_ref());
        if pair.is_some() && pair.as_ref() == held {
            return Ok(current.fetched_with(previous));
        }
        let after = get_current(client, secret).await.map_err(failure)?;
        let has_moved = previous.as_ref().is_some_and(|it| it.id == current.id);
        if !has_moved && after.id == current.id {
            return Ok(current.fetched_with(previous));
        }
        current = after;
    }
    let cause = format!("it was rotated between two calls, {ATTEMPTS} times over");
    Err(FetchError::new(ErrorKind::Source, cause).lasting())
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

/// The date of the next rotation, if the service knows one.
pub(super) async fn next_rotation(
    client: &Client,
    secret: &str,
) -> Result<Option<SystemTime>, FetchError> {
    let described = client.describe_secret().secret_id(secret).send().await;
    let described = described
        .map_err(|error| failure(error).context("secretsmanager:DescribeSecret failed"))?;
    let is_enabled = described.rotation_enabled.unwrap_or_default();
    Ok(described.next_rotation_date.filter(|_| is_enabled).and_then(|date| date.try_into().ok()))
}

impl SecretVersion {
    /// The id alone is its version: no two contents have the same id, while the dates that come with it
    /// are not the same in all answers.
    pub(super) fn new(id: Option<String>, text: Option<String>, binary: Option<Blob>) -> Self {
        let content = match (text, binary) {
            (Some(text), _) => Content::Text(SecretString::from(text)),
            (None, Some(binary)) => Content::Binary(SecretSlice::from(binary.into_inner())),
            (None, None) => Content::Nothing,
        };
        Self { content, id: id.map(Version::new) }
    }

    pub(super) fn fetched(self) -> Fetched<Payload> {
        self.fetched_with(None)
    }

    /// Both versions as one answer.
    fn fetched_with(self, previous: Option<Self>) -> Fetched<Payload> {
        let version = self.id_with(previous.as_ref());
        let previous = previous.map(|it| Box::new(Payload { current: it.content, previous: None }));
        Fetched::current(Payload { current: self.content, previous }, version)
    }

    pub(super) fn id_with(&self, previous: Option<&Self>) -> Option<Version> {
        let id = self.id.as_ref()?;
        match previous {
            Some(previous) => Some(Version::new(format_args!("{id}, {}", previous.id.as_ref()?))),
            None => Some(id.clone()),
        }
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
        .map_err(|_| {
            DecodeError::new(format!("not a JSON object, so there is no field `{name}`"))
        })?;
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

/// A secret's current value and the one before it, consistent with each other.
///
/// During a rotation both may be in use: accept either, and write with the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithPrevious<T> {
    /// The value of stage AWSCURRENT.
    pub current: T,
    /// The value of stage AWSPREVIOUS, if the secret has been rotated before.
    pub previous: Option<T>,
}

/// Both values, when both have been derived.
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

#[cfg(test)]
#[path = "../../../tests/parsers/secret.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_after_the_last_segment_of_the_secrets_name() {
        assert_eq!(last_segment("db"), Some("db"));
        assert_eq!(last_segment("/prod/db"), Some("db"));
        assert_eq!(last_segment("prod/db-main"), Some("db-main"));
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-main-AbC123";
        assert_eq!(last_segment(arn), Some("db-main"));
        assert_eq!(last_segment("prod/"), None);
    }

    #[test]
    fn a_secret_has_a_name_or_an_arn() {
        for right in
            ["db", "/prod/db", "a+b=c.d@e-f_g", "arn:aws:secretsmanager:r:1:secret:prod/db-AbC123"]
        {
            assert!(is_name_or_arn(right), "{right}");
        }
        for wrong in ["", "a b", "a:b", "arn:aws:ssm:r:1:parameter/x", "arn:aws:secretsmanager"] {
            assert!(!is_name_or_arn(wrong), "{wrong}");
        }
    }
}
