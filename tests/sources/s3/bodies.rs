//! A body that is not what it should be is the entry's error, and leaves what is held, in memory and in
//! the file.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_smithy_types::checksum_config::ResponseChecksumValidation;
use bytes::Bytes;
use http_body_util::channel::Sender;
use lambda_cache::sources::s3;
use lambda_cache::{Builder, Cache, Clock, Error, ErrorKind, Key};

use super::store::{Directory, object, read};
use crate::aws::{Answer, Aws};
use crate::fixture::{MINUTE, SECOND, World};
use crate::roles::builder;

/// An entry in memory and one in a file, both of an object that is "old".
struct Both {
    world: World,
    cache: Cache,
    directory: Directory,
    memory: Key<String>,
    file: Key<PathBuf>,
}

impl Both {
    async fn new(options: impl FnOnce(Builder) -> Builder) -> Self {
        let (world, directory) = (World::bucket([("object", "old")]).await, Directory::new());
        let mut builder = options(builder(&world));
        let entry = || s3::object("s3://conf/object").max_bytes(8);
        let memory = builder.add(entry().text());
        let file = builder.add(entry().to_file(directory.file("file")).name("file"));
        let cache = builder.spawn().await.unwrap();
        world.clock.freeze(MINUTE);
        Self { world, cache, directory, memory, file }
    }

    /// The errors with which both entries fail, whose values stay.
    async fn errors(&self) -> [Error; 2] {
        let snapshot = self.cache.snapshot().await;
        let errors = [snapshot.get(self.memory).unwrap_err(), snapshot.get(self.file).unwrap_err()];
        assert_eq!(errors.each_ref().map(|it| it.entry()), [Some("object"), Some("file")]);
        assert_eq!(*self.cache.peek(self.memory).unwrap(), "old");
        assert_eq!(read(&*self.cache.peek(self.file).unwrap()), "old");
        assert_eq!(self.directory.names(), ["file"], "nothing is left beside the file");
        errors
    }

    /// Both entries have the new value.
    async fn recover(&self) {
        self.world.aws.heal();
        self.world.aws.put_object("object", "new").await;
        self.world.clock.freeze(MINUTE);
        let snapshot = self.cache.snapshot().await;
        assert_eq!(snapshot.get(self.memory).unwrap(), "new");
        assert_eq!(read(snapshot.get(self.file).unwrap()), "new");
    }
}

/// From now on bodies are of this length, and as the test sends them: the senders, as they come.
fn stream(aws: &Aws, length: usize) -> Arc<Mutex<Vec<Sender<Bytes, io::Error>>>> {
    let senders = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&senders);
    aws.script(move |_| {
        let (sender, answer) = Answer::streamed("\"new\"", length);
        kept.lock().unwrap().push(sender);
        Some(answer)
    });
    senders
}

