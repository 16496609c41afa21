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

use crate::clock::Stamp;
use crate::snapshot::{AnyValue, Slot};

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

impl<K> Clone for Bound<K> {
    fn clone(&self) -> Self {
        Self { entries: self.entries, bytes: self.bytes.clone() }
    }
}

impl<K> Clone for BytesBound<K> {
    fn clone(&self) -> Self {
        Self { most: self.most, weigh: Arc::clone(&self.weigh) }
    }
}

impl<K> Bound<K> {
    /// The share of the bound that this key takes.
    fn weight(&self, key: &K, slot: &Slot) -> u64 {
        // Rounded down, so that as many as allowed have room, and not one more.
        let entry = (WHOLE / self.entries.get() as u64).max(1);
        let Some(bytes) = &self.bytes else { return entry };
        let size = slot.held().map_or(ERROR_BYTES, |held| (bytes.weigh)(key, &held.value));
        let share = (u128::from(size) * u128::from(WHOLE)).div_ceil(bytes.most.get().into());
        entry.max(share.try_into().unwrap_or(u64::MAX))
    }
}

/// What is known of one key.
pub(super) struct Known {
    pub(super) slot: Slot,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When a witness last made the value look older.
    aged: Option<Stamp>,
    weight: u64,
}

pub(super) struct Kept<K> {
    bound: Bound<K>,
    keys: Cache<K, Arc<Known>, ByWeight>,
}

#[derive(Clone)]
struct ByWeight;

impl<K> Weighter<K, Arc<Known>> for ByWeight {
    fn weight(&self, _: &K, known: &Arc<Known>) -> u64 {
        known.weight
    }
}

impl<K: Clone + Eq + Hash> Kept<K> {
    pub(super) fn new(bound: Bound<K>) -> Self {
        let entries = bound.entries.get();
        let options = OptionsBuilder::new()
            .estimated_items_capacity(entries)
            .weight_capacity(WHOLE)
            .shards((entries / KEYS_PER_SHARD).clamp(1, 16))
            // quick_cache takes nothing that is larger than the part for what is in use, so that is
            // all: else a memo of one key, or a value as large as the bound, would be kept never.
            .hot_allocation(1.0)
            .build();
        let Ok(options) = options else { unreachable!("both capacities are given") };
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { bound, keys: Cache::with_options(options, ByWeight, hasher, lifecycle) }
    }

    /// What is known of a key, which hereby is in use.
    pub(super) fn read(&self, key: &K) -> Option<Arc<Known>> {
        self.keys.get(key)
    }

    /// The same without a word on its use.
    pub(super) fn peek(&self, key: &K) -> Option<Arc<Known>> {
        self.keys.peek(key)
    }

    pub(super) fn put(&self, key: K, slot: Slot, failures: u32) {
        let weight = self.bound.weight(&key, &slot);
        self.keys.insert(key, Arc::new(Known { slot, failures, aged: None, weight }));
    }

    pub(super) fn remove(&self, key: &K) {
        self.keys.remove(key);
    }

    pub(super) fn clear(&self) {
        self.keys.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Has each slot that `older` gives another one for replaced by it.
    pub(super) fn age(&self, now: Stamp, older: impl Fn(&Slot, Option<Stamp>) -> Option<Slot>) {
        for (key, known) in self.keys.iter() {
            if let Some(slot) = older(&known.slot, known.aged) {
                let Known { failures, weight, .. } = *known;
                let known = Known { slot, failures, weight, aged: Some(now) };
                // If it has gone meanwhile, there is nothing to age.
                _ = self.keys.replace(key, Arc::new(known), true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn resident_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("kilobytes")
    }

    #[test]
    #[ignore = "takes half a minute where it is not optimised; .ci/run runs it"]
    #[cfg(target_os = "linux")]
    fn memory_stays_within_its_bound_over_ten_million_different_keys() {
        let entries = NonZero::new(10_000).expect("some");
        let kept = Kept::new(Bound { entries, bytes: None });
        let mut full = 0;
        for key in 0..10_000_000_u64 {
            kept.put(key, Slot::Missing, 0);
            if key == 100_000 {
                full = resident_kb();
            }
        }
        let grown = resident_kb().saturating_sub(full);
        assert!(kept.len() <= 10_000 && grown < 2048, "{} keys, {grown} kB more", kept.len());
    }
}
