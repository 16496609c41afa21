//! Objects of S3, in memory or as files (feature `s3`).
//!
//! | | |
//! |---|---|
//! | operations | `s3:GetObject`, one call an object; after the first with `If-None-Match`, so that an object that has not changed costs a 304 and no body |
//! | permissions | `s3:GetObject` on the object, `s3:GetObjectVersion` for a version id; `kms:Decrypt` for objects under a key of yours; `s3:ListBucket` on the bucket, or an object that does not exist is refused (403, [`ErrorKind::Denied`]) rather than missing (404, [`ErrorKind::NotFound`]) |
//! | version | the ETag |
//! | promise of the service | strongly consistent |
//!
//! An object is decoded, or put into its file, only when it is whole: as long as the answer said, and
//! of the checksum that came with it, if one did. (The checksum of an upload in parts that is made of
//! the parts' checksums cannot be verified.)
//!
//! An attempt has 1.5 seconds until the head of the answer is there, unless the configuration has an
//! attempt timeout of its own; the SDK makes up to three. The body has what is left of the operation
//! timeout, which is 5 seconds by default, and at init of the init deadline, 8 seconds. Raise
//! [`Builder::operation_timeout`](crate::Builder::operation_timeout) and
//! [`Builder::init_deadline`](crate::Builder::init_deadline) for large objects (at 10 MB a second, 100
//! MB take 10 seconds), or make their entries [`lazy`](crate::sources::Entry::lazy). A connection on which nothing
//! moves is given up sooner: see the configuration's stalled-stream protection. Mind that a fetch which
//! takes longer than handler and hold limit together is not made ahead of need.
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
mod claims;
mod entries;
mod file;
mod uri;

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;
use futures_util::future::join_all;

use self::body::Body;
use self::file::TargetFile;
use self::uri::Location;
use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, FetchError, Fetched, Source, Wanted};
use crate::entry::Version;
use crate::error::{Error, ErrorKind};

pub(crate) use claims::Claims;
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
    File(Arc<TargetFile>),
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
        Box::pin(
            async move { join_all(batch.into_iter().map(|wanted| get(&client, wanted))).await },
        )
    }

    fn reset(&self) {
        self.client.reset();
    }
}

async fn get(client: &Client, wanted: Wanted<Request>) -> Fetch<Payload> {
    let Wanted { request, held, .. } = wanted;
    match &request.target {
        Target::Memory => {
            let Some(object) = ask(client, &request, held).await? else {
                return Ok(Fetched::unchanged());
            };
            let (body, version) = opened(object, &request)?;
            Ok(Fetched::current(Payload::Memory(body.collect().await?), version))
        }
        Target::File(file) => {
            // What counts is what the file holds: it may have gone, or be newer than what is held.
            let (turn, payload) = (file.begin(), Payload::File(file.path().to_owned()));
            let there = turn.held().await;
            let Some(object) = ask(client, &request, there.clone()).await? else {
                return Ok(Fetched::current(payload, there));
            };
            let (body, version) = opened(object, &request)?;
            turn.write(body, version.as_ref()).await?;
            Ok(Fetched::current(payload, version))
        }
    }
}

/// The object, unless it still is of this version.
async fn ask(
    client: &Client,
    request: &Request,
    unless: Option<Version>,
) -> Result<Option<GetObjectOutput>, FetchError> {
    let call = client
        .get_object()
        .bucket(request.location.bucket())
        .key(request.location.key())
        .set_version_id(request.version_id.clone())
        .set_if_none_match(unless.map(|version| version.as_str().to_owned()))
        .checksum_mode(ChecksumMode::Enabled);
    match call.send().await {
        Ok(object) => Ok(Some(object)),
        Err(error) if status(&error) == Some(304) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn opened(
    object: GetObjectOutput,
    request: &Request,
) -> Result<(Body, Option<Version>), FetchError> {
    let body = Body::new(object.body, object.content_length, request.most_bytes)?;
    Ok((body, object.e_tag.map(Version::new)))
}

/// The SDK takes everything but a success for an error.
fn status(error: &SdkError<GetObjectError>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn refused(error: SdkError<GetObjectError>) -> FetchError {
    if is_elsewhere(&error) {
        return FetchError::new(ErrorKind::Source, Elsewhere(error));
    }
    match status(&error) {
        // Whatever its code: S3 says 503 to those who ask too much.
        Some(503) => FetchError::new(ErrorKind::Throttled, error),
        _ => failure(error),
    }
}

fn is_elsewhere(error: &SdkError<GetObjectError>) -> bool {
    match error.code() {
        Some("PermanentRedirect" | "IllegalLocationConstraintException") => true,
        Some("AuthorizationHeaderMalformed") => {
            error.message().is_some_and(|message| message.contains("region"))
        }
        _ => false,
    }
}

/// A bucket that is not in the region it was looked for in.
#[derive(Debug)]
struct Elsewhere(SdkError<GetObjectError>);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.0.raw_response();
        match answer.and_then(|answer| answer.headers().get("x-amz-bucket-region")) {
            Some(region) => {
                write!(f, "the bucket is in {region}: add `.region(\"{region}\")` to the entry")
            }
            None => f.write_str("the bucket is in another region: name it with `.region(..)`"),
        }
    }
}

impl StdError for Elsewhere {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}
