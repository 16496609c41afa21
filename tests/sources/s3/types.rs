//! What an object is read as, and what each entry is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lambda_cache::sources::s3;
use lambda_cache::{ErrorKind, Key};

use crate::fixture::{MINUTE, World};

#[tokio::test(start_paused = true)]
async fn an_object_is_bytes_unless_something_else_is_asked_for() {
    let world = World::bucket([("limits.json", r#"{"most": 7}"#)]).await;
    let object = || s3::object("s3://conf/limits.json");
    let mut builder = world.builder();
    let bytes = builder.add(object());
    let text = builder.add(object().text().name("text"));
    let json = builder.add(object().json::<BTreeMap<String, u8>>().name("json"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(bytes).unwrap(), &Bytes::from(r#"{"most": 7}"#));
    assert_eq!(snapshot.get(text).unwrap(), r#"{"most": 7}"#);
    assert_eq!(snapshot.get(json).unwrap()["most"], 7);
    assert_eq!(world.aws.calls().len(), 1, "entries that ask for the same share a fetch");
}

#[tokio::test(start_paused = true)]
async fn an_empty_object_is_empty() {
    let world = World::bucket([("empty", "")]).await;
    let mut builder = world.builder();
    let empty = builder.add(s3::object("s3://conf/empty"));
    let cache = builder.spawn().await.unwrap();
    assert!(cache.get(empty).await.unwrap().is_empty());
    world.clock.advance(MINUTE);
    assert!(cache.get(empty).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_that_entrys_error() {
    let world = World::bucket([]).await;
    world.aws.put_object("object", b"a\xffb").await;
    let object = || s3::object("s3://conf/object").lazy();
    let mut builder = world.builder();
    let bytes = builder.add(object());
    let text = builder.add(object().text().name("text"));
    let json = builder.add(object().json::<Vec<u8>>().name("json"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(&**cache.get(bytes).await.unwrap(), b"a\xffb");
    let error = cache.get(text).await.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Decode, Some("text")), "{error}");
    assert!(error.to_string().contains("byte 1"), "{error}");
    let error = cache.get(json).await.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Decode, Some("json")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_has_the_name_of_its_keys_last_segment() {
    let world = World::bucket([("a/b/c.txt", "c"), ("d", "d"), ("with space/ü?", "e")]).await;
    let mut builder = world.builder();
    for key in ["a/b/c.txt", "d", "with space/ü?"] {
        builder.add(s3::object(format!("s3://conf/{key}")).text());
    }
    let cache = builder.spawn().await.unwrap();
    for (name, text) in [("c.txt", "c"), ("d", "d"), ("ü?", "e")] {
        let key: Key<String> = cache.key(name).unwrap();
        assert_eq!(*cache.get(key).await.unwrap(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_id_asks_for_that_version() {
    let world = World::bucket([]).await;
    world.aws.keep_versions().await;
    let first = world.aws.put_object("object", "first").await.unwrap();
    world.aws.put_object("object", "second").await;
    let mut builder = world.builder();
    let newest = builder.add(s3::object("s3://conf/object").text());
    let pinned = s3::object("s3://conf/object").version_id(&first).text().name("pinned");
    let pinned = builder.add(pinned);
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(newest).await.unwrap(), "second");
    let before = cache.get(pinned).await.unwrap();
    assert_eq!(*before, "first");
    world.aws.put_object("object", "third").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(newest).unwrap(), "third");
    assert!(Arc::ptr_eq(&before.into_inner(), &cache.get(pinned).await.unwrap().into_inner()));
    let calls = world.aws.calls();
    let of_version = |it: &&crate::aws::Call| it.uri.contains(&format!("versionId={first}"));
    assert_eq!((calls.len(), calls.iter().filter(of_version).count()), (4, 2), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_exist_is_not_found_and_named() {
    let world = World::bucket([("object", "it")]).await;
    let mut builder = world.builder();
    let gone = builder.add(s3::object("s3://conf/object").version_id("gone").lazy());
    let cache = builder.spawn().await.unwrap();
    let error = cache.get(gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("s3://conf/object (version gone)"), "{error}");
}
