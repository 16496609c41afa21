//! Secrets of AWS Secrets Manager (feature `secrets-manager`).
//!
//! | | |
//! |---|---|
//! | operations | `secretsmanager:BatchGetSecretValue` for current values, 20 secrets a call, shared by all entries that are due at one place; `secretsmanager:GetSecretValue` for one alone, for other versions, and wherever the batch operation is denied or throttled; `secretsmanager:DescribeSecret` for [`follow_rotation`](Entry::follow_rotation) |
//! | permissions | those of the same names on the secrets (`BatchGetSecretValue` on `*`); `kms:Decrypt` for secrets under a key of yours |
//! | version | the id of the secret's version |
//! | promise of the service | eventually consistent: a fetch may be answered with what was true a moment before |
//!
//! A secret is wiped from memory when the last snapshot that holds it goes.
//!
//! A secret that does not exist is [`NotFound`](crate::ErrorKind::NotFound), one that cannot be
//! decrypted [`Denied`](crate::ErrorKind::Denied), one that is marked for deletion
//! [`Source`](crate::ErrorKind::Source). Among the causes is the SDK's `GetSecretValueError`, whether
//! the secret was asked for alone or was refused in a batch.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct Database { url: String }
//! # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_cache::Error> {
//! use lambda_cache::{Cache, sources::secrets_manager};
//!
//! let mut builder = Cache::builder(&aws);
//! let key = builder.add(secrets_manager::secret("/prod/key")); // a SecretString
//! let database = builder.add(secrets_manager::secret("/prod/db").json::<Database>());
//! let password = builder.add(secrets_manager::secret("/prod/user").field("password"));
//! let cache = builder.spawn().await?; // one call for the three
//! # Ok(()) }
//! ```

mod batch;
mod secret;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_secretsmanager::Client;
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::de::DeserializeOwned;

use self::batch::{CurrentValues, Throttle};
use self::secret::SecretVersion;
use super::aws::batcher::Batcher;
use super::aws::{self, AtPlace, Aws, AwsSource, Declaration, Place, failure};
use super::{BoxFuture, Entry, Fetch, FetchError, Source, Wanted};
use crate::decode;

pub use self::secret::{Payload, WithPrevious};

/// The stage of the value that applications use.
const CURRENT: &str = "AWSCURRENT";
/// The stage of the value before it.
const PREVIOUS: &str = "AWSPREVIOUS";

/// The current value of a secret, as a [`SecretString`], which no `Debug` prints and which is wiped
/// from memory when the last snapshot that holds it goes.
///
/// `secret` is its name or ARN. The entry's name is the last segment of the secret's name. A secret
/// that is stored as bytes is a decode error: declare it with [`binary`](Entry::binary).
pub fn secret(secret: impl Into<String>) -> Entry<OneSecret, SecretString> {
    let secret = SecretDeclaration {
        secret: secret.into(),
        id: None,
        stage: None,
        pair: Pair::Single,
        rotation: Rotation::Ignored,
    };
    aws::entry(secret, |payload| payload.text().cloned())
}

/// What an entry made by [`secret`] asks for.
pub type OneSecret = AtPlace<SecretDeclaration>;

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct SecretDeclaration {
    secret: String,
    id: Option<String>,
    stage: Option<String>,
    pair: Pair,
    rotation: Rotation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Single,
    WithPrevious,
}

impl Entry<OneSecret, SecretString> {
    /// The bytes of a secret that is stored as such, wiped from memory as text is.
    pub fn binary(self) -> Entry<OneSecret, SecretSlice<u8>> {
        self.decode_with(|payload| payload.binary().cloned())
    }

    /// The bytes of the secret, in whichever of the two forms it is stored: a text's are its UTF-8.
    pub fn bytes(self) -> Entry<OneSecret, SecretSlice<u8>> {
        self.decode_with(Payload::bytes)
    }

