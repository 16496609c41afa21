//! Reads of entries against publications, on every schedule: the real cell, handle and read path, around
//! a refresher that the test plays.

use std::any::TypeId;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use shuttle::future::{JoinHandle, block_on, spawn};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

use super::Cache;
use crate::clock::{Clock, Clocks, Stamp};
use crate::entry::{Definition, Key, Loading};
use crate::error::ErrorKind;
use crate::freshness::{Ahead, Policy};
use crate::mode::Mode;
use crate::refresher::{Message, Refresher};
use crate::snapshot::{
    Answer, AnyValue, Asked, Catalog, NewValue, Publisher, Read, Slot, Slots, State, Turn, Waiters,
};
use crate::sync::{Notify, on_every_schedule, step};

pub(crate) const NOW: Stamp = Stamp { monotonic: 0, wall: 0 };
const REASON: &str = "the test ended it";

/// Time stands still, so that fetch numbers alone say what came after what.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Stamp {
        NOW
    }
}

pub(crate) fn definition(name: &str) -> Definition {
    Definition {
        name: Arc::from(name),
        policy: Policy::default(),
        loading: Loading::AtInit,
        timeout: None,
        request: 0,
        source: Arc::from("the test"),
        holds: TypeId::of::<u64>(),
    }
}

/// What a refresher owns. Its end says why before the inbox is closed, as the shell's does.
pub(crate) struct Played {
    pub(crate) publisher: Publisher,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) waiters: Arc<Waiters>,
    catalog: Arc<Catalog>,
    slot: Slot,
    pub(crate) fetches: u64,
}

impl Drop for Played {
    fn drop(&mut self) {
        self.publisher.stop(REASON);
        // Between this and the end of the inbox a reader may begin.
        step();
    }
}

/// A cache of one entry that holds nothing yet, and its refresher.
pub(crate) fn cache() -> (Cache, Key<u64>, Played) {
    let entries = vec![definition("entry")];
    let catalog = Arc::new(Catalog { entries, frozen_after: Duration::from_secs(60) });
    let waiters = Arc::new(Waiters::new(1));
    let publisher = Publisher::new(state(&catalog, &Slot::Empty), Arc::clone(&waiters));
    let (refresher, inbox) = Refresher::played(publisher.reader(), 1);
    let cache = Cache {
        refresher,
        clock: Clocks::Other(Arc::new(Still)),
        mode: Mode::Elsewhere,
        operation_timeout: Duration::from_secs(5),
        ahead: Ahead::default(),
        connections: Arc::new(Mutex::default()),
        #[cfg(feature = "runtime")]
        extension_name: Arc::from("test"),
    };
    let played = Played { publisher, inbox, waiters, catalog, slot: Slot::Empty, fetches: 0 };
    (cache, Key::new(1, 0), played)
}

fn state(catalog: &Arc<Catalog>, slot: &Slot) -> State {
    let policy = Policy::default();
    State {
        cache: 1,
        bounds: slot.bounds(&policy, Turn::default()),
        turn: Turn::default(),
        slots: Slots::new(std::slice::from_ref(slot)),
        catalog: Arc::clone(catalog),
    }
}

impl Played {
    /// The number of a fetch that begins now.
    pub(crate) fn begin(&mut self) -> u64 {
        self.fetches += 1;
        self.publisher.begun(self.fetches);
        self.fetches
    }

    /// Answers reads with what `source` says, until the last handle is gone. What has been published
    /// since a read began is an answer to it.
    async fn serve(&mut self, source: &AtomicU64) {
        while let Some(message) = self.inbox.recv().await {
            let Message::Read { read: Read { after, .. }, .. } = message else { continue };
            if self.slot.stored().is_some_and(|stored| stored.fetch > after) {
                self.publisher.wake();
                continue;
            }
            let number = self.begin();
            let value = AnyValue::new(source.load(Ordering::SeqCst));
            let answer = Answer::Changed(NewValue { value, version: None });
            let asked = Asked { number, began: NOW };
            self.slot = self.slot.after(asked, answer, None).expect("a value");
            drop(self.publisher.publish(state(&self.catalog, &self.slot)));
        }
    }
}

/// Waits for the readers, and then for the refresher.
fn finish(readers: Vec<JoinHandle<()>>, refresher: JoinHandle<()>) {
    block_on(async {
        for reader in readers {
            reader.await.expect("it ends");
        }
        refresher.await.expect("it ends");
    });
}

