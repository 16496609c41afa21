//! Nothing the crate prints, logs or puts into an error shows what is in an object.

use lambda_cache::ErrorKind;
use lambda_cache::sources::s3;

use super::store::{Directory, object, read};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, SECOND, World};
use crate::seen::{SECRET, Seen};

#[derive(Debug, serde::Deserialize)]
struct Settings {
    user: String,
}

#[tokio::test(start_paused = true)]
async fn debug_of_whatever_holds_an_object_does_not_show_it() {
    let seen = Seen::listen();
    let world = World::bucket([("object", r#"{"user": "hunter2"}"#)]).await;
    let directory = Directory::new();
    let mut builder = world.builder();
    let entry = || s3::object("s3://conf/object");
    let (bytes, text) = (entry(), entry().text().name("text"));
    let json = entry().json::<Settings>().name("json");
    let file = entry().to_file(directory.file("file")).name("file");
    seen.debug(&(&bytes, &text, &json, &file));
    let (bytes, text) = (builder.add(bytes), builder.add(text));
    let (json, file) = (builder.add(json), builder.add(file));
    seen.debug(&builder);
    let cache = builder.spawn().await.unwrap();
    for text_of_it in [r#"{"user": "hunter2-second"}"#, r#"{"user": "hunter2-third"}"#] {
        let snapshot = cache.snapshot().await;
        assert!(snapshot.get(json).unwrap().user.starts_with(SECRET));
        assert!(read(snapshot.get(file).unwrap()).contains(SECRET));
        seen.debug(&(&cache, &snapshot, snapshot.version(bytes), snapshot.age(text)));
        seen.debug(&(cache.get(bytes).await, cache.get(text).await, cache.get(json).await));
        seen.debug(&(cache.get(file).await, cache.peek(file)));
        world.aws.put_object("object", text_of_it).await;
        world.clock.freeze(MINUTE);
    }
    seen.check(&["s3:GetObject s3://conf/object", "refresh{entry=", "outcome=\"changed\""]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_show_what_came() {
    let seen = Seen::listen();
    let (world, directory) = (World::new(), Directory::new());
    let mut builder = world.builder();
    let entry = || s3::object("s3://conf/object").max_bytes(20).lazy();
    let json = builder.add(entry().json::<Settings>());
    let text = builder.add(entry().text().name("text"));
    let file = builder.add(entry().to_file(directory.file("file")).name("file"));
    let cache = builder.spawn().await.unwrap();
    let damaged = |version: usize, length: usize, checksum: &'static str, body: &'static [u8]| {
        move |_: &Call| {
            let mut response = object(&format!("\"{version}\""), length, body.to_vec());
            if !checksum.is_empty() {
                response.headers_mut().insert("x-amz-checksum-crc32", checksum);
            }
            Some(Answer::Http(Box::new(response)))
        }
    };
    let damages = [
        (7, "AAAAAA==", &b"hunter2"[..]),
        (9, "", b"hunter2"),
        (7, "", b"hunter2"),
        (21, "", b"hunter2hunter2hunter2"),
        (8, "", b"hunter2\xff"),
        (18, "", br#"{"user":"hunter2"]"#),
        (20, "", br#"{"user":["hunter2"]}"#),
    ];
    for (version, (length, checksum, body)) in damages.into_iter().enumerate() {
        world.aws.script(damaged(version, length, checksum, body));
        world.clock.freeze(SECOND);
        let error = cache.refresh(json).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Source | ErrorKind::Decode), "{error}");
        seen.error(&error);
        for error in [cache.refresh(text).await.err(), cache.refresh(file).await.err()] {
            error.iter().for_each(|error| seen.error(error));
        }
        seen.debug(&(cache.snapshot().await, &cache));
    }
    seen.check(&[
        "checksum mismatch",
        "Expected 9 bytes",
        "larger than the 20 bytes",
        "byte 7",
        "not JSON",
        "of another type",
    ]);
}
