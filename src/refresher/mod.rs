//! The refresher: the actor that keeps entries fresh, and the handle to it.

mod actor;
mod invocation;
mod job;
mod keyed;
mod schedule;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::actor::Actor;
use crate::clock::Clocks;
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Life, Publisher, Read, Reader};
use crate::sources::{AnySource, Decode};
use crate::stats::Counters;

pub(crate) use invocation::{Driver, Invocation};
pub(crate) use keyed::{Keyed, Launch};

/// Messages that wait for the actor. It never awaits while it has one, so this fills only when it is
/// starved, and then senders wait.
const INBOX: usize = 1024;

/// What the refresher keeps fresh.
pub(crate) struct Plan {
    pub(crate) sources: Vec<Arc<dyn AnySource>>,
    /// Each request's source, and its number there.
    pub(crate) requests: Vec<(usize, usize)>,
    /// Each entry's decoder.
    pub(crate) decoders: Vec<Decode>,
    pub(crate) counters: Counters,
}

/// How the refresher works.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) clock: Clocks,
    pub(crate) driver: Driver,
    pub(crate) operation_timeout: Duration,
    pub(crate) hold_limit: Duration,
    pub(crate) seed: Option<u64>,
}

/// Why something is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Init,
    Invoke,
    Timer,
    Read,
    Forced,
    Restart,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
            Self::Timer => "timer",
            Self::Read => "read",
            Self::Forced => "forced",
            Self::Restart => "restart",
        }
    }
}

/// What the actor can be told.
pub(crate) enum Message {
    /// A read of one entry or, with `None`, of all cannot be served as things are. The answer is
    /// what is published next; a reader whom that does not satisfy asks again. `waits` is false if
    /// the reader goes on at once, and something only has to be tried again.
    Read { entry: Option<usize>, read: Read, cause: Cause, waits: bool },
    /// A memo has keys to be fetched. Fire and forget: who waits for them waits at the memo.
    Keyed(Arc<dyn Keyed>),
    /// What the entry holds is wrong. Answered when no later read can get it.
    Invalidate { entry: usize, done: oneshot::Sender<()> },
    /// Handlers will say when they begin and end. Fire and forget.
    #[cfg(feature = "runtime")]
    HandlersTell,
    /// Answered when no later read can get what the invocation's trace id shows to be too old.
    HandlerBegan { invocation: Invocation, done: oneshot::Sender<()> },
    /// Answered when the runtime may be told, as far as fetches in flight are concerned.
    HandlerEnded { request_id: String, done: oneshot::Sender<()> },
    /// Answered when the extension may ask for its next event.
    Invoke { invocation: Invocation, done: oneshot::Sender<()> },
    /// Drop all values. Answered when nothing is held and nothing in flight.
    Suspend { done: oneshot::Sender<()> },
    /// Connect anew, and fetch all that was dropped. Fire and forget.
    Resume,
}

/// The handle to the actor, which ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Refresher {
    reader: Reader,
    inbox: mpsc::Sender<Message>,
    task: Arc<AbortOnDropHandle<()>>,
    counters: Counters,
}

impl Refresher {
    /// Starts the actor on the present runtime. It fetches nothing before it is told to.
    pub(crate) fn spawn(plan: Plan, settings: Settings, publisher: Publisher) -> Self {
        let (inbox, messages) = mpsc::channel(INBOX);
        let reader = publisher.reader();
        let counters = plan.counters.clone();
        let actor = Actor::new(plan, settings, publisher, messages);
        let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(actor.run())));
        Self { reader, inbox, task, counters }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Tells the actor something.
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

    /// Tells the actor something that it answers, and waits for the answer.
    pub(crate) async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<()>) -> Message,
    ) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.tell(message(done)).await?;
        answer.await.map_err(|_| self.stopped())
    }

    /// Tells the actor without waiting for room in its inbox: for places that cannot await.
    pub(crate) fn tell_now(&self, message: Message) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.inbox.try_send(message) {
            let inbox = self.inbox.clone();
            tokio::spawn(async move { inbox.send(message).await.ok() });
        }
    }

    /// Ends the actor, as a bug in it would: for tests of what readers see then.
    #[cfg(feature = "testing")]
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Why the actor has ended: it says so before it closes its inbox.
    fn stopped(&self) -> Error {
        match &*self.reader.changes().borrow() {
            Life::Stopped(error) => error.clone(),
            Life::Running => {
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