    /// A value of type `T` from the JSON text of the secret, or of the [`field`](Self::field) chosen
    /// before.
    ///
    /// `T` must protect what it holds: give its secret fields the type [`SecretString`].
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneSecret, T> {
        self.and_then(|text| decode::json(text.expose_secret()))
    }

    /// One field of a secret that is a JSON object: a string as it is, anything else as its JSON
    /// text. A field that is missing or null is a decode error. A second call goes one level deeper.
    pub fn field(self, name: impl Into<String>) -> Entry<OneSecret, SecretString> {
        let name = name.into();
        self.and_then(move |object| secret::field(object, &name))
    }
}

impl<T> Entry<OneSecret, T> {
    /// The version that carries this stage, not AWSCURRENT.
    pub fn version_stage(self, stage: impl Into<String>) -> Self {
        self.set(|secret| secret.stage = Some(stage.into()))
    }

    /// The version of this id, not the current one. It never changes, so it can be declared with
    /// [`never_expires`](Self::never_expires).
    pub fn version_id(self, id: impl Into<String>) -> Self {
        self.set(|secret| secret.id = Some(id.into()))
    }

    /// The current value and the one before it as one consistent value, for the overlap of a
    /// rotation, in which both may be in use. Decode first: `.json::<T>().with_previous()`.
    ///
    /// Calls `secretsmanager:GetSecretValue` twice, and a third time if the pair is new, to make sure
    /// that it is consistent; it is never part of a batch. If repeated rotations prevent a consistent
    /// pair, that is an error ([`ErrorKind::Source`](crate::ErrorKind::Source)).
    pub fn with_previous(self) -> Entry<OneSecret, WithPrevious<T>>
    where
        T: Send + 'static,
    {
        let Entry { asks, options, decode } = self.set(|secret| secret.pair = Pair::WithPrevious);
        let decode = move |payload: &Payload| {
            let previous = payload.previous().map(|previous| decode(previous)).transpose()?;
            Ok(secret::both(decode(payload)?, previous))
        };
        Entry { asks, options, decode: Arc::new(decode) }
    }

    /// Serves no value beyond the date by which its secret is to be rotated next, however long its max
    /// age is.
    ///
    /// Calls `secretsmanager:DescribeSecret` before each fetch, and needs the permission for it. The
    /// service may rotate before that date, and may fail to rotate by then. So the date only ever
    /// shortens the max age, and is ignored once it has passed: keep a max age that suits a secret
    /// which changes at any time.
    pub fn follow_rotation(self) -> Self {
        self.set(|secret| secret.rotation = Rotation::Followed)
    }
}

impl Declaration for SecretDeclaration {
    type Source = SecretsManager;

    fn default_name(&self) -> Option<String> {
        secret::last_segment(&self.secret).map(str::to_owned)
    }

    fn request(self) -> Result<Request, String> {
        let Self { secret, id, stage, pair, rotation } = self;
        if !secret::is_name_or_arn(&secret) {
            return Err(format!("\"{secret}\" is not the name or ARN of a secret"));
        }
        if [&id, &stage].into_iter().flatten().any(String::is_empty) {
            return Err(format!("secret {secret}: an empty version id or stage"));
        }
        let stage = stage.filter(|stage| id.is_some() || stage != CURRENT);
        let version = match (pair, id, stage) {
            (Pair::Single, None, None) => WhichVersion::Current,
            (Pair::Single, id, stage) => WhichVersion::Chosen { id, stage },
            (Pair::WithPrevious, None, None) => WhichVersion::CurrentAndPrevious,
            (Pair::WithPrevious, ..) => {
                return Err(format!(
                    "secret {secret}: `with_previous` asks for two stages of its own, so no \
                     version can be chosen"
                ));
            }
        };
        Ok(Request { secret, version, rotation })
    }
}

/// Secrets Manager at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct SecretsManager {
    client: aws::Client<Client>,
    batcher: Batcher<String>,
    throttle: Throttle,
}

