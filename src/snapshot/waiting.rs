//! [`Waiters`]: which entries readers wait for, so that nobody is waited for who has gone.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

use super::Reader;

/// How many readers wait.
pub(super) struct Waiters {
    of_entry: Box<[AtomicUsize]>,
    /// For a snapshot of all.
    of_all: AtomicUsize,
    /// One has gone. A word that nobody listens for is kept for who listens next.
    left: Notify,
}

impl Waiters {
    pub(super) fn new(entries: usize) -> Self {
        let of_entry = (0..entries).map(|_| AtomicUsize::new(0)).collect();
        Self { of_entry, of_all: AtomicUsize::new(0), left: Notify::new() }
    }

    pub(super) fn of(&self, entry: usize) -> bool {
        let waits = |it: &AtomicUsize| it.load(SeqCst) > 0;
        waits(&self.of_all) || self.of_entry.get(entry).is_some_and(waits)
    }

    /// Returns when a reader has gone since this returned last.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    pub(super) fn one_has_left(&self) {
        self.left.notify_one();
    }

    fn count(&self, entry: Option<usize>) -> Option<&AtomicUsize> {
        match entry {
            Some(entry) => self.of_entry.get(entry),
            None => Some(&self.of_all),
        }
    }
}

/// A reader that waits, from when it is made until it is dropped.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    entry: Option<usize>,
}

impl Reader {
    /// Counts a reader that waits for an entry or, with `None`, for all.
    pub(crate) fn waiting(&self, entry: Option<usize>) -> Waiting<'_> {
        let waiters = self.waiters();
        if let Some(count) = waiters.count(entry) {
            count.fetch_add(1, SeqCst);
        }
        Waiting { waiters, entry }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.waiters.count(self.entry) {
            count.fetch_sub(1, SeqCst);
        }
        self.waiters.one_has_left();
    }
}
