//! The cell: one [`Publisher`], which the refresher owns, and any number of [`Reader`]s. [`Waiters`] counts
//! those that wait, so that nothing is fetched for readers who have left.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::state::State;
use super::verdict::Turn;
use crate::error::{Error, ErrorKind};
use crate::sync::{ArcSwap, AtomicU64, AtomicUsize, Notify, watch};

/// Whether the refresher still publishes.
#[derive(Debug, Clone)]
pub(crate) enum RefresherStatus {
    Running,
    /// It has ended, for this reason.
    Stopped(Error),
}

struct Shared {
    state: ArcSwap<State>,
    /// Changes with every state, so that waiting readers look again.
    changes: watch::Sender<RefresherStatus>,
    /// The number of fetches that have begun.
    fetches: AtomicU64,
    /// One more than the present turn, or zero.
    turn: AtomicU64,
    waiters: Arc<Waiters>,
    /// Signals that a waiter left; `Notify` keeps one permit.
    left: Notify,
}

/// The one place that publishes states.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// A cell that shows `state`, whose waiting readers are counted by `waiters`.
    pub(crate) fn new(state: State, waiters: Arc<Waiters>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: ArcSwap::from_pointee(state),
                changes: watch::Sender::new(RefresherStatus::Running),
                fetches: AtomicU64::new(0),
                turn: AtomicU64::new(0),
                waiters,
                left: Notify::new(),
            }),
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// Records that the fetches up to this number have begun. Call it before their requests leave.
    ///
    /// Release pairs with the acquire of [`Reader::fetches`]: a reader that sees the number has
    /// begun after this, so whatever it waits for must carry a higher one.
    // guarantee 6
    pub(crate) fn begun(&self, fetches: u64) {
        self.shared.fetches.store(fetches, Ordering::Release);
    }

    pub(crate) fn set_turn(&self, turn: Turn) {
        let turn = turn.0.map_or(0, |before| before + 1);
        self.shared.turn.store(turn, Ordering::Release);
    }

    /// Shows readers a state, and wakes those who wait. Gives back the state before.
    pub(crate) fn publish(&self, state: State) -> Arc<State> {
        let before = self.shared.state.swap(Arc::new(state));
        self.shared.changes.send_replace(RefresherStatus::Running);
        before
    }

    /// Wakes those who wait, so that they look again.
    pub(crate) fn wake(&self) {
        self.shared.changes.send_replace(RefresherStatus::Running);
    }

    /// Returns when a reader waits no longer.
    pub(crate) async fn reader_left(&self) {
        self.shared.left.notified().await;
    }

    /// Tells all who wait that nothing will be published any more.
    pub(crate) fn stop(&self, reason: &str) {
        let error = Error::new(ErrorKind::Stopped, format!("the refresher has ended: {reason}"));
        self.shared.changes.send_replace(RefresherStatus::Stopped(error));
    }
}

/// Reads what is published. It cannot change or delay it.
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

    pub(crate) fn turn(&self) -> Turn {
        Turn(self.shared.turn.load(Ordering::Acquire).checked_sub(1))
    }

    /// A receiver that reports every publication from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<RefresherStatus> {
        self.shared.changes.subscribe()
    }

    /// Counts a reader that waits for an entry or, with `None`, for all, until it is dropped.
    pub(crate) fn waiting(&self, entry: Option<usize>) -> impl Drop + use<> {
        let waiting = self.shared.waiters.waiting(entry);
        Leaving { waiting: Some(waiting), shared: Arc::clone(&self.shared) }
    }

    /// A reader that waits for something beside the entries has left.
    pub(crate) fn one_has_left(&self) {
        self.shared.left.notify_one();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// A reader that waits, and says so when it leaves.
struct Leaving {
    waiting: Option<Waiting>,
    shared: Arc<Shared>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // First not counted any more, then heard.
        self.waiting = None;
        self.shared.left.notify_one();
    }
}

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
        self.0.fetch_add(1, Ordering::SeqCst);
        Waiting(Arc::clone(self))
    }

    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// A reader that waits.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<WaitCount>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
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
