//! The body of an answer: into memory, or into a file that is replaced as a whole.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use crate::error::ErrorKind;
use crate::sources::FetchError;

/// A body that must be whole, and not larger than allowed. The SDK verifies its checksum, if the
/// object has one, when the last of it has been read.
pub(super) struct Body {
    stream: ByteStream,
    length: Option<u64>,
    most: Option<u64>,
    read: u64,
}

impl Body {
    pub(super) fn new(
        stream: ByteStream,
        length: Option<i64>,
        most: Option<u64>,
    ) -> Result<Self, FetchError> {
        let body = Self { stream, length: length.and_then(|it| it.try_into().ok()), most, read: 0 };
        body.check(body.length.unwrap_or_default())?;
        Ok(body)
    }

    /// All of it in memory.
    pub(super) async fn collect(mut self) -> Result<Bytes, FetchError> {
        let length = self.length.unwrap_or_default();
        let mut all = BytesMut::with_capacity(length.try_into().unwrap_or_default());
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Into a file beside the target, which takes its place when it is whole: whoever opens the
    /// target gets all of the old object or all of the new one. If this is dropped before, the file
    /// is removed.
    pub(super) async fn write(mut self, target: &Path) -> Result<(), FetchError> {
        let failed = |source| {
            FetchError::new(
                ErrorKind::Source,
                FileError { path: target.display().to_string(), source },
            )
        };
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let beside = NamedTempFile::new_in(directory).map_err(failed)?;
        let file = beside.as_file().try_clone().map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        while let Some(chunk) = self.next().await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        // Only this tells what has become of the last write.
        file.flush().await.map_err(failed)?;
        beside.persist(target).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The next part of it; `None` at its end, if that is where the service said it would be.
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let broken = |error| FetchError::new(ErrorKind::Source, Broken(error));
        if let Some(chunk) = self.stream.try_next().await.map_err(broken)? {
            self.read += chunk.len() as u64;
            self.check(self.read)?;
            return Ok(Some(chunk));
        }
        match self.length {
            Some(length) if length != self.read => {
                let cause = format!("the body ended after {} of {length} bytes", self.read);
                Err(FetchError::new(ErrorKind::Source, cause))
            }
            _ => Ok(None),
        }
    }

    fn check(&self, bytes: u64) -> Result<(), FetchError> {
        match self.most {
            Some(most) if bytes > most => {
                let cause = format!("the object is larger than the {most} bytes allowed");
                Err(FetchError::new(ErrorKind::Decode, cause))
            }
            _ => Ok(()),
        }
    }
}

/// The connection or the checksum.
#[derive(Debug)]
struct Broken(aws_sdk_s3::primitives::ByteStreamError);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off or is damaged")
    }
}

impl StdError for Broken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// What is wrong with a file, and which.
#[derive(Debug)]
struct FileError {
    path: String,
    source: std::io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file {} could not be written", self.path)
    }
}

impl StdError for FileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}
