//! The task around the engine: it merges everything that can happen into events, and carries out
//! effects.
//!
//! It waits only for the next event. No code of a user's runs in it: what might be slow or panic is a
//! job, whose end is an event.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::job::{self, Ended};
use super::{AnyMemo, FetchedKeys, Invoked, Message, Tools, blocking, drop_each, give_up, retire};
use crate::engine::{Effect, Engine, Event, Fetch, FetchOf, JobId, Origin, Reply, Retired};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Publisher, State};
use crate::sources::Calls;

/// Events that are handled before what follows from them is done.
const MOST_AT_ONCE: usize = 1024;
/// Timers further away than this look again in between: tokio's cannot wait for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Shell {
    engine: Engine,
    tools: Tools,
    inbox: mpsc::Receiver<Message>,
    publisher: Publisher,
    /// Memos that have fetched something.
    memos: HashMap<u64, Arc<dyn AnyMemo>>,
    jobs: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    tasks: HashMap<JobId, AbortHandle>,
    /// What fetches for memos brought, until it is put into their stores.
    fetched: HashMap<JobId, Box<dyn FetchedKeys>>,
    replies: HashMap<Reply, oneshot::Sender<()>>,
    last_reply: Reply,
}

/// A job that runs.
struct Running {
    job: JobId,
    calls: Calls,
    what: Arc<str>,
}

