//! [`Batcher`]: items are asked for together, and one that is refused fails alone.
//!
//! AWS authorises and checks a call as a whole: one parameter that the role may not read makes
//! GetParameters fail for all ten. So a refused call is split into smaller ones until it is known
//! which items are at fault. These *culprits* are remembered, and kept out of the calls of the others.
//!
//! The first time this costs a call for each tenth of the refused one, and again for each tenth of a
//! part that is refused too. From then on, culprits that are due together cost two calls: one for the
//! culprit that was last asked for alone the longest time ago, one for the rest. If the first is
//! accepted and the second is not, something has changed, and the rest is split once more. So a
//! culprit that is accepted again is noticed when its turn comes, and at once if it is due alone or if
//! all are accepted. From then on it shares the calls of the others.
//!
//! A role can have the permission for single items and lack the one for the batch operation. That is
//! remembered too, by resource.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_smithy_types::error::metadata::ErrorMetadata;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};

use super::failure::CallError;
use crate::sources::FetchError;

/// How many parts a refused call is split into.
const PARTS: usize = 10;
/// How many calls of one split are in flight at once.
pub(crate) const CONCURRENCY: usize = 16;
/// How many culprits are remembered.
const MAX_CULPRITS: usize = 1000;

/// What became of a call: a result for each of its items, in their order.
pub(crate) type CallResult<A> = Result<Vec<Result<A, FetchError>>, CallError>;

/// An operation that takes several items in one call.
pub(crate) trait BatchCall<K: Clone>: Sync {
    /// What an item is answered with.
    type Answer: Send;

    /// How many items a call takes.
    const LIMIT: usize;

    /// Makes one call.
    fn call(&self, items: &[K]) -> impl Future<Output = CallResult<Self::Answer>> + Send;

    /// The parts of a refused call, each of which is then a call.
    fn split(&self, items: Vec<K>) -> Vec<Vec<K>> {
        tenths(&items)
    }

    /// Called when access was denied to a call and then granted to smaller calls with all its items:
    /// the role may lack the permission for the batch operation. `alone` are the items that were
    /// granted in calls of their own.
    fn batch_denied(&self, _message: Option<&str>, _alone: &[&K]) {}
}

pub(crate) fn tenths<K: Clone>(items: &[K]) -> Vec<Vec<K>> {
    items.chunks(items.len().div_ceil(PARTS)).map(<[K]>::to_vec).collect()
}

/// Asks for items by one operation at one place, and remembers what is refused.
pub(crate) struct Batcher<K>(Mutex<Memory<K>>);

struct Memory<K> {
    culprits: HashMap<K, Culprit>,
    /// Counts how often a culprit was asked for alone.
    turns: u64,
    /// The resources on which the role may not use the batch operation.
    denied: HashSet<String>,
}

struct Culprit {
    /// The error of the last call for it alone, ...
    failure: FetchError,
    /// ... and the turn in which that was.
    turn: u64,
}

type Results<K, A> = Vec<(K, Result<A, FetchError>)>;

impl<K: Clone + Eq + Hash + Send + Sync> Batcher<K> {
    /// Whether this must not share a call with items that are accepted.
    pub(crate) fn is_culprit(&self, item: &K) -> bool {
        self.memory().culprits.contains_key(item)
    }

    /// One result for each item, in as few calls as possible.
    pub(crate) async fn ask<C: BatchCall<K>>(
        &self,
        operation: &C,
        items: Vec<K>,
    ) -> HashMap<K, Result<C::Answer, FetchError>> {
        let (culprits, others): (Vec<K>, Vec<K>) =
            items.into_iter().partition(|item| self.is_culprit(item));
        let others = others.chunks(C::LIMIT).map(<[K]>::to_vec).collect();
        let culprits = culprits.chunks(C::LIMIT).map(|some| self.ask_again(operation, some));
        let (others, culprits) = join(self.resolve(operation, others), join_all(culprits)).await;
        others.into_iter().chain(culprits.into_iter().flatten()).collect()
    }

    /// Makes these calls, and smaller ones in place of each that is refused.
    async fn resolve<C: BatchCall<K>>(
        &self,
        operation: &C,
        mut calls: Vec<Vec<K>>,
    ) -> Results<K, C::Answer> {
        let mut results = Vec::new();
        let mut refused: Vec<(Vec<K>, ErrorMetadata)> = Vec::new();
        // With how many others each item was accepted.
        let mut accepted: HashMap<K, usize> = HashMap::new();
        while !calls.is_empty() {
            let is_split = !refused.is_empty();
            let made = calls.drain(..).map(|items| self.make(operation, items, is_split));
            let made: Vec<_> = stream::iter(made).buffer_unordered(CONCURRENCY).collect().await;
            for (items, result) in made {
                match result {
                    Ok(answers) => {
                        let others = items.len() - 1;
                        accepted.extend(items.iter().map(|item| (item.clone(), others)));
                        results.extend(items.into_iter().zip(answers));
                    }
                    Err(CallError::SomeItems(_, metadata)) if items.len() > 1 => {
                        calls.extend(operation.split(items.clone()));
                        refused.push((items, metadata));
                    }
                    Err(error) => results.extend(all_failed(items, error.into_failure())),
                }
            }
        }
        for (items, metadata) in refused {
            let is_denied = metadata.code() == Some("AccessDeniedException");
            if is_denied && items.iter().all(|item| accepted.contains_key(item)) {
                let alone: Vec<&K> = items.iter().filter(|&it| accepted[it] == 0).collect();
                operation.batch_denied(metadata.message(), &alone);
            }
        }
        results
    }

