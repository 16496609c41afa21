//! Every refresh after the first asks "only if it is another": a 304 keeps the value.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::sources::s3;

use super::store::{Directory, read};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

/// What each call since the last time asked not to be sent again.
fn unless(calls: &[Call]) -> Vec<Option<&str>> {
    calls.iter().map(Call::if_none_match).collect()
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_object_keeps_its_value_and_is_not_decoded_again() {
    let world = World::bucket([("object", r#"["a"]"#)]).await;
    let mut builder = world.builder();
    let object = builder.add(s3::object("s3://conf/object").json::<Vec<String>>());
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(object).await.unwrap();
    let version = before.version().clone();
    world.clock.freeze(MINUTE);
    let after = cache.get(object).await.unwrap();
    assert_eq!((after.age(), after.version()), (std::time::Duration::ZERO, &version));
    assert!(Arc::ptr_eq(&before.into_inner(), &after.into_inner()));
    assert_eq!(unless(&world.aws.calls()), [None, Some(version.as_str())]);

    world.aws.put_object("object", r#"["b"]"#).await;
    world.clock.freeze(MINUTE);
    let changed = cache.get(object).await.unwrap();
    assert_eq!(*changed, ["b"]);
    assert_ne!(*changed.version(), version);
    world.clock.freeze(MINUTE);
    cache.get(object).await.unwrap();
    let second = changed.version().as_str();
    assert_eq!(unless(&world.aws.calls()), [Some(version.as_str()), Some(second)]);
}

#[tokio::test(start_paused = true)]
async fn any_etag_is_sent_back_as_it_came() {
    for etag in ["\"0cc175b9\"", "W/\"weak\"", "\"d41d8cd98f00b204e9800998ecf8427e-38\""] {
        let world = World::new();
        world.aws.script(move |call| match call.if_none_match() {
            None => Some(Answer::object(etag, "text")),
            Some(_) => Some(Answer::not_modified(etag)),
        });
        let directory = Directory::new();
        let mut builder = world.builder();
        let text = builder.add(s3::object("s3://conf/object").text());
        let file = s3::object("s3://conf/file").to_file(directory.file("file"));
        let file = builder.add(file);
        let cache = builder.spawn().await.unwrap();
        world.aws.calls();
        world.clock.freeze(MINUTE);
        let snapshot = cache.snapshot().await;
        assert_eq!(snapshot.get(text).unwrap(), "text");
        assert_eq!(read(snapshot.get(file).unwrap()), "text");
        assert_eq!(snapshot.version(text).unwrap().as_str(), etag);
        assert_eq!(unless(&world.aws.calls()), [Some(etag), Some(etag)]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_etag_every_answer_is_a_change() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    world.aws.script(move |call| {
        assert_eq!(call.if_none_match(), None);
        let n = count.fetch_add(1, Ordering::Relaxed);
        let Answer::Http(mut response) = Answer::object("", &n.to_string()) else { return None };
        response.headers_mut().remove("etag");
        Some(Answer::Http(response))
    });
    let directory = Directory::new();
    let mut builder = world.builder();
    let file = s3::object("s3://conf/object").to_file(directory.file("file"));
    let file = builder.add(file);
    let cache = builder.spawn().await.unwrap();
    for n in 0..3 {
        assert_eq!(read(&*cache.get(file).await.unwrap()), n.to_string());
        world.clock.freeze(MINUTE);
    }
}

/// As some stores that speak S3's protocol do: the SDK takes the missing body for a damaged one.
#[tokio::test(start_paused = true)]
async fn a_304_with_the_checksum_of_the_body_that_is_not_there_is_a_304() {
    let world = World::new();
    world.aws.script(|call| match call.if_none_match() {
        None => Some(Answer::object("\"1\"", "text")),
        Some(_) => {
            let Answer::Http(mut response) = Answer::not_modified("\"1\"") else { return None };
            response.headers_mut().insert("x-amz-checksum-crc32", "AAAAAQ==");
            Some(Answer::Http(response))
        }
    });
    let mut builder = world.builder();
    let text = builder.add(s3::object("s3://conf/object").text());
    let cache = builder.spawn().await.unwrap();
    world.clock.freeze(MINUTE);
    assert_eq!(*cache.get(text).await.unwrap(), "text");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_has_gone_or_been_cut_is_written_anew() {
    let world = World::bucket([("object", "content")]).await;
    let directory = Directory::new();
    let path = directory.file("file");
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(&path));
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    let removed = |path: &Path| fs::remove_file(path).unwrap();
    let cut = |path: &Path| fs::write(path, "cont").unwrap();
    for damage in [removed as fn(&Path), cut] {
        damage(&path);
        world.clock.freeze(MINUTE);
        assert_eq!(read(&*cache.get(file).await.unwrap()), "content");
        assert_eq!(unless(&world.aws.calls()), [None]);
    }
    world.clock.freeze(MINUTE);
    cache.get(file).await.unwrap();
    let calls = world.aws.calls();
    assert!(unless(&calls)[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_could_not_be_derived_is_in_its_file_and_not_downloaded_again() {
    let world = World::bucket([("object", "first")]).await;
    let directory = Directory::new();
    let mut builder = world.builder();
    let derived = builder.add(
        s3::object("s3://conf/object").to_file(directory.file("file")).derive(async |path| {
            let text = read(&path);
            if text == "second" { Err("not this one") } else { Ok(text) }
        }),
    );
    let cache = builder.spawn().await.unwrap();
    world.aws.put_object("object", "second").await;
    world.aws.calls();
    let mut asked = Vec::new();
    for _ in 0..2 {
        world.clock.freeze(MINUTE);
        let error = cache.get(derived).await.unwrap_err();
        assert!(error.to_string().contains("not this one"), "{error}");
        asked.extend(world.aws.calls().iter().map(|it| it.if_none_match().map(str::to_owned)));
    }
    let [Some(first), Some(second)] = &*asked else { panic!("{asked:?}") };
    assert_ne!(first, second, "what the file holds is what counts");
}
