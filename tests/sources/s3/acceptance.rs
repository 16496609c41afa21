//! The acceptance cases of lambda-cache for Python, A12 to A15 (A14 is also in `declarations`).

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use lambda_cache::sources::{Entry, s3};
use lambda_cache::{ErrorKind, Key};

use super::store::{Directory, read};
use crate::fixture::{First, MINUTE, SECOND, World};
use crate::steps::{Reading, Steps};

const READINGS: [Reading; 5] = [
    Reading::Snapshot,
    Reading::Get,
    Reading::Within,
    Reading::Invocation(First::Handler),
    Reading::Invocation(First::Extension),
];

/// The five steps of an entry; `show` tells its text.
async fn steps<T: Send + Sync + 'static>(
    age: std::time::Duration,
    declare: impl Fn(Entry<s3::OneObject, bytes::Bytes>) -> Entry<s3::OneObject, T>,
    show: impl Fn(&T) -> String,
) {
    for reading in READINGS {
        let world = World::bucket([]).await;
        let put = async |n: usize| {
            world.aws.put_object("app/object.txt", ["the first", "the second"][n]).await;
        };
        let entry = declare(s3::object("s3://conf/app/object.txt"));
        let values = ["the first".to_owned(), "the second".to_owned()];
        Steps { age, reading }.run(&world, entry, put, &show, values).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a12_a_file_changes_at_exactly_its_max_age() {
    let directory = Directory::new();
    steps(10 * SECOND, |it| it.to_file(directory.file("object.txt")), |path| read(path)).await;
}

#[tokio::test(start_paused = true)]
async fn a12_a_file_of_an_entry_with_its_own_name_changes_at_exactly_its_max_age() {
    let directory = Directory::new();
    let declare = |it: Entry<s3::OneObject, _>| it.to_file(directory.file("own")).name("own");
    steps(10 * SECOND, declare, |path| read(path)).await;
}

#[tokio::test(start_paused = true)]
async fn a12_text_in_memory_changes_at_exactly_its_max_age() {
    steps(MINUTE, |it| it.text(), String::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a12_without_a_path_the_file_is_in_the_temporary_directory_under_the_entrys_name() {
    let world = World::bucket([("app/lambda-cache-a12", "default"), ("x", "own")]).await;
    let mut builder = world.builder();
    let default = builder.add(s3::object("s3://conf/app/lambda-cache-a12").to_temporary_file());
    let own = s3::object("s3://conf/x").name("lambda-cache-a12-own").to_temporary_file();
    let own = builder.add(own);
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    for (key, name) in [(default, "lambda-cache-a12"), (own, "lambda-cache-a12-own")] {
        let path: &PathBuf = snapshot.get(key).unwrap();
        assert_eq!(*path, std::env::temp_dir().join(name));
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a13_an_unchanged_object_is_not_downloaded_again_when_it_has_expired() {
    let directory = Directory::new();
    let world = World::bucket([("object.txt", "content")]).await;
    let mut builder = world.builder();
    let object = s3::object("s3://conf/object.txt").to_file(directory.file("object.txt"));
    let object = builder.add(object.max_age(10 * SECOND));
    let cache = builder.spawn().await.unwrap();
    let written = || std::fs::metadata(directory.file("object.txt")).unwrap().ino();
    let (before, first) = (cache.get(object).await.unwrap(), written());
    assert_eq!(world.aws.calls()[0].if_none_match(), None);
    for _ in 0..2 {
        world.clock.freeze(10 * SECOND);
        let after = cache.get(object).await.unwrap();
        assert_eq!((after.age(), &*after), (std::time::Duration::ZERO, &*before));
        assert_eq!(written(), first, "the file is the one that was");
        let calls = world.aws.calls();
        let [call] = &*calls else { panic!("{calls:?}") };
        assert_eq!(call.method, "GET");
        assert_eq!(call.if_none_match(), Some(before.version().as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a14_a_uri_that_is_none_is_refused() {
    let world = World::bucket([]).await;
    for uri in ["conf/object.txt", "https://conf.s3.amazonaws.com/object.txt", "s3://conf"] {
        let mut builder = world.builder();
        builder.add(s3::object(uri));
        let error = builder.spawn().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Declaration);
        assert!(error.to_string().contains(uri), "{error}");
    }
    assert!(world.aws.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a15_an_entry_read_alone_gives_the_path() {
    let directory = Directory::new();
    let world = World::bucket([("object.txt", "content")]).await;
    let mut builder = world.builder();
    builder.add(s3::object("s3://conf/object.txt").to_file(directory.file("object.txt")));
    let cache = builder.spawn().await.unwrap();
    let named: Key<PathBuf> = cache.key("object.txt").unwrap();
    let path = cache.get(named).await.unwrap();
    assert_eq!(*path, directory.file("object.txt"));
    assert_eq!(read(&*path), "content");
    assert_eq!(directory.names(), ["object.txt"]);
}
