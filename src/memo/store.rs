//! The keys a memo keeps: a bounded number. The least valuable go first.
//!
//! quick_cache holds them and decides which go (CLOCK-Pro: what was read once makes room before what
//! is read often). It bounds at each insert, so that there is no moment beyond the bound. How old
//! what it holds may be is not its business.

use std::hash::Hash;
use std::num::NonZero;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::clock::Stamp;
use crate::engine::Landing;
use crate::freshness::{self, Bounds, Policy};
use crate::snapshot::{AnyValue, Slot, Stored};
use crate::sync::step;

/// The most that all keys may weigh. A key weighs its share of the bound in entries or of the one in
/// bytes, whichever is larger, so that neither is exceeded.
const WHOLE: u64 = 1 << 60;
/// Keys that are worth a lock of their own.
const KEYS_PER_SHARD: usize = 1024;
/// The bytes of a key for which only an error is stored.
const ERROR_BYTES: u64 = 256;

/// How many keys may be kept.
pub(super) struct Bound<K> {
    pub(super) entries: NonZero<usize>,
    pub(super) bytes: Option<BytesBound<K>>,
}

/// The most bytes of all values, and how to count those of one.
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

/// The states of the keys that there is room for. Changes are made under the lock of the memo's tickets;
/// reads take no lock of the memo.
///
/// Removed keys and values are returned, so that the caller drops them where no lock is held.
pub(super) struct Store<K>(Cache<K, Arc<KeyState>, ByWeight, DefaultHashBuilder, HandOut>);

/// Removed keys with their states.
pub(super) type Removed<K> = Vec<(K, Arc<KeyState>)>;

#[derive(Clone)]
struct ByWeight;

impl<K> Weighter<K, Arc<KeyState>> for ByWeight {
    fn weight(&self, _: &K, state: &Arc<KeyState>) -> u64 {
        state.weight
    }
}

/// Collects what is evicted.
#[derive(Clone)]
struct HandOut;

impl<K> Lifecycle<K, Arc<KeyState>> for HandOut {
    type RequestState = Removed<K>;

    fn on_evict(&self, removed: &mut Removed<K>, key: K, state: Arc<KeyState>) {
        removed.push((key, state));
    }
}

impl<K: Clone + Eq + Hash> Store<K> {
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
        let hasher = DefaultHashBuilder::default();
        Self(Cache::with_options(options, ByWeight, hasher, HandOut))
    }

    /// The state of a key that is being read.
    #[inline]
    pub(super) fn read(&self, key: &K) -> Option<Arc<KeyState>> {
        step();
        self.0.get(key)
    }

    /// The same without counting as a read.
    pub(super) fn peek(&self, key: &K) -> Option<Arc<KeyState>> {
        step();
        self.0.peek(key)
    }

    /// Stores a key's state; returns what was evicted for it.
    pub(super) fn put(&self, key: K, state: Arc<KeyState>) -> Removed<K> {
        step();
        let mut removed = Removed::new();
        self.0.insert_with_lifecycle(key, state, &mut removed);
        removed
    }

    /// Replaces a key's state without counting as a read.
    pub(super) fn replace(&self, key: K, state: KeyState) {
        step();
        _ = self.0.replace(key, Arc::new(state), true);
    }

    pub(super) fn remove(&self, key: &K) -> Option<(K, Arc<KeyState>)> {
        step();
        self.0.remove(key)
    }

    pub(super) fn drain(&self) -> Removed<K> {
        step();
        self.0.drain().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, Arc<KeyState>)> {
        self.0.iter()
    }
}

/// The state of one key: its slot, and the bounds that follow from it, computed once for all reads.
#[derive(Clone)]
pub(super) struct KeyState {
    pub(super) slot: Slot,
    /// The share of the memo's bound that it takes.
    pub(super) weight: u64,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When a trace id last made the value look older.
    pub(super) aged: Option<Stamp>,
    /// The fetch that brought it.
    landing: Landing,
    /// Within this the value is fresh.
    fresh: Bounds,
    /// Within this it is not due for a fetch in the background, ...
    due: Bounds,
    /// ... and not within this either: the last attempt failed, or was cancelled.
    pause: Bounds,
    /// Cancellations in a row.
    cancelled: u32,
}

