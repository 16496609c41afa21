//! Where an object is: a bucket or an access point, and a key.

use std::fmt;
use std::net::Ipv4Addr;

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

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn key(&self) -> &str {
        &self.key
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

/// `arn:<partition>:s3:<region>:<account>:accesspoint/<name>`; the region of an access point of several
/// regions is empty.
fn is_access_point(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(&*parts, ["arn", partition, "s3" | "s3-object-lambda", _, account, resource]
    if !partition.is_empty()
        && account.len() == 12
        && account.bytes().all(|it| it.is_ascii_digit())
        && resource.strip_prefix("accesspoint/").is_some_and(|name| {
            !name.is_empty() && !name.contains(['/', ':'])
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_bucket_or_access_point_and_key() {
        let location = Location::parse("s3://conf/app/settings.json").expect("a location");
        assert_eq!((location.bucket(), location.key()), ("conf", "app/settings.json"));
        assert_eq!(location.name(), Some("settings.json"));
        let arn = "arn:aws:s3:eu-west-1:111122223333:accesspoint/reader";
        let location = Location::parse(&format!("{arn}/object/a/b")).expect("a location");
        assert_eq!((location.bucket(), location.key()), (arn, "a/b"));
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
