//! What an entry can ask S3 for: the constructor, options, and what they come to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::uri::Location;
use super::{Payload, Request, S3, Target, TargetFile};
use crate::decode::{self, DecodeError};
use crate::error::{Error, ErrorKind};
use crate::sources::{AwsEntry, Connections, Declare, Declared, Entry, Place};

/// What an object in memory may come to, unless its user says otherwise: a part of the smallest
/// function's memory.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// The longest name of a file, in bytes: systems take 255, and an unfinished one's is longer.
const MOST_NAME: usize = 200;

/// One object, in memory, as [`Bytes`].
///
/// `uri` is `s3://bucket/key`, where the bucket may be an access point's alias, or an access point's
/// ARN followed by `/object/` and the key. The entry's name is the last segment of the key. More than
/// 32 MiB is an error, unless [`max_bytes`](Entry::max_bytes) allows it.
pub fn object(uri: impl Into<String>) -> Entry<OneObject, Bytes> {
    let asks = OneObject {
        uri: uri.into(),
        name: None,
        version_id: None,
        most_bytes: None,
        to: To::Memory,
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| payload.bytes().cloned())
}

/// What an entry made by [`object`] asks for.
#[derive(Debug, Clone)]
pub struct OneObject {
    uri: String,
    name: Option<String>,
    version_id: Option<String>,
    most_bytes: Option<u64>,
    to: To,
    place: Place,
}

#[derive(Debug, Clone)]
enum To {
    Memory,
    File(PathBuf),
    /// A file in the temporary directory, called as the entry is.
    TemporaryFile,
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

impl Entry<OneObject, Bytes> {
    /// The object as UTF-8 text.
    pub fn text(self) -> Entry<OneObject, String> {
        self.then(|bytes| decode::text(bytes).map(str::to_owned))
    }

    /// A value of type `T` from the object's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneObject, T> {
        self.then(|bytes| decode::json(bytes))
    }

    /// The object in a file at `path`, made absolute, which is what the entry holds.
    ///
    /// It is streamed into a file beside that, which then takes its place: whoever opens the path gets
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
    pub fn to_file(mut self, path: impl Into<PathBuf>) -> Entry<OneObject, PathBuf> {
        self.asks.to = To::File(path.into());
        self.decoded(|payload| payload.file().map(Path::to_owned))
    }

    /// As [`to_file`](Self::to_file), in the temporary directory (`/tmp` in Lambda), under the entry's
    /// name, which must be a file's then.
    pub fn to_temporary_file(mut self) -> Entry<OneObject, PathBuf> {
        self.asks.to = To::TemporaryFile;
        self.decoded(|payload| payload.file().map(Path::to_owned))
    }
}

impl<T> Entry<OneObject, T> {
    /// This version of the object, not the newest.
    #[must_use]
    pub fn version_id(mut self, id: impl Into<String>) -> Self {
        self.asks.version_id = Some(id.into());
        self
    }

    /// The most bytes the object may have; a larger one is the entry's error, and is not read.
    /// Defaults to 32 MiB in memory, and to no limit for a file.
    #[must_use]
    pub fn max_bytes(mut self, most: u64) -> Self {
        self.asks.most_bytes = Some(most);
        self
    }
}

impl AwsEntry for OneObject {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Declare for OneObject {
    type Source = S3;

    fn named(&mut self, name: &str) {
        self.name = Some(name.to_owned());
    }

    fn declare(self, connections: &mut Connections) -> Result<Declared<S3>, Error> {
        let invalid =
            |what: &str, why: &str| Error::new(ErrorKind::Declaration, format!("\"{what}\" {why}"));
        let location = Location::parse(&self.uri)
            .map_err(|why| invalid(&self.uri, &format!("is not the URI of an object: {why}")))?;
        let name = location.name().map(str::to_owned);
        let called = |error: Error| match &name {
            Some(name) => error.entry_named(&Arc::from(name.as_str())),
            None => error,
        };
        if self.version_id.as_ref().is_some_and(String::is_empty) {
            return Err(called(invalid(&self.uri, "is asked for with an empty version id")));
        }
        let target = match self.to {
            To::Memory => Target::Memory,
            To::File(path) => Target::File(file(&path).map_err(called)?),
            To::TemporaryFile => {
                let name = self.name.as_ref().or(name.as_ref());
                let name = name.filter(|name| is_file_name(name)).ok_or_else(|| {
                    called(invalid(&self.uri, "gives a file no name: name the entry, or the file"))
                })?;
                Target::File(file(&std::env::temp_dir().join(name)).map_err(called)?)
            }
        };
        let most_bytes = match (&target, self.most_bytes) {
            (Target::Memory, None) => Some(MOST_BYTES),
            (_, most) => most,
        };
        let request = Request { location, version_id: self.version_id, most_bytes, target };
        let source = S3::at(self.place, connections).map_err(called)?;
        if let Target::File(file) = &request.target {
            connections.files.claim(file.path(), &source, &request).map_err(called)?;
        }
        Ok(Declared { source, request, name })
    }
}

fn file(path: &Path) -> Result<Arc<TargetFile>, Error> {
    let invalid = |why: &str| {
        let message = format!("\"{}\" is no path for a file: {why}", path.display());
        Error::new(ErrorKind::Declaration, message)
    };
    let bytes = path.as_os_str().as_encoded_bytes();
    let why = match path.file_name() {
        None => Some("it ends in no name"),
        Some(name) if name.len() > MOST_NAME => Some("its name is longer than 200 bytes"),
        _ if bytes.contains(&0) => Some("it has a NUL in it"),
        _ if bytes.ends_with(b"/") || path.is_dir() => Some("it is that of a directory"),
        _ => None,
    };
    if let Some(why) = why {
        return Err(invalid(why));
    }
    let path = std::path::absolute(path).map_err(|error| invalid(&error.to_string()))?;
    Ok(Arc::new(TargetFile::new(path)))
}

/// A name that stays within its directory.
fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0'])
}
