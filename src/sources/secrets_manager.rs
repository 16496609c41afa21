//! Secrets of AWS Secrets Manager (feature `secrets-manager`).
//!
//! | | |
//! |---|---|
//! | operations | `secretsmanager:BatchGetSecretValue` for current values, 20 secrets a call, shared by all entries that are due at one place; `secretsmanager:GetSecretValue` for one alone, for other versions, and wherever the batch operation is denied or throttled; `secretsmanager:DescribeSecret` for [`follow_rotation`](super::Entry::follow_rotation) |
//! | permissions | those of the same names on the secrets (`BatchGetSecretValue` on `*`); `kms:Decrypt` for secrets under a key of yours |
//! | version | the id of the secret's version |
//! | promise of the service | eventually consistent: "fresh" is at best as fresh as its answer |
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
mod batching;
mod content;
mod entries;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use futures_util::future::join_all;

use self::batch::CurrentValues;
use self::batching::Batching;
use self::content::Found;
use super::aws::culprits::Culprits;
use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, FetchError, Source, Wanted};
use crate::entry::Version;
use crate::error::{Error, ErrorKind};

pub use content::{Payload, WithPrevious};
pub use entries::{OneSecret, secret};

/// The stage of the value that applications use.
const CURRENT: &str = "AWSCURRENT";
/// The stage of the value before it.
const PREVIOUS: &str = "AWSPREVIOUS";
/// How often a pair is asked for that a rotation takes apart.
const ATTEMPTS: usize = 3;

/// Secrets Manager at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct SecretsManager {
    client: aws::Client<Client>,
    batching: Batching,
    /// The secrets for which it refuses a whole batch.
    culprits: Culprits<String>,
}

/// What one fetch asks Secrets Manager for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// A name or an ARN.
    secret: String,
    which: Which,
    rotation: Rotation,
}

/// Which value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Which {
    Current,
    CurrentAndPrevious,
    Version { id: Option<String>, stage: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rotation {
    Ignored,
    Followed,
}

impl SecretsManager {
    fn at(place: Place, connections: &mut Connections) -> Result<Arc<Self>, Error> {
        let source =
            |client| Self { client, batching: Batching::default(), culprits: Culprits::default() };
        connections.service(place, Client::new, source)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secretsmanager:GetSecretValue {}", self.secret)?;
        match &self.which {
            Which::Current => Ok(()),
            Which::CurrentAndPrevious => write!(f, " ({CURRENT}, {PREVIOUS})"),
            Which::Version { id, stage } => {
                let parts: Vec<&str> = id.iter().chain(stage).map(String::as_str).collect();
                write!(f, " ({})", parts.join(", "))
            }
        }
    }
}

impl Source for SecretsManager {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        let (current, other): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|request| request.which == Which::Current);
        let (refused, current): (Vec<_>, Vec<_>) =
            current.into_iter().partition(|request| self.culprits.contains(&request.secret));
        let batches = [current, refused];
        let batches = batches.iter().flat_map(|it| it.chunks(batch::LIMIT)).map(<[_]>::to_vec);
        batches.chain(other.into_iter().map(|request| vec![request])).collect()
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            // Before the values: of a rotation in between, the date then says too early an end for
            // the new value, not the next rotation's for the old one.
            let ends = join_all(batch.iter().map(|it| next_rotation(&client, &it.request))).await;
            let found = self.values(&client, &batch).await;
            let valid = |(found, end): (Fetch<Payload>, Result<Option<SystemTime>, FetchError>)| {
                Ok(match end? {
                    Some(end) => found?.valid_until(end),
                    None => found?,
                })
            };
            found.into_iter().zip(ends).map(valid).collect()
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.batching.reset();
        self.culprits.reset();
    }
}

impl SecretsManager {
    /// The values of a batch, which is of several requests only if all want what is current.
    async fn values(&self, client: &Client, batch: &[Wanted<Request>]) -> Vec<Fetch<Payload>> {
        if let [Wanted { request: Request { secret, which, .. }, held, .. }] = batch {
            match which {
                Which::Current => {}
                Which::CurrentAndPrevious => {
                    return vec![pair(client, secret, held.as_ref()).await];
                }
                Which::Version { id, stage } => {
                    let found = one(client, secret, id.as_deref(), stage.as_deref()).await;
                    return vec![found.map(Found::fetched).map_err(failure)];
                }
            }
        }
        // With and without its rotation followed, one secret is asked for twice.
        let secrets: BTreeSet<&String> = batch.iter().map(|it| &it.request.secret).collect();
        let secrets = secrets.into_iter().cloned().collect();
        let call = CurrentValues { client, batching: &self.batching };
        let found = self.culprits.ask(&call, secrets).await;
        batch.iter().map(|it| Ok(found[&it.request.secret].clone()?.fetched())).collect()
    }
}

/// The current and the previous value, of one state of the secret's rotation: what is current must be
/// so before and after the previous value is asked for, and must not be that value. A pair that is
/// held already has been found to be one.
async fn pair(client: &Client, secret: &str, held: Option<&Version>) -> Fetch<Payload> {
    let current = async || one(client, secret, None, None).await.map_err(failure);
    let mut before = current().await?;
    for _ in 0..ATTEMPTS {
        let previous = match one(client, secret, None, Some(PREVIOUS)).await {
            Ok(previous) => Some(previous),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(failure(error)),
        };
        let version = before.version_with(previous.as_ref());
        if version.is_some() && version.as_ref() == held {
            return Ok(before.fetched_with(previous));
        }
        let after = current().await?;
        let moved = previous.as_ref().is_some_and(|it| it.version() == before.version());
        if !moved && after.version() == before.version() {
            return Ok(before.fetched_with(previous));
        }
        before = after;
    }
    let cause = format!("it was rotated between two calls, {ATTEMPTS} times over");
    Err(FetchError::new(ErrorKind::Source, cause))
}

async fn one(
    client: &Client,
    secret: &str,
    id: Option<&str>,
    stage: Option<&str>,
) -> Result<Found, SdkError<GetSecretValueError>> {
    let call = client.get_secret_value().secret_id(secret);
    let call = call.set_version_id(id.map(str::to_owned));
    let answer = call.set_version_stage(stage.map(str::to_owned)).send().await?;
    Ok(Found::new(answer.version_id, answer.secret_string, answer.secret_binary))
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

/// When the secret is rotated next, if that is asked for and known.
async fn next_rotation(
    client: &Client,
    request: &Request,
) -> Result<Option<SystemTime>, FetchError> {
    if request.rotation == Rotation::Ignored {
        return Ok(None);
    }
    let described = client.describe_secret().secret_id(&request.secret).send().await;
    let refused = |error| failure(error).of("secretsmanager:DescribeSecret");
    let described = described.map_err(refused)?;
    let enabled = described.rotation_enabled.unwrap_or_default();
    Ok(described.next_rotation_date.filter(|_| enabled).and_then(|date| date.try_into().ok()))
}