#[test]
fn a_reader_that_waits_misses_no_publication() {
    on_every_schedule(|| {
        let (cache, key, mut played) = cache();
        let mut changes = cache.changed(key);
        let refresher = spawn(async move { played.serve(&AtomicU64::new(7)).await });
        let (one, all) = (cache.clone(), cache);
        let readers = vec![
            spawn(async move { assert_eq!(*one.get(key).await.expect("a value"), 7) }),
            spawn(async move { assert_eq!(all.snapshot().await.get(key).copied().ok(), Some(7)) }),
            spawn(async move { assert_eq!(*changes.next().await.expect("a value"), 7) }),
        ];
        finish(readers, refresher);
    });
}

#[test]
fn what_is_read_anew_was_asked_for_after_the_read_began() {
    on_every_schedule(|| {
        let (cache, key, mut played) = cache();
        let source = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&source);
        let refresher = spawn(async move { played.serve(&asked).await });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cache, source) = (cache.clone(), Arc::clone(&source));
                spawn(async move {
                    for _ in 0..2 {
                        let changed = source.fetch_add(1, Ordering::SeqCst) + 1;
                        let before = cache.refresher.reader().fetches();
                        let value = cache.refresh(key).await.expect("a value");
                        assert!(*value >= changed, "{} was read after {changed}", *value);
                        let state = cache.refresher.reader().load();
                        let fetch = state.slots.get(0).and_then(Slot::stored).map(|it| it.fetch);
                        assert!(fetch.is_some_and(|fetch| fetch > before));
                    }
                })
            })
            .collect();
        drop(cache);
        finish(readers, refresher);
    });
}

#[test]
fn a_reader_that_leaves_is_not_counted_any_more_when_that_is_heard() {
    on_every_schedule(|| {
        let (cache, key, mut played) = cache();
        let gone = Arc::new(Notify::new());
        let readers: Vec<_> = [Some(()), None]
            .map(|entry| {
                let (cache, gone) = (cache.clone(), Arc::clone(&gone));
                spawn(async move {
                    let read = async {
                        match entry {
                            Some(()) => _ = cache.get(key).await,
                            None => _ = cache.snapshot().await,
                        }
                    };
                    let read = Box::pin(read);
                    // Nothing is published, so it leaves without an answer.
                    let Either::Right(_) = select(read, Box::pin(gone.notified())).await else {
                        panic!("it was answered");
                    };
                    gone.notify_one();
                })
            })
            .into_iter()
            .collect();
        gone.notify_one();
        let refresher = spawn(async move {
            for _ in 0..2 {
                played.inbox.recv().await;
            }
            while played.waiters.of(0) {
                played.publisher.reader_left().await;
            }
            // Nobody is counted twice or uncounted twice: one that comes is one, and then none.
            let counted = played.waiters.waiting(Some(0));
            assert!(played.waiters.of(0));
            drop(counted);
            assert!(!played.waiters.of(0));
        });
        finish(readers, refresher);
    });
}

#[test]
fn when_the_refresher_ends_each_reader_has_a_value_or_is_told_why() {
    on_every_schedule(|| {
        let (cache, key, mut played) = cache();
        let refresher = spawn(async move {
            let source = AtomicU64::new(7);
            let mut serve = Box::pin(played.serve(&source));
            // It ends after any number of its steps.
            let mut steps = shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..4);
            std::future::poll_fn(|context| {
                if steps == 0 {
                    return Poll::Ready(());
                }
                steps -= 1;
                let polled = serve.as_mut().poll(context);
                context.waker().wake_by_ref();
                polled
            })
            .await;
            drop(serve);
            drop(played);
        });
        let readers: Vec<_> = (0..3)
            .map(|number| {
                let cache = cache.clone();
                spawn(async move {
                    let read = match number {
                        0 => cache.get(key).await.map(|it| *it),
                        1 => cache.snapshot().await.get(key).copied(),
                        _ => cache.changed(key).next().await.map(|it| *it),
                    };
                    match read {
                        Ok(value) => assert_eq!(value, 7),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
                            let causes = format!("{error:?}");
                            assert!(causes.contains(REASON), "{causes}");
                        }
                    }
                })
            })
            .collect();
        finish(readers, refresher);
    });
}
