//! What became of a memo's reads and fetches.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a memo is doing: [`Memo::stats`](super::Memo::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoStats {
    /// How many keys are kept.
    pub len: usize,
    /// Reads that were answered without waiting.
    pub hits: u64,
    /// Reads that had to wait for a fetch.
    pub misses: u64,
    /// Fetches of a key that succeeded.
    pub refreshes: u64,
    /// Fetches of a key that failed.
    pub failures: u64,
    /// Requests that were sent, or calls of the memo's function; retries included.
    pub api_calls: u64,
}

impl MemoStats {
    /// The share of reads that were answered without waiting, in 0..=1; zero before the first read.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            reads => self.hits as f64 / reads as f64,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    refreshes: AtomicU64,
    failures: AtomicU64,
    api_calls: AtomicU64,
}

impl Counts {
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refreshed(&self) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn called(&self, calls: u64) {
        self.api_calls.fetch_add(calls, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, len: usize) -> MemoStats {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        MemoStats {
            len,
            hits: load(&self.hits),
            misses: load(&self.misses),
            refreshes: load(&self.refreshes),
            failures: load(&self.failures),
            api_calls: load(&self.api_calls),
        }
    }
}