    /// Makes one call, and remembers its culprits at once: the rest of a split may be cancelled.
    async fn make<C: BatchCall<K>>(
        &self,
        operation: &C,
        items: Vec<K>,
        is_split: bool,
    ) -> (Vec<K>, CallResult<C::Answer>) {
        let result = operation.call(&items).await;
        match &result {
            Ok(_) => self.forget(&items),
            Err(CallError::AllItems(failure)) => self.remember(&items, failure, is_split),
            Err(CallError::SomeItems(failure, _)) if items.len() == 1 => {
                self.remember(&items, failure, is_split);
            }
            Err(_) => {}
        }
        (items, result)
    }

    /// Asks for culprits that fit one call: the one whose turn it is alone, the rest together.
    async fn ask_again<C: BatchCall<K>>(
        &self,
        operation: &C,
        culprits: &[K],
    ) -> Results<K, C::Answer> {
        let mut culprits = culprits.to_vec();
        let turn = |item: &K| self.memory().culprits.get(item).map(|culprit| culprit.turn);
        culprits.sort_by_cached_key(turn);
        let rest = culprits.split_off(1);
        if rest.len() <= 1 {
            let alone = culprits.into_iter().chain(rest).map(|item| vec![item]).collect();
            return self.resolve(operation, alone).await;
        }
        let alone = self.resolve(operation, vec![culprits]);
        let together = self.make(operation, rest, true);
        let (mut results, (rest, result)) = join(alone, together).await;
        match result {
            Ok(answers) => results.extend(rest.into_iter().zip(answers)),
            Err(CallError::SomeItems(failure, _)) => {
                if results.iter().any(|(item, _)| self.is_culprit(item)) {
                    // Nothing has changed, so the rest repeats its last errors.
                    let last = |item: &K| self.failure_of(item).unwrap_or_else(|| failure.clone());
                    results.extend(rest.into_iter().map(|item| (item.clone(), Err(last(&item)))));
                } else {
                    results.extend(self.resolve(operation, operation.split(rest)).await);
                }
            }
            Err(error) => results.extend(all_failed(rest, error.into_failure())),
        }
        results
    }

    /// Whether items on this resource may share calls.
    pub(crate) fn may_batch_on(&self, resource: &str) -> bool {
        !self.memory().denied.contains(resource)
    }

    /// Remembers that the role lacks the permission for the batch operation, and warns the first time.
    pub(crate) fn deny_batches_on(&self, resource: &str, operation: &str, message: Option<&str>) {
        if self.memory().denied.insert(resource.to_owned()) {
            tracing::warn!(
                message,
                "fetched one by one from now on: the role lacks the permission {operation} on \
                 {resource}"
            );
        }
    }

    /// Forgets everything: the role may be another one.
    pub(crate) fn reset(&self) {
        *self.memory() = Memory::default();
    }

    /// Remembers culprits that were found by a split or were known before.
    fn remember(&self, items: &[K], failure: &FetchError, is_split: bool) {
        let mut memory = self.memory();
        memory.turns += 1;
        let turn = memory.turns;
        for item in items {
            if is_split || memory.culprits.contains_key(item) {
                let culprit = Culprit { failure: failure.clone(), turn };
                memory.culprits.insert(item.clone(), culprit);
            }
        }
        while memory.culprits.len() > MAX_CULPRITS {
            let oldest = memory.culprits.iter().min_by_key(|(_, culprit)| culprit.turn);
            let Some(oldest) = oldest.map(|(item, _)| item.clone()) else { break };
            memory.culprits.remove(&oldest);
        }
    }

    fn forget(&self, items: &[K]) {
        let mut memory = self.memory();
        for item in items {
            memory.culprits.remove(item);
        }
    }

    fn failure_of(&self, item: &K) -> Option<FetchError> {
        self.memory().culprits.get(item).map(|culprit| culprit.failure.clone())
    }

    fn memory(&self) -> MutexGuard<'_, Memory<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all_failed<K, A>(
    items: Vec<K>,
    failure: FetchError,
) -> impl Iterator<Item = (K, Result<A, FetchError>)> {
    items.into_iter().map(move |item| (item, Err(failure.clone())))
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self { culprits: HashMap::new(), turns: 0, denied: HashSet::new() }
    }
}

