//! Values by key, beside the entries: what the refresher needs to know of a memo.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stamp;
use crate::sources::BoxFuture;

/// Values by key, of which a bounded number is kept, and each of which may be fetched.
///
/// The refresher runs the fetches, because it is what knows when the environment freezes; who waits
/// for what, and what comes of it, is known here.
pub(crate) trait Keyed: Send + Sync {
    /// Batches of the keys that are to be fetched, to be run at once.
    fn launch(self: Arc<Self>, launch: &mut Launch<'_>);

    /// Whether anybody waits for a batch.
    fn is_wanted(&self, batch: u64) -> bool;

    /// Whatever a batch will bring is to be discarded: it was frozen. Keys that somebody waits for
    /// are to be fetched again.
    fn put_back(&self, batch: u64);

    /// The same for lack of time: for a while its keys are not fetched ahead of need.
    fn cancel(&self, batch: u64, now: Stamp);

    /// An invocation's trace id shows that it is later than the clocks say.
    fn age_by_witness(&self, witness: i64, now: Stamp);

    /// Drops all values. Nothing is in flight.
    fn clear(&self);

    /// Forgets connections and credentials.
    fn reset(&self);
}

/// What a [`Keyed`] puts its batches into.
pub(crate) struct Launch<'a> {
    pub(crate) now: Stamp,
    pub(crate) timeout: Duration,
    /// Whether there is time for what nobody waits for.
    pub(crate) ahead: bool,
    /// Numbers a fetch that is about to begin.
    pub(crate) number: &'a dyn Fn() -> u64,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) batches: Vec<(u64, BoxFuture<'static, ()>)>,
}
