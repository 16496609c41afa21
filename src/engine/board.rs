//! What is published: every entry's slot, and the bound within which a snapshot may be taken unseen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Retired;
use super::schedule::BoundsTree;
use crate::clock::Stamp;
use crate::entry::Definition;
use crate::snapshot::{Catalog, Slot, Slots, State, Turn};

/// The slots are the truth about values; `bounds` and `failing` follow from them, in [`Board::set`]
/// and [`Board::set_turn`] alone.
pub(crate) struct Board {
    cache: u64,
    catalog: Arc<Catalog>,
    slots: Slots,
    turn: Turn,
    bounds: BoundsTree,
    /// Entries whose last fetch failed.
    failing: BTreeSet<usize>,
    /// When a trace id last aged an entry's value.
    aged: HashMap<usize, Stamp>,
    changed: bool,
    /// What was taken out of slots since the last state: a user's `Drop` must not run here.
    retired: Vec<Retired>,
}

impl Board {
    pub(crate) fn new(cache: u64, catalog: Arc<Catalog>, slots: Vec<Slot>) -> Self {
        let turn = Turn::default();
        let bounds = slots.iter().zip(&catalog.entries);
        let bounds = bounds.map(|(slot, it)| slot.bounds(&it.policy, turn));
        Self {
            cache,
            bounds: BoundsTree::new(bounds.collect::<Vec<_>>().into_iter()),
            slots: Slots::new(&slots),
            catalog,
            turn,
            failing: BTreeSet::new(),
            aged: HashMap::new(),
            changed: false,
            retired: Vec::new(),
        }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn entries(&self) -> usize {
        self.catalog.entries.len()
    }

    pub(crate) fn definition(&self, entry: usize) -> &Definition {
        &self.catalog.entries[entry]
    }

    pub(crate) fn slot(&self, entry: usize) -> &Slot {
        self.slots.get(entry).unwrap_or(&Slot::NotRequested)
    }

    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }

    pub(crate) fn failing(&self) -> Vec<usize> {
        self.failing.iter().copied().collect()
    }

    /// Whether init has to wait for any entry.
    pub(crate) fn is_loading(&self) -> bool {
        let mut entries = self.catalog.entries.iter().enumerate();
        entries.any(|(entry, definition)| self.slot(entry).is_loading(definition))
    }

    /// The entries that a snapshot must look at, in order.
    pub(crate) fn broken(&self, now: Stamp) -> Vec<usize> {
        self.bounds.broken(now)
    }

    pub(crate) fn set(&mut self, entry: usize, slot: Slot) {
        let policy = &self.catalog.entries[entry].policy;
        self.bounds.set(entry, slot.bounds(policy, self.turn));
        match slot {
            Slot::Failed(..) => self.failing.insert(entry),
            _ => self.failing.remove(&entry),
        };
        let address = |slot: &Slot| slot.stored().map(|stored| stored.value.address());
        let keeps = address(&slot);
        let before = self.slots.replace(entry, slot);
        if before.failure().is_some() || address(&before) != keeps {
            self.retired.push(Retired::Slot(before));
        }
        self.changed = true;
    }

    /// Another invocation goes on, or none: how failing entries are judged depends on it.
    pub(crate) fn set_turn(&mut self, turn: Turn) {
        self.turn = turn;
        for &entry in &self.failing {
            let policy = &self.catalog.entries[entry].policy;
            let bounds = self.slots.get(entry).map(|slot| slot.bounds(policy, turn));
            self.bounds.set(entry, bounds.unwrap_or(crate::freshness::Bounds::ALWAYS));
            self.changed = true;
        }
    }

    /// Time has passed that the clocks did not see, says a trace id. It may make a value look older,
    /// once per entry and max age. Gives the entries whose values it made older.
    // guarantee 11
    pub(crate) fn age_to(&mut self, trace_time: i64, now: Stamp) -> Vec<usize> {
        let mut aged = Vec::new();
        for entry in 0..self.entries() {
            let policy = self.catalog.entries[entry].policy;
            let last = self.aged.get(&entry).copied();
            let Some(older) = self.slot(entry).aged_to(&policy, trace_time, last, now) else {
                continue;
            };
            self.set(entry, older);
            self.aged.insert(entry, now);
            aged.push(entry);
        }
        aged
    }

    /// The state to publish, and what is no longer in it; `None` if nothing has changed.
    pub(crate) fn publish(&mut self) -> Option<(State, Vec<Retired>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| (self.state(), std::mem::take(&mut self.retired)))
    }

    pub(crate) fn state(&self) -> State {
        State {
            cache: self.cache,
            bounds: self.bounds.all(),
            turn: self.turn,
            slots: self.slots.clone(),
            catalog: Arc::clone(&self.catalog),
        }
    }
}
