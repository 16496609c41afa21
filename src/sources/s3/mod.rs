//! Objects of S3, in memory or as files (feature `s3`).
//!
//! | | |
//! |---|---|
//! | operations | `s3:GetObject`, one call an object; after the first with `If-None-Match`, so that an object that has not changed costs a 304 and no body |
//! | permissions | `s3:GetObject` on the object, `s3:GetObjectVersion` for a version id; `kms:Decrypt` for objects under a key of yours; `s3:ListBucket` on the bucket, or an object that does not exist is refused (403, [`ErrorKind::Denied`](crate::ErrorKind::Denied)) rather than missing (404, [`ErrorKind::NotFound`](crate::ErrorKind::NotFound)) |
//! | version | the ETag |
//! | promise of the service | strongly consistent |
//!
//! An object is decoded, or put into its file, only when it is complete: its length and its checksum,
//! if it has one, are verified first. (The checksum of an upload in parts that is made of the parts'
//! checksums cannot be verified.)
//!
//! An attempt has 1.5 seconds until the head of the answer arrives, unless the configuration has an
//! attempt timeout of its own; the SDK makes up to three. The body has what is left of the operation
//! timeout, which is 5 seconds by default, and at init of the init deadline, 8 seconds. Raise
//! [`Builder::operation_timeout`](crate::Builder::operation_timeout) and
//! [`Builder::init_deadline`](crate::Builder::init_deadline) for large objects (at 10 MB a second, 100
//! MB take 10 seconds), or make their entries [`lazy`](Entry::lazy). A connection on which nothing
//! moves is given up sooner: see the configuration's stalled-stream protection. A fetch that takes
//! longer than the handler and the hold limit together cannot be made ahead of need.
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

mod file;
mod object;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::Client;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::de::DeserializeOwned;

use self::file::{TargetFile, Writers};
use self::object::Location;
use super::aws::{self, AtPlace, Aws, AwsSource, Declaration, Place};
use super::{BoxFuture, Connections, Entry, Fetch, Fetched, Source, Wanted};
use crate::decode::{self, DecodeError};

/// How large an object in memory may be by default: a part of the smallest function's memory.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// One object, in memory, as [`Bytes`].
///
/// `uri` is `s3://bucket/key`, where the bucket may be an access point's alias, or an access point's
/// ARN followed by `/object/` and the key. The entry's name is the last segment of the key. More than
/// 32 MiB is an error, unless [`max_bytes`](Entry::max_bytes) allows it.
pub fn object(uri: impl Into<String>) -> Entry<OneObject, Bytes> {
    let object = ObjectDeclaration {
        uri: uri.into(),
        name: None,
        version_id: None,
        max_bytes: None,
        to: To::Memory,
    };
    aws::entry(object, |payload| payload.bytes().cloned())
}

/// What an entry made by [`object`] asks for.
pub type OneObject = AtPlace<ObjectDeclaration>;

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct ObjectDeclaration {
    uri: String,
    /// The name that the entry's user gave it.
    name: Option<String>,
    version_id: Option<String>,
    max_bytes: Option<u64>,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    Memory,
    File(PathBuf),
    /// A file in the temporary directory, with the entry's name.
    TemporaryFile,
}

impl Entry<OneObject, Bytes> {
    /// The object as UTF-8 text.
    pub fn text(self) -> Entry<OneObject, String> {
        self.and_then(|bytes| decode::text(bytes).map(str::to_owned))
    }

    /// A value of type `T` from the object's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneObject, T> {
        self.and_then(|bytes| decode::json(bytes))
    }

    /// The object in a file at `path`, made absolute, which is what the entry holds.
    ///
    /// It is streamed into a file beside that, which then replaces it: whoever opens the path gets
    /// the whole old object or the whole new one. An object that breaks off or is damaged, or a disk
    /// that is full, is the entry's error, and leaves the old file. If the file is gone at a refresh,
    /// it is written anew. Only this process's user may read it.
    ///
    /// The disk needs room for both files while one replaces the other (Lambda's `/tmp` has 512 MB
    /// unless configured otherwise). The name of the unfinished one begins with a dot and ends in
    /// `.lambda-cache`; if the process is killed, the next one that writes the target removes it.
    ///
    /// Entries that ask for the same may share a file; others with one path are an error at
    /// [`spawn`](crate::Builder::spawn).
    pub fn to_file(self, path: impl Into<PathBuf>) -> Entry<OneObject, PathBuf> {
        self.to(To::File(path.into()))
    }

    /// As [`to_file`](Self::to_file), in the temporary directory (`/tmp` in Lambda), under the entry's
    /// name, which must be a valid name of a file.
    pub fn to_temporary_file(self) -> Entry<OneObject, PathBuf> {
        self.to(To::TemporaryFile)
    }

    fn to(self, to: To) -> Entry<OneObject, PathBuf> {
        self.set(|object| object.to = to).decode_with(|payload| payload.file().map(Path::to_owned))
    }
}

