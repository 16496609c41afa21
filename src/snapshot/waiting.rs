//! How many readers wait for what, so that nothing is fetched for readers who have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// How many readers wait for each entry, and for all of them.
#[derive(Debug)]
pub(crate) struct Waiters {
    of_entry: Box<[Arc<WaitCount>]>,
    /// For a snapshot.
    of_all: Arc<WaitCount>,
}

/// How many readers wait for one thing.
#[derive(Debug, Default)]
pub(crate) struct WaitCount(AtomicUsize);

impl WaitCount {
    /// Counts a reader until what this returns is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        self.0.fetch_add(1, SeqCst);
        Waiting(Arc::clone(self))
    }

    pub(crate) fn any(&self) -> bool {
        self.0.load(SeqCst) > 0
    }
}

/// A reader that waits.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<WaitCount>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

impl Waiters {
    pub(crate) fn new(entries: usize) -> Self {
        Self { of_entry: (0..entries).map(|_| Arc::default()).collect(), of_all: Arc::default() }
    }

    /// Whether a reader waits for this entry, or for all.
    pub(crate) fn of(&self, entry: usize) -> bool {
        self.of_all.any() || self.of_entry.get(entry).is_some_and(|count| count.any())
    }

    /// Counts a reader of an entry or, with `None`, of all. A foreign key's entry counts for all.
    pub(crate) fn waiting(&self, entry: Option<usize>) -> Waiting {
        entry.and_then(|entry| self.of_entry.get(entry)).unwrap_or(&self.of_all).waiting()
    }
}
