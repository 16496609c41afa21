//! Items for which a service refuses a whole call, and how the others of the call get their answers.
//!
//! AWS authorises and checks a call as a whole: one parameter that the role may not read makes
//! GetParameters fail for all ten. So a refused call is split into smaller ones until it is known
//! which items are at fault. These *culprits* are remembered, and kept out of the calls of the others.
//!
//! The first time this costs a call for each tenth of the refused one, and again for each tenth of a
//! part that is refused too. From then on, culprits that are due together cost two calls: one for the
//! culprit that was asked for alone the longest time ago, one for all the rest. If the first is
//! accepted and the second is not, something has changed, and the rest is split once more. So a
//! culprit that is well again is noticed when its turn comes, and at once if it is due alone or if all
//! are well; from then on it shares the calls of the others.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{CreateUnhandledError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};

use super::failure::{failure, may_concern_some};
use crate::sources::FetchError;

/// How many parts a refused call is split into.
const PARTS: usize = 10;
/// How many calls of one split are under way at once.
pub(crate) const AT_ONCE: usize = 16;
/// How many culprits are remembered.
const MOST: usize = 1000;

/// An operation that takes several items in one call.
pub(crate) trait BatchCall<K>: Sync {
    /// What an item is answered with.
    type Answer: Send;

    /// How many items a call takes.
    const LIMIT: usize;

    /// Makes one call, and gives the results of its items in their order.
    fn call(
        &self,
        items: &[K],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, FetchError>>, CallError>> + Send;

    /// The parts of a refused call, each of which is then a call.
    fn split(&self, items: Vec<K>) -> Vec<Vec<K>>
    where
        K: Clone,
    {
        tenths(&items)
    }

    /// Called for a call that was refused although all its items were then accepted: these `alone`,
    /// the others together.
    fn refused_without_culprit(&self, _failure: &FetchError, _alone: &[&K]) {}
}

pub(crate) fn tenths<K: Clone>(items: &[K]) -> Vec<Vec<K>> {
    items.chunks(items.len().div_ceil(PARTS)).map(<[K]>::to_vec).collect()
}

/// Why a call failed, and which of its items that concerns.
pub(crate) enum CallError {
    /// Any call would have failed now, whatever its items.
    AnyCall(FetchError),
    /// At least one of the items is refused.
    SomeItems(FetchError),
    /// Each of the items is refused.
    AllItems(FetchError),
}

impl CallError {
    pub(crate) fn new<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + CreateUnhandledError + StdError + Send + Sync + 'static,
    {
        match may_concern_some(&error) {
            true => Self::SomeItems(failure(error)),
            false => Self::AnyCall(failure(error)),
        }
    }

    pub(crate) fn into_failure(self) -> FetchError {
        match self {
            Self::AnyCall(failure) | Self::SomeItems(failure) | Self::AllItems(failure) => failure,
        }
    }
}

/// The culprits among the items of one operation at one place.
pub(crate) struct Culprits<K>(Mutex<Memory<K>>);

struct Memory<K> {
    culprits: HashMap<K, Culprit>,
    /// Counts how often a culprit was asked for alone.
    turns: u64,
}

struct Culprit {
    /// What it failed with when it was last asked for alone, ...
    failure: FetchError,
    /// ... and the turn in which that was.
    turn: u64,
}

type Results<K, A> = Vec<(K, Result<A, FetchError>)>;

impl<K: Clone + Eq + Hash + Send + Sync> Culprits<K> {
    /// Whether this should not share a call with items that are well.
    pub(crate) fn contains<Q>(&self, item: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.memory().culprits.contains_key(item)
    }

