//! How many requests a fetch sends to its service, for [`Cache::status`](crate::Cache::status).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    /// The count of the fetch that runs in this task.
    static CALLS: Calls;
}

/// A count that is shared with a fetch, and can be read when the fetch was cancelled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<AtomicU64>);

impl Calls {
    /// Runs a fetch, whose calls are counted here.
    pub(crate) async fn of<F: Future>(&self, fetch: F) -> F::Output {
        CALLS.scope(self.clone(), fetch).await
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts one request to the service, retries included, for [`Cache::status`](crate::Cache::status).
///
/// For sources of your own, in the task of their [`fetch`](super::Source::fetch); those that come
/// with this crate do so themselves. Does nothing outside of a fetch.
pub fn count_call() {
    _ = CALLS.try_with(|calls| calls.0.fetch_add(1, Ordering::Relaxed));
}