impl<T> Entry<OneObject, T> {
    /// This version of the object, not the newest.
    pub fn version_id(self, id: impl Into<String>) -> Self {
        self.set(|object| object.version_id = Some(id.into()))
    }

    /// How many bytes the object may have; a larger one is the entry's error, and is not read.
    /// Defaults to 32 MiB in memory, and to no limit for a file.
    pub fn max_bytes(self, max: u64) -> Self {
        self.set(|object| object.max_bytes = Some(max))
    }
}

impl Declaration for ObjectDeclaration {
    type Source = S3;

    fn default_name(&self) -> Option<String> {
        Location::parse(&self.uri).ok()?.name().map(str::to_owned)
    }

    fn named(&mut self, name: &str) {
        self.name = Some(name.to_owned());
    }

    fn request(self) -> Result<Request, String> {
        let Self { uri, name, version_id, max_bytes, to } = self;
        let location = Location::parse(&uri)
            .map_err(|problem| format!("\"{uri}\" is not the URI of an object: {problem}"))?;
        if version_id.as_ref().is_some_and(String::is_empty) {
            return Err(format!("\"{uri}\" is asked for with an empty version id"));
        }
        let target = match to {
            To::Memory => Target::Memory,
            To::File(path) => Target::File(TargetFile::new(&path)?),
            To::TemporaryFile => {
                let name = name.as_deref().or(location.name()).filter(|name| is_file_name(name));
                let Some(name) = name else {
                    let help = "name the entry, or the file";
                    return Err(format!("\"{uri}\" gives a file no name: {help}"));
                };
                Target::File(TargetFile::new(&std::env::temp_dir().join(name))?)
            }
        };
        let max_bytes = max_bytes.or((target == Target::Memory).then_some(MAX_BYTES));
        Ok(Request { location, version_id, max_bytes, target })
    }
}

/// Whether this is a name that stays within its directory.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}

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
    max_bytes: Option<u64>,
    target: Target,
}

/// Where an object is put.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    Memory,
    File(Arc<TargetFile>),
}

/// An object in memory or in a file.
pub enum Payload {
    /// Its bytes.
    Memory(Bytes),
    /// The file that holds it.
    File(PathBuf),
}

impl AwsSource for S3 {
    fn at(place: Place, aws: Aws) -> Self {
        Self { client: aws::Client::new(aws, place, Client::new) }
    }

    fn reserve(&self, request: &Request, connections: &mut Connections) -> Result<(), String> {
        match &request.target {
            Target::Memory => Ok(()),
            Target::File(file) => {
                connections.singleton::<Writers>().add(file, self.client.place(), request)
            }
        }
    }
}

impl Source for S3 {
    type Request = Request;
    type Payload = Payload;

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            let objects = batch.into_iter().map(|wanted| get(&client, wanted));
            join_all(objects).await
        })
    }

    fn reset(&self) {
        self.client.reset();
    }
}

async fn get(client: &Client, wanted: Wanted<Request>) -> Fetch<Payload> {
    let Wanted { request, held, .. } = wanted;
    match &request.target {
        Target::Memory => {
            let Some((body, version)) = object::get(client, &request, held).await? else {
                return Ok(Fetched::unchanged());
            };
            Ok(Fetched::current(Payload::Memory(body.collect().await?), version))
        }
        Target::File(file) => {
            // What counts is what the file holds: it may be gone, or newer than what the cache holds.
            let (turn, payload) = (file.begin(), Payload::File(file.path().to_owned()));
            let held = turn.held().await;
            let Some((body, version)) = object::get(client, &request, held.clone()).await? else {
                return Ok(Fetched::current(payload, held));
            };
            turn.write(body, version.as_ref()).await?;
            Ok(Fetched::current(payload, version))
        }
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

impl Payload {
    fn bytes(&self) -> Result<&Bytes, DecodeError> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File(_) => Err(DecodeError::new("the object was put into a file")),
        }
    }

    fn file(&self) -> Result<&Path, DecodeError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Memory(_) => Err(DecodeError::new("the object was put into memory")),
        }
    }
}

/// Without the bytes.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
