//! S3: what tests put there, what they say in its place, and where files go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
    VersioningConfiguration,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::channel::Sender;
use http_body_util::{BodyExt, Channel};

use crate::aws::{Answer, Aws, Call, HOME};
use crate::fixture::World;

pub(super) const BUCKET: &str = "conf";

impl World {
    /// A bucket with these objects.
    pub(super) async fn bucket<const N: usize>(objects: [(&str, &str); N]) -> Self {
        let world = Self::new();
        world.aws.make_bucket(HOME, BUCKET).await;
        for (key, text) in objects {
            world.aws.put_object(key, text).await;
        }
        world
    }
}

impl Aws {
    pub(super) fn s3(&self) -> Client {
        Client::new(&self.direct(HOME))
    }

    pub(super) async fn make_bucket(&self, region: &str, name: &str) {
        let region_of_it = BucketLocationConstraint::from(region);
        let config = CreateBucketConfiguration::builder().location_constraint(region_of_it).build();
        let client = Client::new(&self.direct(region));
        let made = client.create_bucket().bucket(name).create_bucket_configuration(config);
        made.send().await.unwrap();
    }

    /// Gives the version's id, if the bucket keeps versions.
    pub(super) async fn put_object(&self, key: &str, body: impl Into<Vec<u8>>) -> Option<String> {
        let put = self.s3().put_object().bucket(BUCKET).key(key).body(body.into().into());
        put.send().await.unwrap().version_id
    }

    pub(super) async fn delete_object(&self, key: &str) {
        self.s3().delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }

    pub(super) async fn keep_versions(&self) {
        let enabled = BucketVersioningStatus::Enabled;
        let config = VersioningConfiguration::builder().status(enabled).build();
        let put = self.s3().put_bucket_versioning().bucket(BUCKET);
        put.versioning_configuration(config).send().await.unwrap();
    }
}

impl Call {
    pub(super) fn if_none_match(&self) -> Option<&str> {
        self.header("if-none-match")
    }
}

impl Answer {
    /// An error as S3 says it.
    pub(super) fn s3_error(status: u16, code: &str) -> Self {
        Self::Http(Box::new(s3_error(status, code, "as the test said")))
    }

    /// A whole object.
    pub(super) fn object(etag: &str, body: &str) -> Self {
        Self::Http(Box::new(object(etag, body.len(), body.to_owned())))
    }

    pub(super) fn not_modified(etag: &str) -> Self {
        let mut response = HttpResponse::new(304.try_into().unwrap(), SdkBody::empty());
        response.headers_mut().insert("etag", etag.to_owned());
        Self::Http(Box::new(response))
    }

    /// An object whose body comes as the test sends it.
    pub(super) fn streamed(etag: &str, length: usize) -> (Sender<Bytes, io::Error>, Self) {
        let (sender, body) = Channel::new(1);
        let response = object(etag, length, SdkBody::from_body_1_x(body.fuse()));
        (sender, Self::Http(Box::new(response)))
    }
}

pub(super) fn s3_error(status: u16, code: &str, message: &str) -> HttpResponse {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    );
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

pub(super) fn object(etag: &str, length: usize, body: impl Into<SdkBody>) -> HttpResponse {
    let mut response = HttpResponse::new(200.try_into().unwrap(), body.into());
    response.headers_mut().insert("etag", etag.to_owned());
    response.headers_mut().insert("content-length", length.to_string());
    response
}

/// A directory for files, which goes with the test.
pub(super) struct Directory(tempfile::TempDir);

impl Directory {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The names of all files in it.
    pub(super) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(super) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}