/// What is said when this has been sent, and then the connection breaks, if it does.
async fn cut_off(length: usize, sent: &'static [&'static str], breaks: bool) {
    let both = Both::new(|it| it).await;
    let senders = stream(&both.world.aws, length);
    let feed = async {
        for _ in 0..2 {
            let mut sender = loop {
                if let Some(sender) = senders.lock().unwrap().pop() {
                    break sender;
                }
                tokio::task::yield_now().await;
            };
            for part in sent {
                // It may have had enough.
                _ = sender.send_data(Bytes::from_static(part.as_bytes())).await;
            }
            if breaks {
                sender.abort(io::Error::from(io::ErrorKind::ConnectionReset));
            }
        }
    };
    let (errors, ()) = tokio::join!(both.errors(), feed);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        let expected = if breaks { "connection reset" } else { "Invalid Content-Length" };
        assert!(error.to_string().contains(expected), "{error}");
    }
    both.recover().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_in_the_body_leaves_the_old_value() {
    cut_off(8, &["ne"], true).await;
    cut_off(8, &[], true).await;
    cut_off(3, &["ne", "w"], true).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_as_long_as_announced_leaves_the_old_value() {
    cut_off(8, &["ne", "w"], false).await;
    cut_off(8, &[], false).await;
    cut_off(2, &["ne", "w"], false).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_checksum_is_wrong_leaves_the_old_value() {
    // Of "new", and of something else.
    for (header, right, wrong) in [
        ("x-amz-checksum-crc32", "a+NERQ==", "a+NERA=="),
        (
            "x-amz-checksum-sha256",
            "EVB6Di9eadXfpApiob17buV+a82FxnybhDGzb/8hxDc=",
            "AAB6Di9eadXfpApiob17buV+a82FxnybhDGzb/8hxDc=",
        ),
    ] {
        let both = Both::new(|it| it).await;
        let with = move |checksum: &'static str| {
            move |_: &crate::aws::Call| {
                let mut response = object("\"new\"", 3, "new");
                response.headers_mut().insert(header, checksum);
                Some(Answer::Http(Box::new(response)))
            }
        };
        both.world.aws.script(with(wrong));
        for error in both.errors().await {
            assert_eq!(error.kind(), ErrorKind::Source, "{error}");
            assert!(error.to_string().contains("checksum mismatch"), "{error}");
        }
        both.world.aws.script(with(right));
        both.world.clock.freeze(MINUTE);
        let snapshot = both.cache.snapshot().await;
        assert_eq!(snapshot.get(both.memory).unwrap(), "new");
        assert_eq!(read(snapshot.get(both.file).unwrap()), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn checksums_are_verified_even_if_the_configuration_does_without() {
    let world = World::new();
    world.aws.script(|_| {
        let mut response = object("\"new\"", 3, "new");
        response.headers_mut().insert("x-amz-checksum-crc32", "AAAAAQ==");
        Some(Answer::Http(Box::new(response)))
    });
    let config = world.aws.config().into_builder();
    let config = config.response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let mut builder = Cache::builder(&config.build());
    builder.add(s3::object("s3://conf/object"));
    let error = builder.spawn().await.unwrap_err();
    assert!(error.to_string().contains("checksum mismatch"), "{error}");
    assert_eq!(world.aws.calls()[0].header("x-amz-checksum-mode"), Some("ENABLED"));
}

#[tokio::test(start_paused = true)]
async fn checksums_are_asked_for_and_one_of_parts_only_is_not_verified() {
    let both = Both::new(|it| it).await;
    both.world.aws.calls();
    both.world.aws.script(|call| {
        assert_eq!(call.header("x-amz-checksum-mode"), Some("ENABLED"));
        let mut response = object("\"parts-2\"", 5, "parts");
        response.headers_mut().insert("x-amz-checksum-crc32", "AAAAAQ==-2");
        Some(Answer::Http(Box::new(response)))
    });
    let snapshot = both.cache.snapshot().await;
    assert_eq!(snapshot.get(both.memory).unwrap(), "parts");
    assert_eq!(read(snapshot.get(both.file).unwrap()), "parts");
}

#[tokio::test(start_paused = true)]
async fn an_object_larger_than_allowed_is_refused_before_its_body_is_read() {
    let both = Both::new(|it| it).await;
    let senders = stream(&both.world.aws, 9);
    for error in both.errors().await {
        assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        assert!(error.to_string().contains("larger than the 8 bytes allowed"), "{error}");
    }
    let senders = std::mem::take(&mut *senders.lock().unwrap());
    assert_eq!(senders.len(), 2);
    for mut sender in senders {
        assert!(sender.send_data(Bytes::from_static(b"n")).await.is_err(), "it is not read");
    }
    both.recover().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_refused_when_it_becomes_larger_than_allowed() {
    let both = Both::new(|it| it).await;
    let unannounced = |text: &'static str| {
        move |_: &crate::aws::Call| {
            let mut response = object("\"new\"", 0, text);
            response.headers_mut().remove("content-length");
            Some(Answer::Http(Box::new(response)))
        }
    };
    both.world.aws.script(unannounced("123456789"));
    for error in both.errors().await {
        assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
    }
    both.world.aws.script(unannounced("12345678"));
    both.world.clock.freeze(MINUTE);
    let snapshot = both.cache.snapshot().await;
    assert_eq!(snapshot.get(both.memory).unwrap(), "12345678");
    assert_eq!(read(snapshot.get(both.file).unwrap()), "12345678");
}

#[tokio::test(start_paused = true)]
async fn in_memory_32_mib_are_allowed_unless_the_entry_says_otherwise() {
    const MOST: usize = 32 * 1024 * 1024;
    let (world, directory) = (World::new(), Directory::new());
    let mut builder = world.builder();
    let entry = || s3::object("s3://conf/object").lazy();
    let memory = builder.add(entry());
    let more = builder.add(entry().max_bytes(MOST as u64 + 1).name("more"));
    let file = builder.add(entry().to_file(directory.file("file")).name("file"));
    let cache = builder.spawn().await.unwrap();
    let zeros = |length: usize| {
        move |_: &crate::aws::Call| {
            let body = Bytes::from(vec![0; length]);
            Some(Answer::Http(Box::new(object("\"zeros\"", length, body))))
        }
    };
    world.aws.script(zeros(MOST));
    assert_eq!(cache.get(memory).await.unwrap().len(), MOST);
    world.aws.script(zeros(MOST + 1));
    assert_eq!(cache.refresh(memory).await.unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(cache.get(more).await.unwrap().len(), MOST + 1);
    let path = cache.get(file).await.unwrap();
    assert_eq!(std::fs::metadata(&**path).unwrap().len(), MOST as u64 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_length_beyond_all_memory_is_an_error() {
    let world = World::new();
    let mut builder = world.builder();
    let entry = s3::object("s3://conf/object").max_bytes(u64::MAX).lazy();
    let object_of = builder.add(entry);
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|_| Some(Answer::Http(Box::new(object("\"1\"", isize::MAX as usize, "")))));
    let error = cache.get(object_of).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_has_the_operation_timeout() {
    let both = Both::new(|it| it.operation_timeout(2 * SECOND)).await;
    let senders = stream(&both.world.aws, 8);
    let before = both.world.clock.now().monotonic();
    for error in both.errors().await {
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    let took = both.world.clock.now().monotonic() - before;
    assert!(took <= 2 * SECOND + SECOND / 100, "{took:?}");
    drop(senders);
    both.recover().await;
}

/// So that a long operation timeout, for large objects, is not what a dead connection costs.
#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_given_up_sooner_than_a_long_operation_timeout() {
    let both = Both::new(|it| it.operation_timeout(MINUTE)).await;
    let _senders = stream(&both.world.aws, 8);
    let before = both.world.clock.now().monotonic();
    for error in both.errors().await {
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(error.source().is_some_and(said_throughput), "{error}");
    }
    let took = both.world.clock.now().monotonic() - before;
    assert!(took < 7 * SECOND, "{took:?}");
    both.recover().await;
}

fn said_throughput(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().contains("throughput") || error.source().is_some_and(said_throughput)
}

/// An attempt's own timeout, 1.5 seconds, is for the head of the answer.
#[tokio::test(start_paused = true)]
async fn a_body_may_take_longer_than_an_attempt() {
    let world = World::new();
    let mut builder = world.builder();
    let text = builder.add(s3::object("s3://conf/object").text().lazy());
    let cache = builder.spawn().await.unwrap();
    let senders = stream(&world.aws, 4);
    let feed = async {
        tokio::time::sleep(SECOND).await;
        let mut sender = senders.lock().unwrap().pop().unwrap();
        for part in ["s", "l", "o", "w"] {
            sender.send_data(Bytes::from_static(part.as_bytes())).await.unwrap();
            tokio::time::sleep(SECOND * 9 / 10).await;
        }
    };
    let (text, ()) = tokio::join!(cache.get(text), feed);
    assert_eq!(*text.unwrap(), "slow");
    assert_eq!(world.aws.calls().len(), 1);
}
