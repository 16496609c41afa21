//! The refresher: the task around the [engine](crate::engine), the handle to it, and where code of users
//! runs that may take its time or panic: decoders, `Drop`, a key's `Hash`.

mod job;
mod shell;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::shell::Shell;
use crate::clock::{Clocks, Stamp};
use crate::engine::{Cause, Engine, Invocation, KeyAsked, Landing, Retired};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Asked, Catalog, Publisher, Read, Reader, RefresherStatus};
use crate::sources::{AnySource, BoxFuture, Decode};
use crate::stats::Counters;
use crate::sync::spawn_blocking;

/// The size of the inbox. The task handles messages without waiting, so the inbox fills only when the
/// task is starved; then senders wait.
const INBOX: usize = 1024;

/// What the refresher fetches with.
pub(crate) struct Tools {
    pub(crate) clock: Clocks,
    pub(crate) sources: Vec<Arc<dyn AnySource>>,
    /// Each request's source, and its number there.
    pub(crate) requests: Vec<(usize, usize)>,
    /// Each entry's decoder.
    pub(crate) decoders: Vec<Decode>,
    pub(crate) catalog: Arc<Catalog>,
}

/// What the task can be told.
#[cfg_attr(not(feature = "runtime"), expect(dead_code, reason = "Lambda is heard by `runtime`"))]
pub(crate) enum Message {
    /// A read of one entry or, with `None`, of all cannot be served from the published state. The
    /// answer is the next state; a reader that it does not satisfy asks again. `waits` is false if the
    /// reader goes on, and something only has to be tried again.
    Read { entry: Option<usize>, read: Read, cause: Cause, waits: bool },
    /// Init has begun: everything that is not lazy is to be fetched, and tried again within this time. The
    /// answers are the next states.
    Load { deadline: Duration },
    /// A key of a memo is to be fetched. Readers wait at the memo.
    Key { memo: Arc<dyn AnyMemo>, asked: KeyAsked },
    /// Nobody has a handle to the memo any more. Fire and forget.
    MemoGone { memo: u64 },
    /// What the entry holds is wrong. Answered when no later read can get it.
    Invalidate { entry: usize, done: oneshot::Sender<()> },
    /// Handlers will say when they begin and when their responses have been sent. Fire and forget.
    HandlersTell,
    /// Answered when no later read can get what the invocation's trace id shows to be too old.
    HandlerBegan { invocation: Invoked, done: oneshot::Sender<()> },
    /// Answered when the runtime may ask for its next invocation.
    ResponseSent { request_id: String, done: oneshot::Sender<()> },
    /// Answered when the extension may ask for its next event.
    Invoke { invocation: Invoked, done: oneshot::Sender<()> },
    /// Drop all values. Answered when nothing is held and nothing in flight.
    Suspend { done: oneshot::Sender<()> },
    /// Reconnect, and fetch all that was dropped. Answered when the sources have forgotten their
    /// connections, so that fetches can begin.
    Resume { done: oneshot::Sender<()> },
}

/// What the extension or the runtime says of an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Invoked {
    pub(crate) invocation: Invocation,
    /// A lower bound of true time, in nanoseconds since the Unix epoch, from the trace id.
    pub(crate) trace_time: Option<i64>,
}

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

    /// The fetch of these was cancelled for lack of time: their keys pause, and those that nobody waits for
    /// are fetched no more.
    fn pause(&self, tickets: &[u64], now: Stamp);

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

/// The handle to the task, which ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Refresher {
    reader: Reader,
    inbox: mpsc::Sender<Message>,
    task: Arc<AbortOnDropHandle<()>>,
    counters: Counters,
}

impl Refresher {
    /// Starts the task on the present runtime. It fetches nothing before it is told to.
    pub(crate) fn spawn(
        engine: Engine,
        tools: Tools,
        publisher: Publisher,
        counters: Counters,
    ) -> Self {
        let (inbox, messages) = mpsc::channel(INBOX);
        let reader = publisher.reader();
        let shell = Shell::new(engine, tools, publisher, messages);
        let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(shell.run())));
        Self { reader, inbox, task, counters }
    }

    /// A handle to a task that a test plays itself: it gets the messages.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn played(reader: Reader, entries: usize) -> (Self, mpsc::Receiver<Message>) {
        use std::sync::LazyLock;
        use tokio::runtime::{Builder, Runtime};

        /// It runs nothing: there has to be a task to end.
        static RUNTIME: LazyLock<Runtime> =
            LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
        let task = Arc::new(AbortOnDropHandle::new(RUNTIME.spawn(async {})));
        let (inbox, messages) = mpsc::channel(INBOX);
        (Self { reader, inbox, task, counters: Counters::new(entries) }, messages)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Tells the task something.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(crate) async fn tell(&self, message: Message) -> Result<(), Error> {
        match self.inbox.send(message).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stopped()),
        }
    }

    /// Tells the task something that it answers, and waits for the answer.
    pub(crate) async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<()>) -> Message,
    ) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.tell(message(done)).await?;
        answer.await.map_err(|_| self.stopped())
    }

    /// Tells the task without waiting for room in its inbox: for places that cannot await.
    pub(crate) fn tell_now(&self, message: Message) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.inbox.try_send(message)
            && let Ok(runtime) = Handle::try_current()
        {
            let inbox = self.inbox.clone();
            runtime.spawn(async move { inbox.send(message).await.ok() });
        }
    }

    /// Tells the task something if there is room in its inbox.
    pub(crate) fn suggest(&self, message: Message) {
        _ = self.inbox.try_send(message);
    }

    /// Ends the task, as a bug in it would: for tests of what readers see then.
    #[cfg(feature = "testing")]
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Why the task has ended: it says so before it closes its inbox.
    fn stopped(&self) -> Error {
        match &*self.reader.changes().borrow() {
            RefresherStatus::Stopped(error) => error.clone(),
            RefresherStatus::Running => {
                Error::new(ErrorKind::Stopped, "the refresher has ended without a word")
            }
        }
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("running", &!self.task.is_finished())
            .finish_non_exhaustive()
    }
}

/// Runs code of a user's in a job. On a runtime with several threads, other tasks and timers do not wait
/// for it.
pub(crate) fn blocking<T>(run: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => run(),
        _ => tokio::task::block_in_place(run),
    }
}

/// A user's value that is not needed any more.
type Garbage = Box<dyn Send>;

/// Drops values on a blocking thread, since their `Drop` is a user's code.
pub(crate) fn retire(garbage: Vec<Garbage>) {
    if !garbage.is_empty() {
        spawn_blocking(|| drop_each(garbage));
    }
}

/// Drops each, even if one panics.
fn drop_each(garbage: Vec<Garbage>) {
    for it in garbage {
        _ = catch_unwind(AssertUnwindSafe(|| drop(it)));
    }
}

/// Gives up the engine's references, and returns the values that have no other. So a value that a reader
/// still holds ends with that reader, not some time later.
fn give_up(retired: Vec<Retired>) -> Vec<Garbage> {
    let mut garbage: Vec<Garbage> = Vec::new();
    for it in retired {
        match it {
            Retired::Slot(slot) => {
                let (stored, failure) = slot.into_parts();
                if let Some(released) = stored.and_then(|stored| stored.value.release()) {
                    garbage.push(Box::new(released));
                }
                if let Some(failure) = failure {
                    garbage.push(Box::new(failure));
                }
            }
            Retired::Came(entries) => garbage.push(Box::new(entries)),
            Retired::Derived(value) => garbage.push(Box::new(value)),
        }
    }
    garbage
}
