//! Memos: the refresher runs their fetches, so that none is in flight when the environment freezes.

use std::sync::{Arc, Weak};

use tokio::task::AbortHandle;

use super::Actor;
use crate::clock::Stamp;
use crate::refresher::invocation::{Driver, Handler};
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
        let address = Arc::as_ptr(&memo).cast::<()>();
        if self.calling.iter().any(|calling| Arc::as_ptr(calling).cast::<()>() == address) {
            return;
        }
        self.memos.retain(|known| known.strong_count() > 0);
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
        let (timeout, ahead) = (self.timeout(now), self.may_fetch_ahead());
        for memo in std::mem::take(&mut self.calling) {
            let (publisher, random) = (&self.publisher, &mut self.random);
            let number = &|| publisher.begin_fetch();
            let mut launch = Launch { now, timeout, ahead, number, random, batches: Vec::new() };
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

    /// Whether what nobody waits for may be begun: only while the environment is kept from freezing,
    /// by a handler that will tell when it ends, or by the extension for as long as it holds.
    fn may_fetch_ahead(&self) -> bool {
        let kept = |it: &super::Current| {
            it.handler == Handler::Running || it.is_held() && self.hold.is_some()
        };
        self.settings.driver == Driver::Timers || self.invocation.as_ref().is_some_and(kept)
    }

    /// Has everything fetched again that was frozen in flight and that somebody waits for.
    pub(super) fn restart_memos(&mut self) {
        for job in self.memo_jobs() {
            if job.invocation < self.invocations {
                job.abort.abort();
                job.memo.put_back(job.batch);
            }
        }
        self.call_memos();
    }

    /// Cancels batches in flight: all, or those that nobody waits for.
    pub(super) fn cancel_memos(&mut self, wanted_too: bool, now: Stamp) {
        for job in self.memo_jobs() {
            if wanted_too || !job.memo.is_wanted(job.batch) {
                job.abort.abort();
                job.memo.cancel(job.batch, now);
            }
        }
        if wanted_too {
            // What has not been started yet waits for the next invocation.
            self.calling.clear();
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
        self.memos.iter().filter_map(Weak::upgrade).for_each(|memo| memo.reset());
        self.call_memos();
    }

    /// Whether a memo may have something fetched ahead of need while a handler runs.
    pub(super) fn has_memos(&self) -> bool {
        self.memos.iter().any(|memo| memo.strong_count() > 0)
    }

    /// Has every memo start what it has to.
    fn call_memos(&mut self) {
        self.calling = self.memos.iter().filter_map(Weak::upgrade).collect();
    }

    /// Batches in flight in the order in which they began.
    fn memo_jobs(&self) -> Vec<&MemoJob> {
        let mut jobs: Vec<_> = self.memo_jobs.values().collect();
        jobs.sort_unstable_by_key(|job| job.batch);
        jobs
    }
}
