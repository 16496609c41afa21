//! Objects of S3, in memory or as files (feature `s3`).
//!
//! | | |
//! |---|---|
//! | operations | `s3:GetObject`, one call an object; after the first with `If-None-Match`, so that an object that has not changed costs a 304 and no body |
//! | permissions | `s3:GetObject` on the object (`s3:GetObjectVersion` for a version id); `kms:Decrypt` for objects under a key of yours. Without `s3:ListBucket` on the bucket an object that does not exist is refused (403), not missing |
//! | version | the ETag |
//! | promise of the service | strongly consistent |
//!
//! The body of a large object may take longer than the operation timeout, 5 seconds by default: raise
//! [`Builder::operation_timeout`](crate::Builder::operation_timeout), and mind that a fetch which is
//! longer than handler and hold limit together is not made ahead of need.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct Settings { limit: u32 }
//! # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_cache::Error> {
//! use lambda_cache::{Cache, sources::s3};
//!
//! let mut builder = Cache::builder(&aws);
//! let settings = builder.add(s3::object("s3://conf/app.json").json::<Settings>());
//! let model = builder.add(s3::object("s3://models/v1.bin").to_file("/tmp/model.bin"));
//! let cache = builder.spawn().await?;
//! # Ok(()) }
//! ```

mod body;
mod entries;
mod uri;

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;

use self::uri::Location;
use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, FetchError, Fetched, Source, Wanted};
use crate::entry::Version;
use crate::error::{Error, ErrorKind};

pub use entries::{OneObject, object};

/// S3 at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct S3 {
    client: aws::Client<Client>,
}

/// What one fetch asks S3 for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    location: Location,
    version_id: Option<String>,
    most_bytes: Option<u64>,
    target: Target,
}

/// Where an object is put.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    Memory,
    File(PathBuf),
}

/// An object as it was put.
pub enum Payload {
    /// Its bytes.
    Memory(Bytes),
    /// The file that holds it.
    File(PathBuf),
}

/// How much and never what.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl S3 {
    fn at(place: Place, connections: &mut Connections) -> Result<Arc<Self>, Error> {
        connections.service(place, Client::new, |client| Self { client })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3:GetObject {}", self.location)?;
        match &self.version_id {
            Some(id) => write!(f, " (version {id})"),
            None => Ok(()),
        }
    }
}

impl Source for S3 {
    type Request = Request;
    type Payload = Payload;

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            let mut fetched = Vec::with_capacity(batch.len());
            for wanted in batch {
                fetched.push(get(&client, wanted).await);
            }
            fetched
        })
    }

    fn reset(&self) {
        self.client.reset();
    }
}

async fn get(client: &Client, wanted: Wanted<Request>) -> Fetch<Payload> {
    let Request { location, version_id, most_bytes, target } = wanted.request;
    // A file that has gone has to come again, whether or not the object has changed.
    let held = wanted.held.filter(|_| match &target {
        Target::Memory => true,
        Target::File(path) => path.is_file(),
    });
    let call = client
        .get_object()
        .bucket(location.bucket())
        .key(location.key())
        .set_version_id(version_id)
        .set_if_none_match(held.map(|version| version.as_str().to_owned()))
        .checksum_mode(ChecksumMode::Enabled);
    let object = match call.send().await {
        Ok(object) => object,
        Err(error) if is_not_modified(&error) => return Ok(Fetched::unchanged()),
        Err(error) => return Err(refused(error)),
    };
    let version = object.e_tag.as_ref().map(Version::new);
    let body = body::Body::new(object.body, object.content_length, most_bytes)?;
    let payload = match target {
        Target::Memory => Payload::Memory(body.collect().await?),
        Target::File(path) => {
            body.write(&path).await?;
            Payload::File(path)
        }
    };
    Ok(Fetched::current(payload, version))
}

/// The SDK takes everything but a success for an error.
fn is_not_modified(error: &SdkError<GetObjectError>) -> bool {
    error.raw_response().is_some_and(|response| response.status().as_u16() == 304)
}

fn refused(error: SdkError<GetObjectError>) -> FetchError {
    match error.code() {
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed") => {
            FetchError::new(ErrorKind::Source, Elsewhere(error))
        }
        _ => failure(error),
    }
}

/// A bucket that is not in the region it was looked for in.
#[derive(Debug)]
struct Elsewhere(SdkError<GetObjectError>);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bucket is in another region: name it with `.region(..)`")
    }
}

impl StdError for Elsewhere {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}
