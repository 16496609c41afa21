//! Memos of a source that takes many keys in one call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use lambda_cache::sources::{
    BoxFuture, ByKey, Connections, Fetch, Fetched, Source, Wanted, count_call,
};
use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Builder, Cache, DecodeError, Error, ErrorKind, Memo, Mode, Version};
use tokio::task::JoinHandle;

use crate::fixture::{MINUTE, SECOND, settle};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Number(u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test:BatchGet")
    }
}

/// Doubles numbers, ten in a call, a second late.
#[derive(Default)]
struct Doubles {
    calls: Mutex<Vec<Vec<u64>>>,
    resets: Mutex<usize>,
    odd: Mutex<Option<Odd>>,
}

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    PlanPanics,
    PlanLeavesOut,
    AnswersTooFew,
    UnchangedForNothing,
    /// It never says "unchanged": it answers in full, with this version.
    InFull(u64),
}

impl Source for Doubles {
    type Request = Number;
    type Payload = u64;

    fn plan(&self, due: Vec<Number>) -> Vec<Vec<Number>> {
        let odd = *self.odd.lock().unwrap();
        match odd {
            Some(Odd::PlanPanics) => panic!("as the test said"),
            Some(Odd::PlanLeavesOut) => vec![Vec::new(), due[1..].to_vec()],
            _ => due.chunks(10).map(<[_]>::to_vec).collect(),
        }
    }

    fn fetch(&self, batch: Vec<Wanted<Number>>) -> BoxFuture<'_, Vec<Fetch<u64>>> {
        Box::pin(async move {
            count_call();
            self.calls.lock().unwrap().push(batch.iter().map(|it| it.request.0).collect());
            tokio::time::sleep(SECOND).await;
            let odd = *self.odd.lock().unwrap();
            let answer = |wanted: Wanted<Number>| {
                let double = 2 * wanted.request.0;
                if let Some(Odd::InFull(version)) = odd {
                    return Ok(Fetched::current(double + version, Some(Version::new(version))));
                }
                Ok(match wanted.held {
                    None if odd == Some(Odd::UnchangedForNothing) => Fetched::unchanged(),
                    None => Fetched::current(double, Some(Version::new("only"))),
                    Some(_) => Fetched::unchanged(),
                })
            };
            let answers = batch.into_iter().map(answer);
            match odd {
                Some(Odd::AnswersTooFew) => answers.take(1).collect(),
                _ => answers.collect(),
            }
        })
    }

    fn reset(&self) {
        *self.resets.lock().unwrap() += 1;
    }
}

struct Doubled(Arc<Doubles>);

impl ByKey for Doubled {
    type Key = u64;
    type Value = u64;
    type Source = Doubles;

    fn source(&self, _: &mut Connections) -> Result<Arc<Doubles>, Error> {
        Ok(Arc::clone(&self.0))
    }

    fn request(&self, key: &u64) -> Number {
        Number(*key)
    }

    fn decode(&self, payload: &u64) -> Result<u64, DecodeError> {
        match *payload {
            26 => panic!("as the test said"),
            value => Ok(value),
        }
    }

    fn describe(&self) -> String {
        "test:BatchGet".to_owned()
    }
}

struct Batches {
    source: Arc<Doubles>,
    clock: TestClock,
    cache: Cache,
    memo: Memo<u64, u64>,
}

impl Batches {
    async fn new() -> Self {
        let (source, clock) = (Arc::new(Doubles::default()), TestClock::new());
        let builder = Builder::new().clock(clock.clone()).mode(Mode::SnapStart).seed(1);
        let cache = builder.spawn().await.unwrap();
        let memo = cache.memo_from("doubles", Doubled(Arc::clone(&source))).build().unwrap();
        Self { source, clock, cache, memo }
    }

