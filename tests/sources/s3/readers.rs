//! Whoever opens a file while it is being replaced sees the whole old object or the whole new one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use lambda_cache::sources::s3;

use super::store::{Directory, object};
use crate::aws::{Answer, Call};
use crate::fixture::World;

const ROUNDS: u8 = 60;
const READERS: usize = 3;

/// An object of this number: its length, then its number as often as that says.
fn content(number: u8, length: usize) -> Vec<u8> {
    let mut content = (length as u64).to_le_bytes().to_vec();
    content.resize(8 + length, number);
    content
}

/// The number of the object that a file holds, which must be whole.
fn number(path: &Path) -> u8 {
    let content = fs::read(path).unwrap();
    let (length, rest) = content.split_first_chunk().expect("a length");
    assert_eq!(u64::from_le_bytes(*length), rest.len() as u64, "it is cut or grown");
    assert!(rest.iter().all(|it| it == &rest[0]), "two objects are mixed");
    rest[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_part_of_an_object() {
    let (world, directory) = (World::new(), Directory::new());
    let path = directory.file("file");
    let mut random = fastrand::Rng::with_seed(1);
    let mut publish = |round: u8| {
        let content = Bytes::from(content(round, random.usize(1..400_000)));
        world.aws.script(move |_: &Call| {
            let response = object(&format!("\"{round}\""), content.len(), content.clone());
            Some(Answer::Http(Box::new(response)))
        });
    };
    publish(0);
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(&path));
    let cache = builder.spawn().await.unwrap();

    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (stop, reads, path) = (Arc::clone(&stop), Arc::clone(&reads), path.clone());
            std::thread::spawn(move || {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    seen.insert(number(&path));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        let before = reads.load(Ordering::Relaxed);
        publish(round);
        cache.refresh(file).await.unwrap();
        assert_eq!(number(&path), round);
        let all_end_early = || readers.iter().all(|it| it.is_finished());
        while reads.load(Ordering::Relaxed) < before + READERS && !all_end_early() {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let seen = reader.join().expect("it saw whole objects only");
        assert!(seen.len() > 1, "it read nothing that was replaced: {seen:?}");
    }
    assert_eq!(directory.names(), ["file"]);
}
