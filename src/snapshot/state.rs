//! All slots at one instant, as they are published.

use std::sync::Arc;
use std::time::Duration;

use super::slot::{AnyValue, Slot};
use super::verdict::{Look, Read, Turn, Verdict};
use super::{Value, foreign_key};
use crate::clock::Stamp;
use crate::entry::{Definition, Key};
use crate::error::Error;
use crate::freshness::Bounds;

/// How many slots share an `Arc`. Publishing copies one chunk and the list of chunks, so that a
/// change to one of 10,000 entries does not touch 10,000 reference counts.
const CHUNK: usize = 32;

/// The entries of a cache, as declared: what all its states have in common.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) entries: Vec<Definition>,
    /// What began longer ago than this, and longer than its max age, was held up by a freeze.
    pub(crate) frozen_after: Duration,
}

/// Neighbouring slots. The last chunk is filled up with slots that stand for no entry.
#[derive(Clone)]
struct Chunk {
    /// The values of the slots that are ready, where a read finds them in one step.
    ready: [Option<AnyValue>; CHUNK],
    slots: [Slot; CHUNK],
}

impl Chunk {
    fn new(slots: &[Slot]) -> Self {
        let slots: [Slot; CHUNK] =
            std::array::from_fn(|n| slots.get(n).cloned().unwrap_or(Slot::NotRequested));
        Self { ready: std::array::from_fn(|n| slots[n].ready()), slots }
    }
}

/// The slot of every entry. Clones share what has not been changed since.
#[derive(Clone)]
pub(crate) struct Slots {
    /// Most functions have no more entries than this holds, so it is found without a list.
    first: Arc<Chunk>,
    rest: Box<[Arc<Chunk>]>,
}

impl Slots {
    pub(crate) fn new(slots: &[Slot]) -> Self {
        let (first, rest) = slots.split_at(slots.len().min(CHUNK));
        let chunk = |slots| Arc::new(Chunk::new(slots));
        Self { first: chunk(first), rest: rest.chunks(CHUNK).map(chunk).collect() }
    }

    #[inline(always)]
    fn chunk(&self, entry: usize) -> Option<&Chunk> {
        let chunk =
            if entry < CHUNK { Some(&self.first) } else { self.rest.get(entry / CHUNK - 1) };
        chunk.map(Arc::as_ref)
    }

    #[inline]
    pub(crate) fn get(&self, entry: usize) -> Option<&Slot> {
        Some(&self.chunk(entry)?.slots[entry % CHUNK])
    }

    /// Changes a slot, and gives back what was there. A chunk that others share is copied.
    pub(crate) fn replace(&mut self, entry: usize, slot: Slot) -> Slot {
        let chunk = Arc::make_mut(match entry / CHUNK {
            0 => &mut self.first,
            chunk => &mut self.rest[chunk - 1],
        });
        let index = entry % CHUNK;
        chunk.ready[index] = slot.ready();
        std::mem::replace(&mut chunk.slots[index], slot)
    }
}

/// All slots at one instant.
pub(crate) struct State {
    pub(crate) cache: u64,
    /// Within this, every slot that a snapshot must vouch for may be served.
    pub(crate) bounds: Bounds,
    /// The turn that the bounds are for.
    pub(crate) turn: Turn,
    pub(crate) slots: Slots,
    pub(crate) catalog: Arc<Catalog>,
}

impl State {
    /// The value of an entry whose last fetch succeeded.
    #[inline(always)]
    pub(crate) fn ready(&self, entry: usize) -> Option<&AnyValue> {
        self.slots.chunk(entry)?.ready[entry % CHUNK].as_ref()
    }

    /// The slot and the declaration a key stands for.
    pub(crate) fn find<T>(&self, key: Key<T>) -> Result<(&Slot, &Definition), Error> {
        let slot = self.slots.get(key.entry).filter(|_| key.cache == self.cache);
        slot.zip(self.catalog.entries.get(key.entry)).ok_or_else(foreign_key)
    }

    /// What a read gets of a slot of this state at `now`.
    #[inline]
    pub(crate) fn verdict<'a>(
        &self,
        slot: &'a Slot,
        definition: &Definition,
        read: Read,
        now: Stamp,
    ) -> Verdict<'a> {
        let look = Look { read, now, turn: self.turn, frozen_after: self.catalog.frozen_after };
        slot.verdict(&definition.policy, look)
    }

    /// What a read of one entry gets at `now`, unless it has to wait.
    #[inline]
    pub(crate) fn answer<T: Send + Sync + 'static>(
        &self,
        key: Key<T>,
        read: Read,
        now: Stamp,
    ) -> Option<Result<Value<T>, Error>> {
        let (slot, definition) = match self.find(key) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let (stored, stale) = match self.verdict(slot, definition, read, now) {
            Verdict::Serve(stored) => (stored, false),
            Verdict::ServeStale(stored) => (stored, true),
            Verdict::Refuse(failure) => {
                return Some(Err(slot.error(definition, &failure.error, now)));
            }
            Verdict::NotRequested | Verdict::Wait => return None,
        };
        Some(Value::new(stored, &definition.policy, now, stale).ok_or_else(foreign_key))
    }

    /// Whether init has to wait for any entry.
    pub(crate) fn is_loading(&self) -> bool {
        self.entries().any(|(slot, definition)| slot.is_loading(definition))
    }

    /// Each entry's slot and declaration.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Slot, &Definition)> {
        let chunks = std::iter::once(&self.slots.first).chain(&self.slots.rest);
        chunks.flat_map(|chunk| chunk.slots.iter()).zip(&self.catalog.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Version;
    use crate::snapshot::Stored;

    fn slot(number: usize) -> Slot {
        Slot::Ready(Stored {
            value: AnyValue::new(number),
            version: Version::new(number),
            began: Stamp { monotonic: 0, wall: 0 },
            fetch: 1,
            lifetime: None,
        })
    }

    fn number(slots: &Slots, entry: usize) -> Option<usize> {
        let stored = slots.get(entry)?.stored()?;
        let ready = slots.chunk(entry)?.ready[entry % CHUNK].as_ref()?;
        assert_eq!(ready.address(), stored.value.address());
        stored.value.downcast_ref().copied()
    }

    #[test]
    fn each_entry_has_its_own_slot_wherever_its_chunk_ends() {
        for entries in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let mut slots = Slots::new(&(0..entries).map(slot).collect::<Vec<_>>());
            for entry in 0..entries {
                assert_eq!(number(&slots, entry), Some(entry));
            }
            assert_eq!(number(&slots, entries), None);
            let before = slots.clone();
            for entry in 0..entries {
                let replaced = slots.replace(entry, slot(entry + 1_000));
                assert_eq!(replaced.stored().map(|it| it.value.downcast_ref()), Some(Some(&entry)));
            }
            for entry in 0..entries {
                assert_eq!(number(&slots, entry), Some(entry + 1_000));
                assert_eq!(number(&before, entry), Some(entry), "a clone is not changed");
            }
        }
    }
}