    fn calls(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut *self.source.calls.lock().unwrap())
    }

    /// A reader in a task of its own.
    fn reads(&self, key: u64) -> JoinHandle<Result<u64, ErrorKind>> {
        let memo = self.memo.clone();
        tokio::spawn(async move { memo.get(key).await.map(|it| *it).map_err(|error| error.kind()) })
    }

    /// What each of these keys comes to, read at once.
    async fn get(
        &self,
        keys: impl IntoIterator<Item = u64>,
    ) -> HashMap<u64, Result<u64, ErrorKind>> {
        let reads: Vec<_> = keys.into_iter().map(|key| (key, self.reads(key))).collect();
        let mut values = HashMap::new();
        for (key, read) in reads {
            values.insert(key, read.await.unwrap());
        }
        values
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_missed_together_share_calls_in_the_order_in_which_they_were_asked_for() {
    let it = Batches::new().await;
    let values = it.get((0..25).rev().filter(|&key| key != 13)).await;
    assert!(values.into_iter().all(|(key, value)| value == Ok(2 * key)));
    let batches: [Vec<u64>; 3] = [
        (15..25).rev().collect(),
        (4..15).rev().filter(|&it| it != 13).collect(),
        vec![3, 2, 1, 0],
    ];
    assert_eq!(it.calls(), batches);
    assert_eq!(it.memo.stats().api_calls, 3);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_decoded_is_an_error_of_its_key_alone() {
    let it = Batches::new().await;
    let values = it.get([12, 13]).await;
    assert_eq!((values[&12], values[&13]), (Ok(24), Err(ErrorKind::Panic)));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_value_is_kept_and_its_age_renewed() {
    let it = Batches::new().await;
    it.get([1, 2]).await;
    let held = it.memo.get(1).await.unwrap();
    it.clock.freeze(MINUTE);
    it.get([1, 2]).await;
    let renewed = it.memo.get(1).await.unwrap();
    assert!(Arc::ptr_eq(&held.into_inner(), &renewed.clone().into_inner()));
    assert_eq!((renewed.age(), renewed.version().as_str()), (SECOND, "only"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_full_changes_the_value_only_if_its_version_is_another() {
    let it = Batches::new().await;
    let mut held = Vec::new();
    for version in [1, 1, 2] {
        *it.source.odd.lock().unwrap() = Some(Odd::InFull(version));
        held.push(it.memo.refresh(7).await.unwrap().into_inner());
    }
    assert!(Arc::ptr_eq(&held[0], &held[1]));
    assert_eq!([*held[1], *held[2]], [15, 16]);
    assert_eq!(it.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_value_displaced_while_it_is_revalidated_is_not_lost() {
    let mut it = Batches::new().await;
    let doubled = Doubled(Arc::clone(&it.source));
    it.memo = it.cache.memo_from("doubles", doubled).max_entries(1).build().unwrap();
    it.get([1]).await;
    it.clock.freeze(MINUTE);
    let displaces = it.reads(2);
    tokio::time::sleep(SECOND / 2).await;
    let revalidates = it.reads(1);
    assert_eq!(displaces.await.unwrap(), Ok(4));
    assert_eq!(it.memo.len(), 1);
    assert_eq!(revalidates.await.unwrap(), Ok(2));
    assert_eq!(it.calls(), [[1], [2], [1]]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_wrong_fails_its_keys_and_nothing_else() {
    for (odd, expected) in [
        (Odd::PlanPanics, [Ok(2), Ok(4)]),
        (Odd::PlanLeavesOut, [Ok(2), Ok(4)]),
        (Odd::AnswersTooFew, [Ok(2), Err(ErrorKind::Source)]),
        (Odd::UnchangedForNothing, [Err(ErrorKind::Source); 2]),
    ] {
        let it = Batches::new().await;
        *it.source.odd.lock().unwrap() = Some(odd);
        let values = it.get([1, 2]).await;
        assert_eq!([values[&1], values[&2]], expected, "{odd:?}");
        *it.source.odd.lock().unwrap() = None;
        let values = it.get([1, 2]).await;
        assert_eq!([values[&1], values[&2]], [Ok(2), Ok(4)], "after {odd:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_says_what_was_asked_of_the_source() {
    for odd in [Odd::UnchangedForNothing, Odd::AnswersTooFew] {
        let it = Batches::new().await;
        *it.source.odd.lock().unwrap() = Some(odd);
        let (one, two) = tokio::join!(it.memo.get(1), it.memo.get(2));
        let error = [one.err(), two.err()].into_iter().flatten().next().expect("one failed");
        assert!(error.to_string().contains("test:BatchGet"), "{odd:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_the_source_connects_anew_and_waiting_keys_share_a_call() {
    let it = Batches::new().await;
    let invocations = Invocations::new(&it.cache, &it.clock);
    it.get([1]).await;
    invocations.before_snapshot().await.unwrap();
    let memo = it.memo.clone();
    let early = tokio::spawn(async move { tokio::join!(memo.get(1), memo.get(2)) });
    settle().await;
    it.calls();
    assert_eq!(*it.source.resets.lock().unwrap(), 0);
    invocations.after_restore().await.unwrap();
    let (one, two) = early.await.unwrap();
    assert_eq!((*one.unwrap(), *two.unwrap()), (2, 4));
    assert_eq!((it.calls(), *it.source.resets.lock().unwrap()), (vec![vec![1, 2]], 1));
}
