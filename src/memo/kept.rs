//! The keys a memo keeps: a bounded number, of which the least valuable go first.
//!
//! quick_cache holds them and decides which go (CLOCK-Pro: what was read once makes room before what
//! is read often). It bounds at each insert, so that there is no moment beyond the bound. How old
//! what it holds may be is not its business.

use std::hash::Hash;
use std::num::NonZero;
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::known::Known;
use crate::snapshot::AnyValue;

/// What the weights of all keys come to at most. One key weighs its share of whichever bound it
/// takes more of, so that neither is exceeded.
const WHOLE: u64 = 1 << 60;
/// Keys that are worth a lock of their own.
const KEYS_PER_SHARD: usize = 1024;
/// What a key weighs of which only an error is known.
const ERROR_BYTES: u64 = 256;

/// How many keys may be kept.
pub(super) struct Bound<K> {
    pub(super) entries: NonZero<usize>,
    pub(super) bytes: Option<BytesBound<K>>,
}

/// How many bytes all values may come to, and how many one is.
pub(super) struct BytesBound<K> {
    pub(super) most: NonZero<u64>,
    pub(super) weigh: Weigh<K>,
}

/// The bytes of a key and its value.
pub(super) type Weigh<K> = Arc<dyn Fn(&K, &AnyValue) -> u64 + Send + Sync>;

impl<K> Bound<K> {
    /// The share of the bound that a key takes: with its value, or with no more than an error.
    pub(super) fn weight(&self, key: &K, value: Option<&AnyValue>) -> u64 {
        // Rounded down, so that as many as allowed have room, and not one more.
        let entry = (WHOLE / self.entries.get() as u64).max(1);
        let Some(bytes) = &self.bytes else { return entry };
        let size = value.map_or(ERROR_BYTES, |value| (bytes.weigh)(key, value));
        let share = (u128::from(size) * u128::from(WHOLE)).div_ceil(bytes.most.get().into());
        entry.max(share.try_into().unwrap_or(u64::MAX))
    }

    /// How many locks the keys are spread over. A value can be no larger than what each of them
    /// guards, so where bytes are bounded there is but one.
    fn shards(&self) -> usize {
        match self.bytes {
            None => (self.entries.get() / KEYS_PER_SHARD).clamp(1, 16),
            Some(_) => 1,
        }
    }
}

/// What is known of each key that is kept. All that changes it holds the lock of the family's
/// flights; reads do not.
pub(super) struct Kept<K>(Cache<K, Arc<Known>, ByWeight>);

#[derive(Clone)]
struct ByWeight;

impl<K> Weighter<K, Arc<Known>> for ByWeight {
    fn weight(&self, _: &K, known: &Arc<Known>) -> u64 {
        known.weight
    }
}

impl<K: Clone + Eq + Hash> Kept<K> {
    pub(super) fn new(bound: &Bound<K>) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(bound.entries.get())
            .weight_capacity(WHOLE)
            .shards(bound.shards())
            // quick_cache takes nothing that is larger than the part for what is in use, so that is
            // all: else a memo of one key, or a value as large as the bound, would be kept never.
            .hot_allocation(1.0)
            .build();
        let Ok(options) = options else { unreachable!("both capacities are given") };
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Cache::with_options(options, ByWeight, hasher, lifecycle))
    }

    /// What is known of a key, which hereby is in use.
    #[inline]
    pub(super) fn read(&self, key: &K) -> Option<Arc<Known>> {
        self.0.get(key)
    }

    /// The same without a word on its use.
    pub(super) fn peek(&self, key: &K) -> Option<Arc<Known>> {
        self.0.peek(key)
    }

    pub(super) fn put(&self, key: K, known: Arc<Known>) {
        self.0.insert(key, known);
    }

    /// Has a key that is kept be known otherwise. That is no use of it.
    pub(super) fn replace(&self, key: K, known: Known) {
        _ = self.0.replace(key, Arc::new(known), true);
    }

    pub(super) fn remove(&self, key: &K) {
        self.0.remove(key);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, Arc<Known>)> {
        self.0.iter()
    }
}