/// What one fetch asks Secrets Manager for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// A name or an ARN.
    secret: String,
    version: WhichVersion,
    rotation: Rotation,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum WhichVersion {
    Current,
    CurrentAndPrevious,
    Chosen { id: Option<String>, stage: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rotation {
    Ignored,
    Followed,
}

impl AwsSource for SecretsManager {
    fn at(place: Place, aws: Aws) -> Self {
        Self {
            client: aws::Client::new(aws, place, Client::new),
            batcher: Batcher::default(),
            throttle: Throttle::default(),
        }
    }
}

impl Source for SecretsManager {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        let (current, other): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|request| request.version == WhichVersion::Current);
        let (culprits, current): (Vec<_>, Vec<_>) =
            current.into_iter().partition(|request| self.batcher.is_culprit(&request.secret));
        let batches = [current, culprits];
        let batches = batches.iter().flat_map(|it| it.chunks(batch::LIMIT)).map(<[_]>::to_vec);
        batches.chain(other.into_iter().map(|request| vec![request])).collect()
    }

    /// Where it costs no call of its own, for the value or for the date of its rotation.
    fn rides_along(&self, request: &Request) -> bool {
        request.version == WhichVersion::Current
            && request.rotation == Rotation::Ignored
            && !self.batcher.is_culprit(&request.secret)
            && batch::is_possible(&self.batcher, &self.throttle)
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            // Before the values: if the secret is rotated in between, the date is too early for the new
            // value, rather than too late for the old one.
            let dates = batch.iter().map(|it| it.request.rotation_date(&client));
            let dates = join_all(dates).await;
            let values = self.values(&client, &batch).await;
            let limit =
                |(value, date): (Fetch<Payload>, Result<Option<SystemTime>, FetchError>)| {
                    Ok(match date? {
                        Some(date) => value?.valid_until(date),
                        None => value?,
                    })
                };
            values.into_iter().zip(dates).map(limit).collect()
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.batcher.reset();
        self.throttle.reset();
    }
}

impl SecretsManager {
    /// The values of a batch; one with several requests asks for current values only.
    async fn values(&self, client: &Client, batch: &[Wanted<Request>]) -> Vec<Fetch<Payload>> {
        if let [Wanted { request: Request { secret, version, .. }, held, .. }] = batch {
            match version {
                WhichVersion::Current => {}
                WhichVersion::CurrentAndPrevious => {
                    return vec![secret::get_pair(client, secret, held.as_ref()).await];
                }
                WhichVersion::Chosen { id, stage } => {
                    let version = secret::get(client, secret, id.as_deref(), stage.as_deref());
                    return vec![version.await.map(SecretVersion::fetched).map_err(failure)];
                }
            }
        }
        // One secret can be in two requests: with its rotation followed, and without.
        let secrets: BTreeSet<&String> = batch.iter().map(|it| &it.request.secret).collect();
        let secrets = secrets.into_iter().cloned().collect();
        let call = CurrentValues { client, batcher: &self.batcher, throttle: &self.throttle };
        let versions = self.batcher.ask(&call, secrets).await;
        batch.iter().map(|it| Ok(versions[&it.request.secret].clone()?.fetched())).collect()
    }
}

impl Request {
    /// The date beyond which no value is served, if the entry follows the secret's rotation.
    async fn rotation_date(&self, client: &Client) -> Result<Option<SystemTime>, FetchError> {
        match self.rotation {
            Rotation::Ignored => Ok(None),
            Rotation::Followed => secret::next_rotation(client, &self.secret).await,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secretsmanager:GetSecretValue {}", self.secret)?;
        match &self.version {
            WhichVersion::Current => Ok(()),
            WhichVersion::CurrentAndPrevious => write!(f, " ({CURRENT}, {PREVIOUS})"),
            WhichVersion::Chosen { id, stage } => {
                let parts: Vec<&str> = id.iter().chain(stage).map(String::as_str).collect();
                write!(f, " ({})", parts.join(", "))
            }
        }
    }
}
