//! The task around the engine: it merges all that can happen into events, and carries out effects.
//!
//! It waits for nothing but the next event, and no code of a user's runs in it: what might be slow or
//! panic is a job, whose end is an event.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::job::{self, Asking, FetchJob, Target};
use super::user_code::{blocking, drop_each, let_go, retire};
use super::{AnyMemo, FetchedKeys, Invoked, Message, PlannedKeys, Tools};
use crate::clock::Clocks;
use crate::engine::{
    Came, Effect, Engine, Event, Fetch, FetchOf, JobId, Origin, Part, Reply, Retired, Unit,
};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{AnyValue, Catalog, Publisher, State};
use crate::sources::{AnySource, Calls, Decode};

/// Events that are handled before what follows from them is done.
const MOST_AT_ONCE: usize = 1024;
/// Timers further away than this look again in between: tokio's cannot wait for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Shell {
    engine: Engine,
    clock: Clocks,
    inbox: mpsc::Receiver<Message>,
    publisher: Publisher,
    catalog: Arc<Catalog>,
    sources: Vec<Arc<dyn AnySource>>,
    /// Each request's source, and its number there.
    requests: Vec<(usize, usize)>,
    decoders: Vec<Decode>,
    /// Memos of which a key has been fetched.
    memos: HashMap<u64, Arc<dyn AnyMemo>>,
    jobs: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    tasks: HashMap<JobId, AbortHandle>,
    /// What fetches for memos brought, until it is put into their stores.
    fetched: HashMap<JobId, Box<dyn FetchedKeys>>,
    replies: HashMap<Reply, oneshot::Sender<()>>,
    last_reply: Reply,
}

/// What a job came to.
enum Ended {
    Planned { batches: Vec<Vec<Unit>>, dropped: Vec<u64> },
    Fetched(Vec<Part<Came>>),
    KeysFetched(Box<dyn FetchedKeys>),
    Derived(Result<AnyValue, Error>),
    Done,
}

/// A job that runs.
struct Running {
    job: JobId,
    calls: Calls,
    /// What it is, in words.
    what: String,
}

