//! Reads of a memo against landings, invalidations, evictions and readers who leave, on every schedule:
//! the real reads, tickets and store, around a refresher that the test plays.

use std::collections::HashSet;
use std::iter;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use shuttle::future::{JoinHandle, block_on, spawn};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicU64, Ordering};

use super::Memo;
use super::declare::MemoSpec;
use super::landing::Fetched;
use super::loader::Function;
use super::store::Bound;
use crate::cache::interleavings::{NOW, Played, cache, definition};
use crate::engine::Landing;
use crate::error::ErrorKind;
use crate::freshness::{Pace, Rhythm};
use crate::refresher::{AnyMemo, FetchedKeys, Message};
use crate::snapshot::{Asked, WaitCount};
use crate::sources;
use crate::sync::{Notify, on_every_schedule};

type Numbers = Memo<u64, u64>;

/// A memo of at most so many keys, and the refresher that it talks to.
fn memo(most: usize) -> (Numbers, Played) {
    let (cache, _, played) = cache();
    let memo = Numbers::named("numbers");
    memo.connect(
        &cache,
        MemoSpec {
            definition: definition("numbers"),
            bound: Bound { entries: NonZero::new(most).expect("some"), bytes: None },
            cache_errors_for: Duration::ZERO,
            // The test fetches itself.
            loader: Arc::new(Function(|_| async { Err::<u64, _>("not asked") })),
        },
    );
    (memo, played)
}

/// Fetches what is asked for from `source`, each ticket in a task of its own, until the cache is gone.
/// Returns how many fetches there were.
///
/// It never looks at what was voided: that it is not stored has to be seen to where it lands.
async fn serve(
    memo: std::sync::Weak<super::Handle<u64, u64>>,
    mut played: Played,
    source: Arc<AtomicU64>,
) -> u64 {
    let mut begun = HashSet::new();
    let mut fetches: Vec<JoinHandle<()>> = Vec::new();
    while let Some(message) = played.inbox.recv().await {
        let Message::Key { asked, .. } = message else { continue };
        let Some(handle) = memo.upgrade() else { continue };
        let core = Arc::clone(&handle.connected.get().expect("connected").core);
        drop(handle);
        let number = asked.ticket;
        if !begun.insert(number) {
            continue;
        }
        // As after a fetch that was cancelled.
        if thread_rng().gen_bool(0.5) {
            core.pause(&[number], NOW);
        }
        if core.plan(&[number], asked.ahead, NOW).batches.is_empty() {
            continue;
        }
        let asked = Asked { number: played.begin(), began: NOW };
        let source = Arc::clone(&source);
        fetches.push(spawn(async move {
            let Some(ticket) = core.tickets().get(number) else { return };
            let value = sources::Fetched::current(source.load(Ordering::SeqCst), None);
            let fetched = Fetched::new(core, asked, iter::once((ticket, (None, Ok(value)))));
            let rhythm = Rhythm { pace: Pace::Timers, jitter: 0.0, distance: Duration::ZERO };
            Box::new(fetched).land(&[number], Landing { asked, now: NOW, rhythm });
        }));
    }
    for fetch in fetches {
        fetch.await.expect("it ends");
    }
    played.fetches
}

/// Waits for the readers, then ends the memo, and waits for the refresher.
fn finish(memo: Numbers, readers: Vec<JoinHandle<()>>, refresher: JoinHandle<u64>) -> u64 {
    block_on(async move {
        for reader in readers {
            reader.await.expect("it ends");
        }
        drop(memo);
        refresher.await.expect("it ends")
    })
}

#[test]
fn readers_of_a_key_share_one_fetch_and_none_misses_its_end() {
    on_every_schedule(|| {
        let (memo, played) = memo(8);
        let source = Arc::new(AtomicU64::new(7));
        let refresher = spawn(serve(Arc::downgrade(&memo.0), played, source));
        let readers = (0..3)
            .map(|_| {
                let memo = memo.clone();
                spawn(async move { assert_eq!(*memo.get(1).await.expect("a value"), 7) })
            })
            .collect();
        assert_eq!(finish(memo, readers, refresher), 1);
    });
}

