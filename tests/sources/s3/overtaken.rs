//! A fetch that was frozen in flight is started anew, and its own end changes no file any more.

use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::channel::Sender;
use lambda_cache::sources::s3;
use lambda_cache::{Cache, Error, Key};
use tokio::task::JoinHandle;

use super::store::{Directory, read};
use crate::aws::Answer;
use crate::fixture::{HOUR, MINUTE, World};

/// A cache that is in the middle of a download of "second", which is three parts long, when its
/// environment freezes for an hour.
struct Frozen {
    world: World,
    directory: Directory,
    cache: Cache,
    file: Key<PathBuf>,
    sender: Sender<Bytes, std::io::Error>,
    _reader: JoinHandle<Result<(), Error>>,
}

impl Frozen {
    async fn new() -> Self {
        let (world, directory) = (World::bucket([("object", "first")]).await, Directory::new());
        let mut builder = world.builder();
        let file = builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
        let cache = builder.spawn().await.unwrap();
        let (mut sender, answer) = Answer::streamed("\"second\"", 6);
        let answer = Mutex::new(Some(answer));
        world.aws.script(move |_| answer.lock().unwrap().take());
        world.clock.freeze(MINUTE);
        let reader = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(file).await.map(|_| ()) }
        });
        for part in ["se", "co"] {
            sender.send_data(Bytes::from_static(part.as_bytes())).await.unwrap();
        }
        world.clock.freeze(HOUR);
        world.aws.calls();
        Self { world, directory, cache, file, sender, _reader: reader }
    }

    /// The old download ends.
    async fn end(mut self) -> (World, Directory, Cache, Key<PathBuf>) {
        self.sender.send_data(Bytes::from_static(b"nd")).await.unwrap();
        drop(self.sender);
        while self.directory.names().len() > 1 {
            tokio::task::yield_now().await;
        }
        (self.world, self.directory, self.cache, self.file)
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_download_that_ends_last_does_not_undo_a_newer_one() {
    let frozen = Frozen::new().await;
    frozen.world.aws.put_object("object", "third").await;
    assert_eq!(read(&*frozen.cache.get(frozen.file).await.unwrap()), "third");
    assert_eq!(frozen.world.aws.calls().len(), 1);
    let (world, directory, cache, file) = frozen.end().await;
    assert_eq!(read(directory.file("file")), "third");
    world.clock.freeze(MINUTE);
    assert_eq!(read(&*cache.get(file).await.unwrap()), "third");
}

#[tokio::test(start_paused = true)]
async fn an_old_download_that_ends_last_does_not_undo_a_304() {
    let frozen = Frozen::new().await;
    assert_eq!(read(&*frozen.cache.get(frozen.file).await.unwrap()), "first");
    assert!(frozen.world.aws.calls()[0].if_none_match().is_some());
    let (world, directory, cache, file) = frozen.end().await;
    assert_eq!(read(directory.file("file")), "first");
    world.clock.freeze(MINUTE);
    assert_eq!(read(&*cache.get(file).await.unwrap()), "first");
}

/// Its end comes after the newer one has begun and before that is answered.
#[tokio::test(start_paused = true)]
async fn an_old_download_does_not_get_between_the_question_of_a_newer_one_and_its_304() {
    let frozen = Frozen::new().await;
    frozen.world.aws.script(|_| Some(Answer::Late(crate::fixture::SECOND)));
    let newer = tokio::spawn({
        let (cache, file) = (frozen.cache.clone(), frozen.file);
        async move { cache.get(file).await.map(|it| read(&*it)) }
    });
    while frozen.world.aws.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let (_, directory, _, _) = frozen.end().await;
    assert_eq!(read(directory.file("file")), "first");
    assert_eq!(newer.await.unwrap().unwrap(), "first");
}
