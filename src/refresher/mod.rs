//! The refresher: the task around the [engine](crate::engine), and the handle to it.

mod job;
mod memo_handle;
mod shell;
mod user_code;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::shell::Shell;
use crate::clock::Clocks;
use crate::engine::{Cause, Engine, Invocation, KeyAsked};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Publisher, Read, Reader, RefresherStatus};
use crate::sources::{AnySource, Decode};
use crate::stats::Counters;

pub(crate) use memo_handle::{AnyMemo, FetchedKeys, PlannedKeys};
pub(crate) use user_code::{blocking, retire};

/// Messages that wait for the task. It never waits for anything else while it has one, so this fills
/// only when it is starved, and then senders wait.
const INBOX: usize = 1024;

/// What the refresher fetches with.
pub(crate) struct Tools {
    pub(crate) clock: Clocks,
    pub(crate) sources: Vec<Arc<dyn AnySource>>,
    /// Each request's source, and its number there.
    pub(crate) requests: Vec<(usize, usize)>,
    /// Each entry's decoder.
    pub(crate) decoders: Vec<Decode>,
}

/// What the task can be told.
pub(crate) enum Message {
    /// A read of one entry or, with `None`, of all cannot be served as things are. The answer is
    /// what is published next; a reader whom that does not satisfy asks again. `waits` is false if
    /// the reader goes on at once, and something only has to be tried again.
    Read { entry: Option<usize>, read: Read, cause: Cause, waits: bool },
    /// A key of a memo is to be fetched. Who waits for it waits at the memo.
    Key { memo: Arc<dyn AnyMemo>, asked: KeyAsked },
    /// A key was invalidated while it was fetched. Fire and forget.
    TicketVoid { ticket: u64 },
    /// Nobody has a handle to the memo any more. Fire and forget.
    MemoGone { memo: u64 },
    /// What the entry holds is wrong. Answered when no later read can get it.
    Invalidate { entry: usize, done: oneshot::Sender<()> },
    /// Handlers will say when they begin and when their responses have been sent. Fire and forget.
    #[cfg(feature = "runtime")]
    HandlersTell,
    /// Answered when no later read can get what the invocation's trace id shows to be too old.
    HandlerBegan { invocation: Invoked, done: oneshot::Sender<()> },
    /// Answered when the runtime may ask for its next invocation.
    ResponseSent { request_id: String, done: oneshot::Sender<()> },
    /// Answered when the extension may ask for its next event.
    Invoke { invocation: Invoked, done: oneshot::Sender<()> },
    /// Drop all values. Answered when nothing is held and nothing in flight.
    Suspend { done: oneshot::Sender<()> },
    /// Connect anew, and fetch all that was dropped. Fire and forget.
    Resume,
}

/// What the extension or the runtime says of an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Invoked {
    pub(crate) invocation: Invocation,
    /// A lower bound of true time, in nanoseconds since the Unix epoch, from the trace id.
    pub(crate) trace_time: Option<i64>,
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

    /// Tells the task something that can as well be told later.
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