#[test]
fn what_is_read_anew_was_asked_for_after_the_read_began() {
    on_every_schedule(|| {
        let (memo, played) = memo(8);
        let source = Arc::new(AtomicU64::new(0));
        let refresher = spawn(serve(Arc::downgrade(&memo.0), played, Arc::clone(&source)));
        let readers = (0..2)
            .map(|_| {
                let (memo, source) = (memo.clone(), Arc::clone(&source));
                spawn(async move {
                    for _ in 0..2 {
                        let changed = source.fetch_add(1, Ordering::SeqCst) + 1;
                        let value = *memo.refresh(1).await.expect("a value");
                        assert!(value >= changed, "{value} was read after {changed}");
                    }
                })
            })
            .collect();
        finish(memo, readers, refresher);
    });
}

#[test]
fn what_was_asked_for_before_an_invalidation_is_not_read_after_it() {
    on_every_schedule(|| {
        let (memo, played) = memo(8);
        let (source, invalidated) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let refresher = spawn(serve(Arc::downgrade(&memo.0), played, Arc::clone(&source)));
        let mut readers: Vec<_> = (0..2)
            .map(|_| {
                let (memo, invalidated) = (memo.clone(), Arc::clone(&invalidated));
                spawn(async move {
                    for _ in 0..2 {
                        let at_least = invalidated.load(Ordering::SeqCst);
                        let value = *memo.get(1).await.expect("a value");
                        assert!(value >= at_least, "{value} was read after {at_least}");
                    }
                })
            })
            .collect();
        let writer = memo.clone();
        readers.push(spawn(async move {
            source.store(2, Ordering::SeqCst);
            writer.invalidate(1).await.expect("it is there");
            invalidated.store(2, Ordering::SeqCst);
            assert_eq!(*writer.get(1).await.expect("a value"), 2);
        }));
        finish(memo, readers, refresher);
    });
}

#[test]
fn a_key_that_is_evicted_as_it_lands_still_answers_its_readers() {
    on_every_schedule(|| {
        let (memo, played) = memo(1);
        let source = Arc::new(AtomicU64::new(7));
        let refresher = spawn(serve(Arc::downgrade(&memo.0), played, source));
        let readers = (0..3)
            .map(|number| {
                let memo = memo.clone();
                spawn(async move {
                    for key in [number % 2, 2] {
                        assert_eq!(*memo.get(key).await.expect("a value"), 7);
                        assert!(memo.len() <= 1);
                    }
                })
            })
            .collect();
        finish(memo, readers, refresher);
    });
}

#[test]
fn a_reader_that_leaves_takes_no_other_with_it_and_is_heard() {
    on_every_schedule(|| {
        let (memo, mut played) = memo(8);
        let leave = Arc::new(Notify::new());
        let (leaver, leaving) = (memo.clone(), Arc::clone(&leave));
        // One that nobody answers, since nothing is served yet.
        let reader = spawn(async move {
            let left = select(Box::pin(leaver.get(1)), Box::pin(leaving.notified())).await;
            assert!(matches!(left, Either::Right(_)));
        });
        let (source, weak) = (Arc::new(AtomicU64::new(7)), Arc::downgrade(&memo.0));
        let refresher = spawn(async move {
            let Some(Message::Key { asked, .. }) = played.inbox.recv().await else {
                panic!("nothing is asked for");
            };
            let waiting: Arc<WaitCount> = asked.waiting;
            while waiting.any() {
                played.publisher.reader_left().await;
            }
            drop(waiting);
            serve(weak, played, source).await
        });
        leave.notify_one();
        block_on(reader).expect("it ends");
        let other = memo.clone();
        let readers =
            vec![spawn(async move { assert_eq!(*other.get(2).await.expect("a value"), 7) })];
        finish(memo, readers, refresher);
    });
}

#[test]
fn when_the_refresher_ends_each_reader_has_a_value_or_is_told() {
    on_every_schedule(|| {
        let (memo, mut played) = memo(8);
        let (source, weak) = (Arc::new(AtomicU64::new(7)), Arc::downgrade(&memo.0));
        let refresher = spawn(async move {
            if thread_rng().gen_bool(0.5) {
                played.inbox.recv().await;
                drop(played);
                return 0;
            }
            serve(weak, played, source).await
        });
        let readers = (0..3)
            .map(|_| {
                let memo = memo.clone();
                spawn(async move {
                    match memo.get(1).await {
                        Ok(value) => assert_eq!(*value, 7),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Stopped, "{error}"),
                    }
                })
            })
            .collect();
        finish(memo, readers, refresher);
    });
}