impl Shell {
    pub(super) fn new(
        engine: Engine,
        tools: Tools,
        publisher: Publisher,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            engine,
            tools,
            inbox,
            publisher,
            memos: HashMap::new(),
            jobs: JoinSet::new(),
            running: HashMap::new(),
            tasks: HashMap::new(),
            fetched: HashMap::new(),
            replies: HashMap::new(),
            last_reply: 0,
        }
    }

    /// Runs until every handle is gone.
    pub(super) async fn run(mut self) {
        let mut effects = Vec::new();
        while let Some(event) = self.next_event().await {
            self.engine.handle(event, self.tools.clock.now());
            // Events that came together are handled together: ended jobs do not pile up, and readers who
            // ask at the same time share a fetch.
            for _ in 0..MOST_AT_ONCE {
                let Some(ended) = self.jobs.try_join_next_with_id() else { break };
                let event = self.ended(ended);
                self.engine.handle(event, self.tools.clock.now());
            }
            for _ in 0..MOST_AT_ONCE {
                let Ok(message) = self.inbox.try_recv() else { break };
                let event = self.received(message);
                self.engine.handle(event, self.tools.clock.now());
            }
            self.engine.poll(self.tools.clock.now(), &mut effects);
            effects.drain(..).for_each(|effect| self.carry_out(effect));
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        let wait = self.engine.next_poll(self.tools.clock.now());
        let time = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        let waits_for_readers = self.engine.waits_for_readers();
        tokio::select! {
            biased;
            // Ended fetches first: they may answer the requests that come next.
            Some(ended) = self.jobs.join_next_with_id() => Some(self.ended(ended)),
            message = self.inbox.recv() => message.map(|message| self.received(message)),
            () = self.publisher.reader_left(), if waits_for_readers => Some(Event::ReaderLeft),
            // Time last, so that what has just arrived counts.
            () = time => Some(Event::Time),
        }
    }

    fn received(&mut self, message: Message) -> Event {
        match message {
            Message::Read { entry, read, cause, waits } => {
                Event::Read { entry, read, cause, waits }
            }
            Message::Load { deadline } => Event::Load { deadline },
            Message::Key { memo, asked } => {
                self.memos.entry(memo.number()).or_insert(memo);
                Event::Key(asked)
            }
            Message::MemoGone { memo } => {
                retire(vec![Box::new(self.memos.remove(&memo))]);
                Event::MemoGone { memo }
            }
            Message::Invalidate { entry, done } => {
                Event::Invalidate { entry, reply: self.reply(done) }
            }
            Message::HandlersTell => Event::HandlersTell,
            Message::HandlerBegan { invocation: Invoked { invocation, trace_time }, done } => {
                Event::HandlerBegan { invocation, trace_time, reply: self.reply(done) }
            }
            Message::ResponseSent { request_id, done } => {
                Event::ResponseSent { request_id, reply: self.reply(done) }
            }
            Message::Invoke { invocation: Invoked { invocation, trace_time }, done } => {
                Event::Invoke { invocation, trace_time, reply: self.reply(done) }
            }
            Message::Suspend { done } => Event::Suspend { reply: self.reply(done) },
            Message::Resume { done } => Event::Restored { reply: self.reply(done) },
        }
    }

    fn reply(&mut self, done: oneshot::Sender<()>) -> Reply {
        self.last_reply += 1;
        self.replies.insert(self.last_reply, done);
        self.last_reply
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) -> Event {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Running { job, calls, what }) = self.running.remove(&id) else {
            return Event::Time;
        };
        self.tasks.remove(&job);
        let calls = calls.count();
        match ended {
            Ok((_, Ended::Planned { batches, dropped })) => {
                Event::Planned { job, batches, dropped }
            }
            Ok((_, Ended::Fetched(parts))) => Event::Fetched { job, calls, parts },
            Ok((_, Ended::KeysFetched(fetched))) => {
                let tickets = fetched.tickets();
                self.fetched.insert(job, fetched);
                Event::KeysFetched { job, tickets }
            }
            Ok((_, Ended::Derived(value))) => Event::Derived { job, value },
            Ok((_, Ended::Done)) => Event::Done { job },
            Err(error) if error.is_cancelled() => Event::Aborted { job, calls },
            // The payload of the panic may quote a value, so it is not kept.
            Err(_) => {
                let error = Error::new(ErrorKind::Panic, format!("{what} panicked"));
                Event::Panicked { job, calls, error }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Abort(job) => _ = self.tasks.get(&job).map(AbortHandle::abort),
            Effect::Plan { job, origin: Origin::Source(source), units, along, .. } => {
                let plan = self.tools.plan(source, &units, &along);
                self.spawn(job, "planning it", plan);
            }
            Effect::Plan { job, origin: Origin::Memo(memo), units, ahead, .. } => {
                if let Some(memo) = self.memo(memo, job) {
                    let now = self.tools.clock.now();
                    self.spawn(job, "planning it", job::plan_keys(memo, units, ahead, now));
                }
            }
            Effect::Fetch(fetch) => self.fetch(fetch),
            Effect::Derive { job, entry, derivation, timeout } => {
                let description = self.tools.description(entry);
                let what = format!("deriving it from the answer of {description}");
                self.spawn(job, &what, job::derive(derivation, description, timeout));
            }
            Effect::Land { job, fetched, tickets, landing } => {
                let fetched = self.fetched.remove(&fetched);
                self.spawn_sync(job, "storing it", move || {
                    if let Some(fetched) = fetched {
                        fetched.land(&tickets, landing);
                    }
                });
            }
            Effect::Discard { fetched } => {
                retire(vec![Box::new(self.fetched.remove(&fetched))]);
            }
            Effect::Pause { memo, tickets, now } => {
                self.with_memo(memo, move |memo| memo.pause(&tickets, now));
            }
            Effect::Slow { memo, ticket } => self.with_memo(memo, move |memo| memo.slow(ticket)),
            Effect::Age { job, trace_time, now } => {
                let memos = self.all_memos();
                self.spawn_sync(job, "aging", move || {
                    each(&memos, |memo| memo.age(trace_time, now));
                });
            }
            Effect::ClearMemos { job } => {
                let memos = self.all_memos();
                self.spawn_blocking(job, move || each(&memos, |memo| memo.clear()));
            }
            Effect::Reset { job } => {
                let (memos, sources) = (self.all_memos(), self.tools.sources.clone());
                self.spawn_sync(job, "resetting sources", move || {
                    // A source that cannot reconnect reports it at its next fetch.
                    each(&memos, |memo| memo.reset());
                    each(&sources, |source| source.reset());
                });
            }
            Effect::Turn(turn) => self.publisher.set_turn(turn),
            Effect::Publish { state, retired, job } => self.publish(state, retired, job),
            Effect::Retire(retired) => retire(give_up(retired)),
            Effect::Wake => self.publisher.wake(),
            Effect::Answer(reply) => _ = self.replies.remove(&reply).map(|done| done.send(())),
        }
    }

    fn fetch(&mut self, Fetch { job, origin, asked, timeout, is_retried, what }: Fetch) {
        // Before the request leaves: what begins after this gets a higher number.
        self.publisher.begun(asked.number);
        match (what, origin) {
            (FetchOf::Requests(parts), Origin::Source(source)) => {
                let limits = (timeout, is_retried);
                let fetch = self.tools.fetch(source, parts, asked.began, limits);
                let (what, calls) = (fetch.description(), fetch.calls.clone());
                self.spawn_counted(job, &what, calls, fetch.run());
            }
            (FetchOf::Tickets(tickets), Origin::Memo(memo)) => {
                if let Some(memo) = self.memo(memo, job) {
                    let fetch = memo.fetch(tickets, asked, timeout);
                    self.spawn(job, "fetching keys", async { Ended::KeysFetched(fetch.await) });
                }
            }
            _ => unreachable!("sources have requests and memos have tickets"),
        }
    }

    fn spawn(&mut self, job: JobId, what: &str, run: impl Future<Output = Ended> + Send + 'static) {
        self.spawn_counted(job, what, Calls::default(), run);
    }

    fn spawn_counted(
        &mut self,
        job: JobId,
        what: &str,
        calls: Calls,
        run: impl Future<Output = Ended> + Send + 'static,
    ) {
        let task = self.jobs.spawn(run);
        self.running.insert(task.id(), Running { job, calls, what: Arc::from(what) });
        self.tasks.insert(job, task);
    }

    /// Runs code of a user's that does not wait.
    fn spawn_sync(&mut self, job: JobId, what: &str, run: impl FnOnce() + Send + 'static) {
        self.spawn(job, what, async {
            blocking(run);
            Ended::Done
        });
    }

    /// The same in a thread of its own, for what may take long.
    fn spawn_blocking(&mut self, job: JobId, run: impl FnOnce() + Send + 'static) {
        let task = self.jobs.spawn_blocking(|| {
            run();
            Ended::Done
        });
        let (calls, what) = (Calls::default(), Arc::from("dropping values"));
        self.running.insert(task.id(), Running { job, calls, what });
        self.tasks.insert(job, task);
    }

    /// The memo of a job. If its last handle is gone, the job ends at once.
    fn memo(&mut self, memo: u64, job: JobId) -> Option<Arc<dyn AnyMemo>> {
        let memo = self.memos.get(&memo).map(Arc::clone);
        if memo.is_none() {
            self.spawn(job, "nothing", async { Ended::Done });
        }
        memo
    }

    /// Has a memo do something that nobody waits for.
    fn with_memo(&self, memo: u64, run: impl FnOnce(&dyn AnyMemo) + Send + 'static) {
        if let Some(memo) = self.memos.get(&memo).map(Arc::clone) {
            tokio::spawn(async move { blocking(|| run(&*memo)) });
        }
    }

    fn all_memos(&self) -> Vec<Arc<dyn AnyMemo>> {
        self.memos.values().map(Arc::clone).collect()
    }

    fn publish(&mut self, state: State, retired: Vec<Retired>, job: Option<JobId>) {
        // Values that are no longer published are in `retired` too, so this drops none of them.
        drop(self.publisher.publish(state));
        let garbage = give_up(retired);
        match job {
            Some(job) => self.spawn_blocking(job, || drop_each(garbage)),
            None => retire(garbage),
        }
    }
}

/// Runs something on each, even if it panics on one.
fn each<T: ?Sized>(them: &[Arc<T>], run: impl Fn(&T)) {
    for it in them {
        _ = catch_unwind(AssertUnwindSafe(|| run(it)));
    }
}

/// However it ends, readers are told: a panic, an abort and the end of the runtime included.
// guarantee 12
impl Drop for Shell {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() {
            "it panicked"
        } else {
            "its task or its runtime was ended"
        };
        self.publisher.stop(reason);
    }
}
