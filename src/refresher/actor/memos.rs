//! Memos: the refresher runs their fetches, so that none is in flight when the environment freezes.

use std::sync::{Arc, Weak};

use tokio::task::AbortHandle;

use super::Actor;
use crate::clock::Stamp;
use crate::refresher::keyed::{Keyed, Launch};

/// A memo's batch in flight.
pub(super) struct MemoJob {
    memo: Arc<dyn Keyed>,
    batch: u64,
    abort: AbortHandle,
    /// The invocation it began in.
    invocation: u64,
}

impl Actor {
    /// A memo has keys to be fetched.
    pub(super) fn keyed(&mut self, memo: Arc<dyn Keyed>) {
        self.memos.retain(|known| known.strong_count() > 0);
        let address = Arc::as_ptr(&memo).cast::<()>();
        if !self.memos.iter().any(|known| known.as_ptr().cast::<()>() == address) {
            self.memos.push(Arc::downgrade(&memo));
        }
        self.calling.push(memo);
    }

    /// Starts what memos have to be fetched.
    pub(super) fn launch_memos(&mut self) {
        if self.suspended || self.calling.is_empty() {
            return;
        }
        let now = self.clock.now();
        let timeout = self.timeout(now);
        for memo in std::mem::take(&mut self.calling) {
            let publisher = &self.publisher;
            let number = &|| publisher.begin_fetch();
            let mut launch = Launch { now, timeout, number, batches: Vec::new() };
            Arc::clone(&memo).launch(&mut launch);
            for (batch, fetch) in launch.batches {
                let run = async move {
                    fetch.await;
                    Vec::new()
                };
                let (abort, memo) = (self.jobs.spawn(run), Arc::clone(&memo));
                let job = MemoJob { memo, batch, abort, invocation: self.invocations };
                self.memo_jobs.insert(job.abort.id(), job);
            }
        }
    }

    /// Has everything fetched again that was frozen in flight and that somebody waits for.
    pub(super) fn restart_memos(&mut self) {
        for job in self.memo_jobs.values().filter(|job| job.invocation < self.invocations) {
            job.abort.abort();
            job.memo.put_back(job.batch);
        }
        self.calling.extend(self.memos.iter().filter_map(Weak::upgrade));
    }

    /// Cancels batches in flight: all, or those that nobody waits for.
    pub(super) fn cancel_memos(&mut self, wanted_too: bool, now: Stamp) {
        for job in self.memo_jobs.values() {
            if wanted_too || !job.memo.is_wanted(job.batch) {
                job.abort.abort();
                job.memo.put_back(job.batch);
                job.memo.cancelled(now);
            }
        }
    }

    pub(super) fn age_memos(&self, witness: i64, now: Stamp) {
        for memo in self.memos.iter().filter_map(Weak::upgrade) {
            memo.age_by_witness(witness, now);
        }
    }

    pub(super) fn clear_memos(&self) {
        self.memos.iter().filter_map(Weak::upgrade).for_each(|memo| memo.clear());
    }

    pub(super) fn reset_memos(&mut self) {
        let memos: Vec<_> = self.memos.iter().filter_map(Weak::upgrade).collect();
        memos.iter().for_each(|memo| memo.reset());
        self.calling.extend(memos);
    }

    /// Whether a memo may have something fetched ahead of need while a handler runs.
    pub(super) fn has_memos(&self) -> bool {
        self.memos.iter().any(|memo| memo.strong_count() > 0)
    }
}
