//! What the refresher asks of a memo, whatever its keys and values are.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stamp;
use crate::engine::Landing;
use crate::snapshot::Asked;
use crate::sources::BoxFuture;

/// A memo whose fetches the refresher runs, because it knows when the environment freezes.
///
/// Every call but [`number`](Self::number) may run code of a user's (a key's `Hash`, a value's `Drop`), so it
/// is made in a task of its own.
pub(crate) trait AnyMemo: Send + Sync {
    fn number(&self) -> u64;

    /// Which tickets are fetched together, and which are not worth a fetch any more.
    fn plan(&self, tickets: &[u64], ahead: bool, now: Stamp) -> PlannedKeys;

    /// Fetches the keys of some tickets.
    fn fetch(
        self: Arc<Self>,
        tickets: Vec<u64>,
        asked: Asked,
        timeout: Duration,
    ) -> BoxFuture<'static, Box<dyn FetchedKeys>>;

    /// These are fetched no more, unless somebody waits for them again. If their fetch was cancelled
    /// for lack of time, then at that instant.
    fn forget(&self, tickets: &[u64], cancelled: Option<Stamp>);

    /// The fetch of a failing key has taken longer than its readers wait.
    fn slow(&self, ticket: u64);

    /// An invocation's trace id shows that it is later than the clocks said then.
    fn age(&self, trace_time: i64, seen: Stamp);

    /// Drops all values.
    fn clear(&self);

    /// Forgets connections and credentials.
    fn reset(&self);
}

/// How the keys of some tickets are fetched.
#[derive(Debug, Default)]
pub(crate) struct PlannedKeys {
    pub(crate) batches: Vec<Vec<u64>>,
    pub(crate) dropped: Vec<u64>,
}

/// What a fetch brought for some keys.
pub(crate) trait FetchedKeys: Send {
    /// For each ticket whether there is a value.
    fn tickets(&self) -> Vec<(u64, bool)>;

    /// Puts it into the memo's store for these tickets, and wakes who waits for them.
    fn land(self: Box<Self>, tickets: &[u64], landing: Landing);
}
