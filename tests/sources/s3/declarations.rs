//! What is declared wrongly is an error from `spawn`, before any request, which names the entry.

use std::path::PathBuf;

use lambda_cache::sources::{Declare, Entry, s3};
use lambda_cache::{Builder, Error, ErrorKind};

use super::store::Directory;
use crate::fixture::World;

/// The one error with which the last of these entries is refused.
async fn refused_after<D: Declare + 'static, T: Send + Sync + 'static>(
    fine: impl FnOnce(&mut Builder),
    entry: Entry<D, T>,
) -> Error {
    let world = World::new();
    let mut builder = world.builder();
    fine(&mut builder);
    builder.add(entry);
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    assert_eq!(world.aws.calls().len(), 0, "a request was made");
    let [refused] = error.others() else { panic!("not one error: {error}") };
    assert_eq!(refused.kind(), ErrorKind::Declaration);
    refused.clone()
}

async fn refused<D: Declare + 'static, T: Send + Sync + 'static>(entry: Entry<D, T>) -> Error {
    refused_after(|_| (), entry).await
}

#[tokio::test(start_paused = true)]
async fn what_is_no_uri_of_an_object_is_refused_and_named() {
    for (uri, why) in [
        ("", "begins neither with s3://"),
        ("object.txt", "begins neither with s3://"),
        ("S3://conf/object", "begins neither with s3://"),
        ("s3://conf", "no key"),
        ("s3://conf/", "the key is empty"),
        ("s3:///object", "a bucket's name"),
        ("s3://Conf/object", "a bucket's name"),
        ("s3://co_nf/object", "a bucket's name"),
        ("arn:aws:s3:::conf/object", "no /object/"),
        ("arn:aws:s3:eu-west-1:111122223333:accesspoint/reader/object/", "the key is empty"),
        ("arn:aws:s3:eu-west-1:1111:accesspoint/reader/object/key", "ARN of an access point"),
    ] {
        let error = refused(s3::object(uri).name("entry")).await;
        assert_eq!(error.entry(), Some("entry"), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("\"{uri}\"")) && text.contains(why), "{text} lacks {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_a_name_of_its_own_has_its_keys_in_errors() {
    let error = refused(s3::object("s3://conf/app/object").version_id("")).await;
    assert_eq!(error.entry(), Some("object"), "{error}");
    assert!(error.to_string().contains("empty version id"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_ends_in_a_slash_needs_a_name() {
    let error = refused(s3::object("s3://conf/app/")).await;
    assert!(error.to_string().contains("`.name(..)`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_names_no_file_is_no_name_for_a_temporary_file() {
    for name in ["..", ".", "a/b", "/etc/passwd", "a\0b", "a\\b"] {
        let error = refused(s3::object("s3://conf/object").name(name).to_temporary_file()).await;
        assert!(error.to_string().contains("gives a file no name"), "{name}: {error}");
        assert_eq!(error.entry(), Some(name));
    }
    for key in ["a/..", "..", "a/.", "a/", "a\\b", "a\0b"] {
        let error = refused(s3::object(format!("s3://conf/{key}")).to_temporary_file()).await;
        assert!(error.to_string().contains("gives a file no name"), "{key}: {error}");
    }
    let long = "n".repeat(201);
    let error = refused(s3::object(format!("s3://conf/{long}")).to_temporary_file()).await;
    assert!(error.to_string().contains("longer than 200 bytes"), "{error}");
    let error = refused(s3::object("s3://conf/object").name("").to_temporary_file()).await;
    assert!(error.to_string().contains("no name"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_path_for_a_file_is_refused() {
    let directory = Directory::new();
    let path = directory.path().to_owned();
    for (path, why) in [
        (PathBuf::new(), "ends in no name"),
        (PathBuf::from("/"), "ends in no name"),
        (path.join(".."), "ends in no name"),
        (path.clone(), "of a directory"),
        (path.join("new/"), "of a directory"),
        (path.join("a\0b"), "NUL"),
        (path.join("n".repeat(201)), "longer than 200 bytes"),
    ] {
        let error = refused(s3::object("s3://conf/object").to_file(&path)).await;
        assert_eq!(error.entry(), Some("object"), "{error}");
        assert!(error.to_string().contains(why), "{path:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_entries_that_would_overwrite_each_others_file_are_refused() {
    let directory = Directory::new();
    let (path, link) = (directory.file("file"), directory.file("link"));
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    let first = || s3::object("s3://conf/first").to_file(&path);
    let second = |path: PathBuf| s3::object("s3://conf/second").to_file(path);
    for other in [
        second(path.clone()),
        second(link.join("file")),
        second(
            directory.path().join("../").join(directory.path().file_name().unwrap()).join("file"),
        ),
        first().name("second").version_id("1"),
        first().name("second").max_bytes(7),
        first().name("second").region("us-east-1"),
    ] {
        let error = refused_after(|it| _ = it.add(first()), other).await;
        assert_eq!(error.entry(), Some("second"), "{error}");
        let text = error.to_string();
        assert!(text.contains("is written by two entries") && text.contains("/first"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_entries_that_ask_for_the_same_may_share_its_file() {
    let directory = Directory::new();
    let world = World::bucket([("object", "content")]).await;
    let mut builder = world.builder();
    let entry = || s3::object("s3://conf/object").to_file(directory.file("file"));
    let path = builder.add(entry());
    let length = async |path: PathBuf| std::fs::metadata(path).map(|it| it.len());
    let length = builder.add(entry().name("length").derive(length));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(path).unwrap(), &directory.file("file"));
    assert_eq!(*snapshot.get(length).unwrap(), 7);
    assert_eq!(world.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_in_a_cache_without_aws_configuration_is_refused() {
    let mut builder = Builder::new();
    builder.add(s3::object("s3://conf/object"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    assert!(error.to_string().contains("Cache::builder(&aws)"), "{error}");
    assert_eq!(error.others()[0].entry(), Some("object"), "{error}");
}