impl<K> Default for Batcher<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Without the items, whose keys may be personal data.
impl<K> fmt::Debug for Batcher<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    /// A service that refuses each call with one of these items in it.
    #[derive(Default)]
    struct Service {
        refused: Mutex<BTreeSet<u32>>,
        /// The items of each call.
        calls: Mutex<Vec<Vec<u32>>>,
    }

    impl BatchCall<u32> for Service {
        type Answer = u32;

        const LIMIT: usize = 10;

        async fn call(&self, items: &[u32]) -> CallResult<u32> {
            self.calls.lock().expect("calls").push(items.to_vec());
            let refused = self.refused.lock().expect("refused items");
            match items.iter().find(|item| refused.contains(item)) {
                Some(item) => {
                    let cause = format!("{item} is refused");
                    let metadata = ErrorMetadata::builder().build();
                    Err(CallError::SomeItems(FetchError::new(ErrorKind::Denied, cause), metadata))
                }
                None => Ok(items.iter().map(|&item| Ok(item)).collect()),
            }
        }
    }

    impl Service {
        fn refuse(&self, items: impl IntoIterator<Item = u32>) {
            *self.refused.lock().expect("refused items") = items.into_iter().collect();
        }

        /// Which items fail, and in how many calls that is found out.
        fn ask(&self, batcher: &Batcher<u32>, items: &BTreeSet<u32>) -> (BTreeSet<u32>, usize) {
            self.calls.lock().expect("calls").clear();
            let asked = batcher.ask(self, items.iter().copied().collect());
            let results = futures_util::future::FutureExt::now_or_never(asked).expect("no waiting");
            assert!(results.keys().copied().collect::<BTreeSet<_>>() == *items, "one result each");
            let mut failed = BTreeSet::new();
            for (item, result) in results {
                match result {
                    Ok(answer) => assert_eq!(answer, item),
                    Err(error) => {
                        assert_eq!(error.cause.to_string(), format!("{item} is refused"));
                        failed.insert(item);
                    }
                }
            }
            let calls = self.calls.lock().expect("calls");
            assert!(calls.iter().all(|items| (1..=Self::LIMIT).contains(&items.len())));
            (failed, calls.len())
        }
    }

    fn items() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0..25u32, 0..25)
    }

    proptest! {
        #[test]
        fn an_item_fails_only_by_its_own_fault_and_a_stable_state_costs_two_calls_for_ten_culprits(
            history in prop::collection::vec((items(), items()), 1..8)
        ) {
            let (service, batcher) = (Service::default(), Batcher::default());
            for (refused, asked) in history {
                service.refuse(refused.iter().copied());
                let known: HashSet<u32> =
                    asked.iter().copied().filter(|item| batcher.is_culprit(item)).collect();
                let (failed, calls) = service.ask(&batcher, &asked);
                for item in &asked {
                    let is_refused = refused.contains(item);
                    prop_assert!(!is_refused || failed.contains(item), "{item} is refused");
                    // One that was a culprit may have to wait for its turn.
                    let may_fail = is_refused || known.contains(item);
                    prop_assert!(may_fail || !failed.contains(item), "{item} is not at fault");
                }
                prop_assert!(calls <= asked.len() + 2 * asked.len().div_ceil(10) + 2);

                // It takes as many rounds as there are culprits until all that are well are known.
                for _ in 0..asked.len() {
                    service.ask(&batcher, &asked);
                }
                let at_fault: BTreeSet<u32> = asked.intersection(&refused).copied().collect();
                let (failed, calls) = service.ask(&batcher, &asked);
                prop_assert_eq!(&failed, &at_fault);
                let (well, ill) = (asked.len() - at_fault.len(), at_fault.len());
                // A lone item that is refused need not be remembered.
                let stable = well.div_ceil(10) + 2 * ill.div_ceil(10);
                prop_assert!(calls <= stable + 1, "{calls} calls, {stable} expected");
            }
        }
    }

    #[test]
    fn the_culprits_that_are_remembered_are_bounded() {
        let (service, batcher) = (Service::default(), Batcher::default());
        let all: BTreeSet<u32> = (0..2 * MAX_CULPRITS as u32).collect();
        service.refuse(all.iter().copied());
        assert_eq!(service.ask(&batcher, &all).0, all);
        assert_eq!(batcher.memory().culprits.len(), MAX_CULPRITS);
    }

    #[test]
    fn a_denied_batch_operation_stays_denied_until_a_reset() {
        let batcher = Batcher::<u32>::default();
        for _ in 0..2 {
            batcher.deny_batches_on("*", "service:BatchGet", None);
            assert!(!batcher.may_batch_on("*") && batcher.may_batch_on("other"));
        }
        batcher.reset();
        assert!(batcher.may_batch_on("*"));
    }
}
