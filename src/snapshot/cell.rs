//! The cell: one [`Publisher`], which the refresher owns, and any number of [`Reader`]s.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::waiting::Waiters;
use super::{AnyValue, Catalog, Read, Slot, Value, Verdict};
use crate::clock::Stamp;
use crate::entry::{Definition, Key};
use crate::error::{Error, ErrorKind};
use crate::freshness::Bounds;

/// How many slots share an `Arc`. Publishing copies one chunk and the list of chunks, so that a
/// change to one of 10,000 entries does not touch 10,000 reference counts.
const CHUNK: usize = 32;

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
            std::array::from_fn(|n| slots.get(n).cloned().unwrap_or(Slot::Unread));
        Self { ready: std::array::from_fn(|n| slots[n].ready()), slots }
    }

    fn set(&mut self, index: usize, slot: Slot) {
        self.ready[index] = slot.ready();
        self.slots[index] = slot;
    }
}

/// All chunks.
#[derive(Clone)]
struct Chunks {
    /// Most functions have no more entries than this holds, so it is found without a list.
    first: Arc<Chunk>,
    rest: Box<[Arc<Chunk>]>,
}

impl Chunks {
    fn new(slots: &[Slot]) -> Self {
        let (first, rest) = slots.split_at(slots.len().min(CHUNK));
        let chunk = |slots| Arc::new(Chunk::new(slots));
        Self { first: chunk(first), rest: rest.chunks(CHUNK).map(chunk).collect() }
    }

    #[inline(always)]
    fn get(&self, entry: usize) -> Option<&Chunk> {
        let chunk =
            if entry < CHUNK { Some(&self.first) } else { self.rest.get(entry / CHUNK - 1) };
        chunk.map(Arc::as_ref)
    }

    /// The chunk of an entry, to be changed: a copy, if a published state shares it.
    fn change(&mut self, entry: usize) -> &mut Chunk {
        Arc::make_mut(match entry / CHUNK {
            0 => &mut self.first,
            chunk => &mut self.rest[chunk - 1],
        })
    }
}

/// All slots at one instant.
pub(crate) struct State {
    pub(crate) cache: u64,
    /// Within this, every slot that a snapshot must vouch for may be served.
    pub(crate) bounds: Bounds,
    chunks: Chunks,
    pub(crate) catalog: Arc<Catalog>,
}

impl State {
    /// The value of an entry whose last fetch succeeded.
    #[inline(always)]
    pub(crate) fn ready(&self, entry: usize) -> Option<&AnyValue> {
        self.chunks.get(entry)?.ready[entry % CHUNK].as_ref()
    }

    #[inline]
    pub(crate) fn slot(&self, entry: usize) -> Option<&Slot> {
        Some(&self.chunks.get(entry)?.slots[entry % CHUNK])
    }

    /// The slot and the declaration a key stands for.
    pub(crate) fn find<T>(&self, key: Key<T>) -> Result<(&Slot, &Definition), Error> {
        let slot = self.slot(key.entry).filter(|_| key.cache == self.cache);
        slot.zip(self.catalog.entries.get(key.entry)).ok_or_else(super::foreign_key)
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
        let (held, stale) = match slot.verdict(definition, read, now, self.catalog.patience) {
            Verdict::Serve(held) => (held, false),
            Verdict::ServeStale(held) => (held, true),
            Verdict::Refuse(failure) => {
                return Some(Err(slot.error(definition, &failure.error, now)));
            }
            Verdict::Unread | Verdict::Wait => return None,
        };
        Some(Value::new(held, &definition.policy, now, stale).ok_or_else(super::foreign_key))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        let chunks = std::iter::once(&self.chunks.first).chain(&self.chunks.rest);
        chunks.flat_map(|chunk| chunk.slots.iter())
    }
}

/// Whether there is still somebody who publishes.
#[derive(Debug, Clone)]
pub(crate) enum Life {
    Running,
    /// Nothing will be refreshed any more, for this reason.
    Stopped(Error),
}

struct Shared {
    state: ArcSwap<State>,
    /// Changes with every state, so that waiting readers look again.
    changes: watch::Sender<Life>,
    /// The number of fetches that have begun.
    fetches: AtomicU64,
    waiters: Waiters,
}

/// The one place that publishes states.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    chunks: Chunks,
    catalog: Arc<Catalog>,
    cache: u64,
}

impl Publisher {
    /// A cell in which no entry has been fetched, and its first reader.
    pub(crate) fn new(cache: u64, catalog: Arc<Catalog>, slots: Vec<Slot>, bounds: Bounds) -> Self {
        let chunks = Chunks::new(&slots);
        let state = State { cache, bounds, chunks: chunks.clone(), catalog: Arc::clone(&catalog) };
        let shared = Shared {
            state: ArcSwap::from_pointee(state),
            changes: watch::Sender::new(Life::Running),
            fetches: AtomicU64::new(0),
            waiters: Waiters::new(slots.len()),
        };
        Self { shared: Arc::new(shared), chunks, catalog, cache }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The number of a fetch that is about to begin.
    ///
    /// Release pairs with the acquire of [`Reader::fetches`]: a reader that sees the number has
    /// begun after this, so whatever it waits for must carry a higher one.
    pub(crate) fn begin_fetch(&self) -> u64 {
        self.shared.fetches.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether a reader waits for this entry, or for all.
    pub(crate) fn is_awaited(&self, entry: usize) -> bool {
        self.shared.waiters.of(entry)
    }

    /// Returns when a reader waits no longer.
    pub(crate) async fn reader_left(&self) {
        self.shared.waiters.left().await;
    }

    pub(crate) fn slot(&self, entry: usize) -> &Slot {
        match self.chunks.get(entry) {
            Some(chunk) => &chunk.slots[entry % CHUNK],
            None => &Slot::Unread,
        }
    }

    /// Changes a slot in the state that the next [`publish`](Self::publish) shows.
    pub(crate) fn set(&mut self, entry: usize, slot: Slot) {
        self.chunks.change(entry).set(entry % CHUNK, slot);
    }

    /// Shows readers what has been set, and wakes those who wait.
    pub(crate) fn publish(&self, bounds: Bounds) {
        self.shared.state.store(Arc::new(State {
            cache: self.cache,
            bounds,
            chunks: self.chunks.clone(),
            catalog: Arc::clone(&self.catalog),
        }));
        self.shared.changes.send_replace(Life::Running);
    }
}

/// Sees what is published, and can neither change nor delay it.
#[derive(Clone)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    #[inline(always)]
    pub(crate) fn load(&self) -> Arc<State> {
        self.shared.state.load_full()
    }

    /// The number of fetches that have begun so far.
    pub(crate) fn fetches(&self) -> u64 {
        self.shared.fetches.load(Ordering::Acquire)
    }

    /// Says from now on whether something was published since the call.
    pub(crate) fn changes(&self) -> watch::Receiver<Life> {
        self.shared.changes.subscribe()
    }

    /// A reader that is not counted among those who wait has gone.
    pub(crate) fn one_has_left(&self) {
        self.shared.waiters.one_has_left();
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.shared.waiters
    }

    /// Tells all who wait that nothing will be published any more.
    pub(crate) fn stop(&self, reason: &str) {
        let error = Error::new(ErrorKind::Stopped, format!("the refresher has ended: {reason}"));
        self.shared.changes.send_replace(Life::Stopped(error));
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
