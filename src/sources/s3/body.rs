//! The body of an answer, which must be no larger than allowed.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_s3::primitives::{ByteStream, ByteStreamError};
use bytes::Bytes;

use crate::error::ErrorKind;
use crate::sources::FetchError;

/// What is left of a body. When it has come to its end, the SDK verifies that it is as long as the
/// answer said, and its checksum, if there is one: what is wrong then takes the place of the end.
pub(super) struct Body {
    stream: ByteStream,
    length: Option<u64>,
    most: Option<u64>,
    read: u64,
}

impl Body {
    /// Fails if it is said to be longer than `most`, of which nothing has to be read then.
    pub(super) fn new(
        stream: ByteStream,
        length: Option<i64>,
        most: Option<u64>,
    ) -> Result<Self, FetchError> {
        let body = Self { stream, length: length.and_then(|it| it.try_into().ok()), most, read: 0 };
        body.allow(body.length.unwrap_or_default())?;
        Ok(body)
    }

    /// How many bytes have been read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// All of it, in memory.
    pub(super) async fn collect(mut self) -> Result<Bytes, FetchError> {
        let mut all = Vec::new();
        let length = self.length.unwrap_or_default().try_into().unwrap_or(usize::MAX);
        // An object that its user allows may still be more than the machine has.
        all.try_reserve_exact(length).map_err(|error| FetchError::new(ErrorKind::Source, error))?;
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// The next part of it; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let broken = |error| FetchError::new(ErrorKind::Source, Broken(error));
        let next = self.stream.try_next().await.map_err(broken)?;
        self.read += next.as_ref().map_or(0, Bytes::len) as u64;
        self.allow(self.read)?;
        Ok(next)
    }

    fn allow(&self, bytes: u64) -> Result<(), FetchError> {
        match self.most {
            Some(most) if bytes > most => {
                let cause = format!("the object is larger than the {most} bytes allowed");
                Err(FetchError::new(ErrorKind::Decode, cause))
            }
            _ => Ok(()),
        }
    }
}

/// The connection, or what the SDK verifies.
#[derive(Debug)]
struct Broken(ByteStreamError);

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
