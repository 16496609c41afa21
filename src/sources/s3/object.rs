//! An object: where it is, and how its body is read.

use std::fmt;
use std::net::Ipv4Addr;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;

use super::Request;
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::{arn_parts, failure, is_account};

/// A bucket's name or an access point's ARN, and a key in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Location {
    bucket: String,
    key: String,
}

impl Location {
    /// `s3://bucket/key`, where the bucket may also be an access point's alias; or an access
    /// point's ARN, with `/object/` between it and the key.
    pub(super) fn parse(uri: &str) -> Result<Self, &'static str> {
        let (bucket, key) = match (uri.strip_prefix("s3://"), uri.strip_prefix("arn:")) {
            (Some(rest), _) => {
                let (bucket, key) = rest.split_once('/').ok_or("it has no key")?;
                if !is_bucket(bucket) {
                    return Err(
                        "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens",
                    );
                }
                (bucket, key)
            }
            (None, Some(_)) => {
                let (arn, key) = uri.split_once("/object/").ok_or("it has no /object/ and key")?;
                if !is_access_point(arn) {
                    return Err("it is not the ARN of an access point");
                }
                (arn, key)
            }
            (None, None) => return Err("it begins neither with s3:// nor with arn:"),
        };
        match key.len() {
            0 => Err("the key is empty"),
            1..=1024 => Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() }),
            _ => Err("the key is longer than 1,024 bytes"),
        }
    }

    /// The last segment of the key.
    pub(super) fn name(&self) -> Option<&str> {
        self.key.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bucket.starts_with("arn:") {
            true => write!(f, "{}/object/{}", self.bucket, self.key),
            false => write!(f, "s3://{}/{}", self.bucket, self.key),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b".-".contains(&it);
    let ends = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(ends)
        && name.ends_with(ends)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
}

/// `arn:<partition>:s3:<region>:<account>:accesspoint/<name>`; a multi-region access point has no
/// region.
fn is_access_point(arn: &str) -> bool {
    matches!(arn_parts(arn), Some([_, "s3" | "s3-object-lambda", _, account, resource])
    if is_account(account)
        && resource.strip_prefix("accesspoint/").is_some_and(|name| {
            !name.is_empty() && !name.contains(['/', ':'])
        }))
}

/// The object's body and version, unless it still is of the version `held`.
pub(super) async fn get(
    client: &Client,
    request: &Request,
    held: Option<Version>,
) -> Result<Option<(Body, Option<Version>)>, FetchError> {
    let call = client
        .get_object()
        .bucket(&request.location.bucket)
        .key(&request.location.key)
        .set_version_id(request.version_id.clone())
        .set_if_none_match(held.map(|version| version.as_str().to_owned()))
        .checksum_mode(ChecksumMode::Enabled);
    match call.send().await {
        Ok(object) => {
            let body = Body::new(object.body, object.content_length, request.max_bytes)?;
            Ok(Some((body, object.e_tag.map(Version::new))))
        }
        // To the SDK, everything but a success is an error.
        Err(error) if status(&error) == Some(304) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn status(error: &SdkError<GetObjectError>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn refused(error: SdkError<GetObjectError>) -> FetchError {
    if is_in_another_region(&error) {
        let answer = error.raw_response();
        let region = answer.and_then(|answer| answer.headers().get("x-amz-bucket-region"));
        let message = match region {
            Some(region) => {
                format!("the bucket is in {region}: add `.region(\"{region}\")` to the entry")
            }
            None => "the bucket is in another region: name it with `.region(..)`".to_owned(),
        };
        return FetchError::new(ErrorKind::Source, error).lasting().context(message);
    }
    match status(&error) {
        // Whatever its code: S3 throttles with a 503.
        Some(503) => FetchError::new(ErrorKind::Throttled, error),
        _ => failure(error),
    }
}

fn is_in_another_region(error: &SdkError<GetObjectError>) -> bool {
    match error.code() {
        Some("PermanentRedirect" | "IllegalLocationConstraintException") => true,
        Some("AuthorizationHeaderMalformed") => {
            error.message().is_some_and(|message| message.contains("region"))
        }
        _ => false,
    }
}

/// The rest of a body, which must be no larger than allowed.
///
/// At the end of a body the SDK verifies its length and its checksum, if there is one. If either is
/// wrong, the last read is an error.
pub(super) struct Body {
    stream: ByteStream,
    length: Option<u64>,
    max: Option<u64>,
    read: u64,
}

impl Body {
    /// Fails without reading if the length is larger than `max`.
    fn new(stream: ByteStream, length: Option<i64>, max: Option<u64>) -> Result<Self, FetchError> {
        let body = Self { stream, length: length.and_then(|it| it.try_into().ok()), max, read: 0 };
        body.allow(body.length.unwrap_or_default())?;
        Ok(body)
    }

    /// How many bytes have been read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The whole body, in memory.
    pub(super) async fn collect(mut self) -> Result<Bytes, FetchError> {
        let mut all = Vec::new();
        let length = self.length.unwrap_or_default().try_into().unwrap_or(usize::MAX);
        // An object of an allowed size may still exceed the memory there is.
        all.try_reserve_exact(length)
            .map_err(|error| FetchError::new(ErrorKind::Source, error).lasting())?;
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// The next part of it; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let next = self.stream.try_next().await.map_err(|error| {
            let message = "the body broke off or is damaged";
            FetchError::new(ErrorKind::Source, error).context(message)
        })?;
        self.read += next.as_ref().map_or(0, Bytes::len) as u64;
        self.allow(self.read)?;
        Ok(next)
    }

    fn allow(&self, bytes: u64) -> Result<(), FetchError> {
        match self.max {
            Some(max) if bytes > max => {
                let cause = format!("the object is larger than the {max} bytes allowed");
                Err(FetchError::new(ErrorKind::Decode, cause))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_bucket_or_access_point_and_key() {
        let location = Location::parse("s3://conf/app/settings.json").expect("a location");
        assert_eq!((&*location.bucket, &*location.key), ("conf", "app/settings.json"));
        assert_eq!(location.name(), Some("settings.json"));
        let arn = "arn:aws:s3:eu-west-1:111122223333:accesspoint/reader";
        let location = Location::parse(&format!("{arn}/object/a/b")).expect("a location");
        assert_eq!((&*location.bucket, &*location.key), (arn, "a/b"));
        assert_eq!(location.to_string(), format!("{arn}/object/a/b"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let long = format!("s3://conf/{}", "k".repeat(1025));
        for wrong in [
            "",
            "conf/app.json",
            "https://conf.s3.amazonaws.com/app.json",
            "s3://",
            "s3:///key",
            "s3://conf",
            "s3://conf/",
            "s3://Conf/key",
            "s3://a/key",
            "s3://-conf/key",
            "s3://co..nf/key",
            "s3://192.168.5.4/key",
            "arn:aws:s3:::conf/key",
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/reader",
            "arn:aws:s3:eu-west-1:1:accesspoint/reader/object/key",
            "arn:aws:sns:eu-west-1:111122223333:accesspoint/reader/object/key",
            &long,
        ] {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_ends_in_a_slash_gives_no_name() {
        assert_eq!(Location::parse("s3://conf/a/").expect("a location").name(), None);
    }
}

#[cfg(test)]
mod parsers {
    use proptest::prelude::*;

    use super::*;
    use crate::near::near_any;

    proptest! {
        #[test]
        fn a_bucket_and_a_key_are_found_in_their_uri(
            // No address: that has no letters.
            bucket in "[a-z]([a-z0-9-][.]?){1,20}[a-z0-9]", key in "[^/]{1,9}(/[^/]{0,9}){0,4}"
        ) {
            let location = Location::parse(&format!("s3://{bucket}/{key}"));
            prop_assert_eq!(location, Ok(Location { bucket, key }));
        }

        #[test]
        fn an_access_point_and_a_key_are_found_in_their_arn(
            service in "s3(-object-lambda)?",
            region in "([a-z]{2}-west-[0-9])?",
            account in "[0-9]{12}",
            name in "[a-z0-9.-]{1,20}",
            key in "[^/]{1,9}(/[^/]{0,9}){0,4}",
        ) {
            let bucket = format!("arn:aws:{service}:{region}:{account}:accesspoint/{name}");
            let location = Location::parse(&format!("{bucket}/object/{key}"));
            prop_assert_eq!(location, Ok(Location { bucket, key }));
        }

        #[test]
        fn a_location_is_shown_as_the_uri_that_it_was_parsed_from(
            uri in near_any(
                &[
                    "s3://conf/app.json",
                    "s3://my.bucket-1/a/b//c/",
                    "arn:aws:s3:eu-west-1:111122223333:accesspoint/point/object/a/object/b",
                    "arn:aws:s3::111122223333:accesspoint/point.mrap/object/a",
                ],
                &["/", "//", "s3://", "arn:", ":", "/object/", "..", ".", "-", "A", "127.0.0.1", "\u{e9}"],
            )
        ) {
            if let Ok(location) = Location::parse(&uri) {
                prop_assert_eq!(location.to_string(), uri);
                prop_assert!(location.name().is_none_or(|name| !name.is_empty() && !name.contains('/')));
            }
        }
    }
}