    /// One result for each item, in as few calls as they take.
    pub(crate) async fn ask<C: BatchCall<K>>(
        &self,
        operation: &C,
        items: Vec<K>,
    ) -> HashMap<K, Result<C::Answer, FetchError>> {
        let (culprits, others): (Vec<K>, Vec<K>) =
            items.into_iter().partition(|item| self.contains(item));
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
        let mut refused = Vec::new();
        // How many others shared the call that was accepted.
        let mut accepted: HashMap<K, usize> = HashMap::new();
        while !calls.is_empty() {
            let of_split = !refused.is_empty();
            let made = calls.drain(..).map(|items| self.make(operation, items, of_split));
            let made: Vec<_> = stream::iter(made).buffer_unordered(AT_ONCE).collect().await;
            for (items, outcome) in made {
                match outcome {
                    Ok(answers) => {
                        let others = items.len() - 1;
                        accepted.extend(items.iter().map(|item| (item.clone(), others)));
                        results.extend(items.into_iter().zip(answers));
                    }
                    Err(CallError::SomeItems(failure)) if items.len() > 1 => {
                        calls.extend(operation.split(items.clone()));
                        refused.push((items, failure));
                    }
                    Err(error) => {
                        let failure = error.into_failure();
                        results.extend(items.into_iter().map(|it| (it, Err(failure.clone()))));
                    }
                }
            }
        }
        for (items, failure) in refused {
            if items.iter().all(|item| accepted.contains_key(item)) {
                let alone: Vec<&K> = items.iter().filter(|&it| accepted[it] == 0).collect();
                operation.refused_without_culprit(&failure, &alone);
            }
        }
        results
    }

    /// Makes one call. What it says of culprits is remembered at once: the rest of a split may be
    /// cancelled.
    async fn make<C: BatchCall<K>>(
        &self,
        operation: &C,
        items: Vec<K>,
        of_split: bool,
    ) -> (Vec<K>, Result<Vec<Result<C::Answer, FetchError>>, CallError>) {
        let outcome = operation.call(&items).await;
        match &outcome {
            Ok(_) => self.forget(&items),
            Err(CallError::AllItems(failure)) => self.remember(&items, failure, of_split),
            Err(CallError::SomeItems(failure)) if items.len() == 1 => {
                self.remember(&items, failure, of_split);
            }
            Err(_) => {}
        }
        (items, outcome)
    }

    /// Asks for culprits of one call: the one whose turn it is alone, the rest together.
    async fn ask_again<C: BatchCall<K>>(
        &self,
        operation: &C,
        culprits: &[K],
    ) -> Results<K, C::Answer> {
        let mut culprits = culprits.to_vec();
        culprits.sort_by_cached_key(|item| self.turn_of(item));
        let rest = culprits.split_off(1.min(culprits.len()));
        if rest.len() <= 1 {
            let alone = culprits.into_iter().chain(rest).map(|item| vec![item]).collect();
            return self.resolve(operation, alone).await;
        }
        let alone = self.resolve(operation, vec![culprits]);
        let together = self.make(operation, rest, true);
        let (mut results, (rest, outcome)) = join(alone, together).await;
        match outcome {
            Ok(answers) => results.extend(rest.into_iter().zip(answers)),
            Err(CallError::SomeItems(_))
                if !results.iter().any(|(item, _)| self.contains(item)) =>
            {
                results.extend(self.resolve(operation, operation.split(rest)).await);
            }
            Err(CallError::SomeItems(failure)) => {
                let own = |item: K| {
                    let failure = self.failure_of(&item).unwrap_or_else(|| failure.clone());
                    (item, Err(failure))
                };
                results.extend(rest.into_iter().map(own));
            }
            Err(error) => {
                let failure = error.into_failure();
                results.extend(rest.into_iter().map(|it| (it, Err(failure.clone()))));
            }
        }
        results
    }

    /// Forgets all of them: what is refused to some credentials may not be to others.
    pub(crate) fn reset(&self) {
        self.memory().culprits.clear();
    }

    /// Remembers culprits that were found by a split, or were known before.
    fn remember(&self, items: &[K], failure: &FetchError, of_split: bool) {
        let mut memory = self.memory();
        memory.turns += 1;
        let turn = memory.turns;
        for item in items {
            if !of_split && !memory.culprits.contains_key(item) {
                continue;
            }
            let culprit = Culprit { failure: failure.clone(), turn };
            memory.culprits.insert(item.clone(), culprit);
        }
        while memory.culprits.len() > MOST {
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

    fn turn_of(&self, item: &K) -> u64 {
        self.memory().culprits.get(item).map_or(0, |culprit| culprit.turn)
    }

    fn failure_of(&self, item: &K) -> Option<FetchError> {
        self.memory().culprits.get(item).map(|culprit| culprit.failure.clone())
    }

    fn memory(&self) -> MutexGuard<'_, Memory<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Culprits<K> {
    fn default() -> Self {
        Self(Mutex::new(Memory { culprits: HashMap::new(), turns: 0 }))
    }
}

/// Without the items: a key may be somebody's.
impl<K> fmt::Debug for Culprits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Culprits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