/// The result of a fetch, for those who waited for it.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) state: Arc<KeyState>,
    pub(super) began: Stamp,
}

impl KeyState {
    pub(super) fn new(slot: Slot, weight: u64, policy: &Policy, landing: Landing) -> Self {
        let stored = slot.stored();
        let pause = slot.failure().map_or(Bounds::NEVER, |failure| failure.back_off);
        let due = |stored: &Stored| stored.due(policy, landing.rhythm);
        Self {
            weight,
            failures: 0,
            aged: None,
            landing,
            fresh: stored.map_or(Bounds::NEVER, |stored| stored.fresh(policy)),
            due: stored.map_or(Bounds::ALWAYS, due),
            pause,
            cancelled: 0,
            slot,
        }
    }

    /// Carries over what outlasts a fetch: failures in a row, and when a trace id last acted.
    pub(super) fn following(self, before: Option<&Self>, failures: u32) -> Self {
        Self { failures, aged: before.and_then(|before| before.aged), ..self }
    }

    /// The value, if it is fresh.
    #[inline]
    pub(super) fn fresh(&self, now: Stamp) -> Option<&Stored> {
        self.slot.stored().filter(|_| self.fresh.admits(now))
    }

    /// Whether it is due for a fetch in the background.
    #[inline]
    pub(super) fn is_due(&self, now: Stamp) -> bool {
        !self.due.admits(now) && !self.pause.admits(now)
    }

    /// The state after a trace id made the value look older.
    pub(super) fn aged(&self, older: Slot, policy: &Policy, now: Stamp) -> Self {
        let older = Self::new(older, self.weight, policy, self.landing);
        let Self { failures, pause, cancelled, .. } = *self;
        Self { failures, pause, cancelled, aged: Some(now), ..older }
    }

    /// The state after its fetch was cancelled for lack of time.
    pub(super) fn cancelled(&self, now: Stamp) -> Self {
        let cancelled = self.cancelled.saturating_add(1);
        let pause = Bounds::of(now, freshness::pause(cancelled));
        Self { cancelled, pause, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::freshness::{Pace, Rhythm};
    use crate::snapshot::Asked;

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
        let bound = Bound { entries, bytes: None };
        let store = Store::new(&bound);
        let asked = Asked { number: 1, began: Stamp { monotonic: 0, wall: 0 } };
        let rhythm = Rhythm { pace: Pace::Timers, jitter: 0.0, distance: Duration::from_secs(1) };
        let landing = Landing { asked, now: asked.began, rhythm };
        let mut full = 0;
        for key in 0..10_000_000_u64 {
            let weight = bound.weight(&key, None);
            let state = KeyState::new(Slot::Empty, weight, &Policy::default(), landing);
            store.put(key, Arc::new(state));
            if key == 100_000 {
                full = resident_kb();
            }
        }
        let grown = resident_kb().saturating_sub(full);
        assert!(store.len() <= 10_000 && grown < 2048, "{} keys, {grown} kB more", store.len());
    }

    #[test]
    fn a_bound_that_few_keys_share_is_not_divided() {
        let bound = |entries: usize, bytes| Bound::<u64> {
            entries: NonZero::new(entries).expect("not zero"),
            bytes,
        };
        let shards = [1, KEYS_PER_SHARD, 2 * KEYS_PER_SHARD, 16 * KEYS_PER_SHARD, usize::MAX]
            .map(|entries| bound(entries, None).shards());
        assert_eq!(shards, [1, 1, 2, 16, 16]);
        let bytes = BytesBound { most: NonZero::<u64>::MAX, weigh: Arc::new(|_, _| 1) };
        assert_eq!(bound(usize::MAX, Some(bytes)).shards(), 1);
    }
}