impl Shell {
    pub(super) fn new(
        engine: Engine,
        tools: Tools,
        publisher: Publisher,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        let Tools { clock, sources, requests, decoders } = tools;
        let catalog = Arc::clone(&publisher.reader().load().catalog);
        Self {
            engine,
            clock,
            inbox,
            publisher,
            catalog,
            sources,
            requests,
            decoders,
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
            self.engine.handle(event, self.clock.now());
            // What came together is dealt with together: ended jobs do not pile up, and readers who
            // ask at the same time share a fetch.
            for _ in 0..MOST_AT_ONCE {
                let Some(ended) = self.jobs.try_join_next_with_id() else { break };
                let event = self.ended(ended);
                self.engine.handle(event, self.clock.now());
            }
            for _ in 0..MOST_AT_ONCE {
                let Ok(message) = self.inbox.try_recv() else { break };
                let event = self.received(message);
                self.engine.handle(event, self.clock.now());
            }
            self.engine.poll(self.clock.now(), &mut effects);
            effects.drain(..).for_each(|effect| self.carry_out(effect));
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        let wait = self.engine.next_poll(self.clock.now());
        let time = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        let waits_for_readers = self.engine.waits_for_readers();
        tokio::select! {
            biased;
            // What has been fetched comes before what is still to be fetched: it may answer it.
            Some(ended) = self.jobs.join_next_with_id() => Some(self.ended(ended)),
            message = self.inbox.recv() => message.map(|message| self.received(message)),
            () = self.publisher.reader_left(), if waits_for_readers => Some(Event::ReaderLeft),
            // Last: what has just arrived counts.
            () = time => Some(Event::Time),
        }
    }

    fn received(&mut self, message: Message) -> Event {
        match message {
            Message::Read { entry, read, cause, waits } => {
                Event::Read { entry, read, cause, waits }
            }
            Message::Key { memo, asked } => {
                self.memos.entry(memo.number()).or_insert(memo);
                Event::Key(asked)
            }
            Message::TicketVoid { ticket } => Event::TicketVoid { ticket },
            Message::MemoGone { memo } => {
                retire(vec![Box::new(self.memos.remove(&memo))]);
                Event::MemoGone { memo }
            }
            Message::Invalidate { entry, done } => {
                Event::Invalidate { entry, reply: self.reply(done) }
            }
            #[cfg(feature = "runtime")]
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
            Message::Resume => Event::Restored,
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
            Effect::Plan { job, origin, units, ahead } => self.plan(job, origin, units, ahead),
            Effect::Fetch(fetch) => self.fetch(fetch),
            Effect::Derive { job, entry, derivation, timeout } => {
                let description = Arc::clone(&self.catalog.entries[entry].source);
                let what = format!("deriving it from the answer of {description}");
                let derive = job::derive(derivation, description, timeout);
                self.spawn(job, what, Calls::default(), async { Ended::Derived(derive.await) });
            }
            Effect::Land { job, fetched, tickets, landing } => {
                let fetched = self.fetched.remove(&fetched);
                self.spawn(job, "keeping it".to_owned(), Calls::default(), async move {
                    if let Some(fetched) = fetched {
                        blocking(|| fetched.land(&tickets, landing));
                    }
                    Ended::Done
                });
            }
            Effect::Discard { fetched } => {
                retire(vec![Box::new(self.fetched.remove(&fetched))]);
            }
            Effect::Forget { memo, tickets, cancelled } => {
                self.with_memo(memo, move |memo| memo.forget(&tickets, cancelled));
            }
            Effect::Slow { memo, ticket } => self.with_memo(memo, move |memo| memo.slow(ticket)),
            Effect::Age { job, trace_time, now } => {
                let memos = self.memos();
                self.spawn(job, "aging it".to_owned(), Calls::default(), async move {
                    blocking(|| each(&memos, |memo| memo.age(trace_time, now)));
                    Ended::Done
                });
            }
            Effect::ClearMemos { job } => {
                let memos = self.memos();
                self.spawn_blocking(job, move || each(&memos, |memo| memo.clear()));
            }
            Effect::Reset { job } => {
                let (memos, sources) = (self.memos(), self.sources.clone());
                self.spawn(job, "connecting anew".to_owned(), Calls::default(), async move {
                    // A source that cannot connect anew says so at its next fetch.
                    blocking(|| {
                        each(&memos, |memo| memo.reset());
                        each(&sources, |source| source.reset());
                    });
                    Ended::Done
                });
            }
            Effect::Turn(turn) => self.publisher.set_turn(turn),
            Effect::Publish { state, retired, job } => self.publish(state, retired, job),
            Effect::Retire(retired) => retire(let_go(retired)),
            Effect::Wake => self.publisher.wake(),
            Effect::Answer(reply) => _ = self.replies.remove(&reply).map(|done| done.send(())),
        }
    }

    fn spawn(
        &mut self,
        job: JobId,
        what: String,
        calls: Calls,
        run: impl Future<Output = Ended> + Send + 'static,
    ) {
        let task = self.jobs.spawn(run);
        self.running.insert(task.id(), Running { job, calls, what });
        self.tasks.insert(job, task);
    }

    fn spawn_blocking(&mut self, job: JobId, run: impl FnOnce() + Send + 'static) {
        let task = self.jobs.spawn_blocking(|| {
            run();
            Ended::Done
        });
        let running = Running { job, calls: Calls::default(), what: "it".to_owned() };
        self.running.insert(task.id(), running);
        self.tasks.insert(job, task);
    }

    fn plan(&mut self, job: JobId, origin: Origin, units: Vec<Unit>, ahead: bool) {
        let now = self.clock.now();
        let memo = match origin {
            Origin::Memo(memo) => self.memos.get(&memo).map(Arc::clone),
            Origin::Source(_) => None,
        };
        let source = match origin {
            Origin::Source(source) => Some(Arc::clone(&self.sources[source])),
            Origin::Memo(_) => None,
        };
        let local = |unit: &Unit| match unit {
            Unit::Request(request) => Some((self.requests[*request].1, *request)),
            Unit::Ticket(_) => None,
        };
        let requests: Vec<(usize, usize)> = units.iter().filter_map(local).collect();
        let tickets = units.iter().filter_map(|unit| match unit {
            Unit::Ticket(ticket) => Some(*ticket),
            Unit::Request(_) => None,
        });
        let tickets: Vec<u64> = tickets.collect();
        self.spawn(job, "planning it".to_owned(), Calls::default(), async move {
            if let Some(memo) = memo {
                let PlannedKeys { batches, dropped } = blocking(|| memo.plan(&tickets, ahead, now));
                let units = |batch: Vec<u64>| batch.into_iter().map(Unit::Ticket).collect();
                return Ended::Planned {
                    batches: batches.into_iter().map(units).collect(),
                    dropped,
                };
            }
            let Some(source) = source else {
                return Ended::Planned { batches: Vec::new(), dropped: tickets };
            };
            let locals: Vec<usize> = requests.iter().map(|&(local, _)| local).collect();
            let of_local: HashMap<usize, usize> = requests.into_iter().collect();
            let unit = |local: &usize| of_local.get(local).copied().map(Unit::Request);
            let batches = blocking(|| source.plan(&locals));
            let batches = batches.iter().map(|batch| batch.iter().filter_map(unit).collect());
            Ended::Planned { batches: batches.collect(), dropped: Vec::new() }
        });
    }

    fn fetch(&mut self, Fetch { job, origin, asked, timeout, what }: Fetch) {
        // Before the request leaves: what begins after this gets a higher number.
        self.publisher.begun(asked.number);
        match (what, origin) {
            (FetchOf::Requests(parts), Origin::Source(source)) => {
                let requests: Vec<Asking> = parts.into_iter().map(|it| self.asking(it)).collect();
                let what = requests.iter().map(|it| &*it.description).collect::<Vec<_>>();
                let (what, calls) = (what.join(", "), Calls::default());
                let source = Arc::clone(&self.sources[source]);
                let began = asked.began;
                let fetch = FetchJob { source, requests, began, timeout, calls: calls.clone() };
                self.spawn(job, what, calls, async { Ended::Fetched(fetch.run().await) });
            }
            (FetchOf::Tickets(tickets), Origin::Memo(memo)) => {
                let Some(memo) = self.memos.get(&memo).map(Arc::clone) else { return };
                let fetch = memo.fetch(tickets, asked, timeout);
                let what = "fetching keys".to_owned();
                self.spawn(job, what, Calls::default(), async { Ended::KeysFetched(fetch.await) });
            }
            _ => unreachable!("sources have requests and memos have tickets"),
        }
    }

    fn asking(&self, Part { request, entries }: Part<Option<crate::entry::Version>>) -> Asking {
        let description = entries.first().map(|&(entry, _)| &self.catalog.entries[entry].source);
        let target =
            |(entry, known)| Target { entry, known, decode: Arc::clone(&self.decoders[entry]) };
        Asking {
            request,
            local: self.requests[request].1,
            description: description.map_or_else(|| Arc::from(""), Arc::clone),
            targets: entries.into_iter().map(target).collect(),
        }
    }

    /// Has a memo do something that nobody waits for.
    fn with_memo(&mut self, memo: u64, run: impl FnOnce(&dyn AnyMemo) + Send + 'static) {
        if let Some(memo) = self.memos.get(&memo).map(Arc::clone) {
            tokio::spawn(async move { blocking(|| run(&*memo)) });
        }
    }

    fn memos(&self) -> Vec<Arc<dyn AnyMemo>> {
        self.memos.values().map(Arc::clone).collect()
    }

    fn publish(&mut self, state: State, retired: Vec<Retired>, job: Option<JobId>) {
        // The state before may be the last that holds what has been taken out, but for `retired`.
        drop(self.publisher.publish(state));
        let garbage = let_go(retired);
        match job {
            Some(job) => self.spawn_blocking(job, || drop_each(garbage)),
            None => retire(garbage),
        }
    }
}

/// Has each do something. A panic of one does not keep the others from it.
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
