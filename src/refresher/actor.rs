//! The actor: one task, one inbox. Everything that can happen to it is an [`Event`], and none of its
//! handlers awaits; fetches run in tasks of their own, so a panic or a delay in one is an event too.
//!
//! Of its collections, the publisher's slots are the truth about values, and `requests` about
//! fetches. `bounds` and `failing` follow from the slots, in [`Actor::set`] alone; `schedule` from
//! both, in [`Actor::reschedule`] alone.

mod deriving;
mod fetches;
mod invocations;
mod landing;
mod memos;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Sleep;

use self::deriving::Deriving;
use self::fetches::{Request, Running};
use self::memos::MemoJob;
use super::invocation::Current;
use super::job::Finished;
use super::keyed::Keyed;
use super::schedule::BoundsTree;
use super::{Cause, Message, Plan, Settings};
use crate::clock::{Clocks, Stamp};
use crate::freshness::Bounds;
use crate::snapshot::{Failure, Publisher, Read, Retry, Slot, Verdict};
use crate::sources::{AnySource, Decode};
use crate::stats::Counters;

/// Messages that are dealt with before what they ask for is started.
const MOST_AT_ONCE: usize = 1024;
/// Timers further away than this look again in between: tokio's cannot wait for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Actor {
    clock: Clocks,
    settings: Settings,
    inbox: mpsc::Receiver<Message>,
    publisher: Publisher,
    sources: Vec<Arc<dyn AnySource>>,
    decoders: Vec<Decode>,
    counters: Counters,
    requests: Vec<Request>,
    /// When each request is due.
    schedule: BoundsTree,
    /// Until when a snapshot may be taken without looking at each entry.
    bounds: BoundsTree,
    /// Entries whose last fetch failed.
    failing: BTreeSet<usize>,
    /// When a witness last aged an entry's value.
    aged: HashMap<usize, Stamp>,
    /// Whether there is something to publish.
    changed: bool,
    /// Requests to fetch once the event is dealt with, and why.
    launching: BTreeMap<usize, Cause>,
    /// Requests that somebody may be waiting for: a fetch for them that is cancelled has to be
    /// started again.
    wanted: BTreeSet<usize>,
    /// Entries whose new value is being derived from what was fetched.
    deriving: HashMap<usize, Deriving>,
    /// Every memo that has had something fetched.
    memos: Vec<Weak<dyn Keyed>>,
    /// Memos that have something to be fetched once the event is dealt with.
    calling: Vec<Arc<dyn Keyed>>,
    memo_jobs: HashMap<Id, MemoJob>,
    jobs: JoinSet<Vec<Finished>>,
    running: HashMap<Id, Running>,
    invocation: Option<Current>,
    /// Counts invocations: a fetch of an earlier one has straddled a freeze.
    invocations: u64,
    /// Whether handlers tell when they begin and end.
    handler_tells: bool,
    /// Fetches still running when this ends are cancelled.
    hold: Option<Pin<Box<Sleep>>>,
    /// A handler that has ended, and waits until nothing is in flight or the extension holds the
    /// environment.
    ended_handler: Option<oneshot::Sender<()>>,
    /// A snapshot that waits until nothing is in flight.
    awaited_snapshot: Option<oneshot::Sender<()>>,
    /// Between the drop before a SnapStart snapshot and the restore nothing is fetched.
    suspended: bool,
    random: fastrand::Rng,
}

enum Event {
    Message(Message),
    Fetched(Result<(Id, Vec<Finished>), JoinError>),
    HoldOver,
    ReaderLeft,
    Due,
}

impl Actor {
    pub(crate) fn new(
        plan: Plan,
        settings: Settings,
        publisher: Publisher,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        let entries = &publisher.catalog().entries;
        let mut requests: Vec<Request> = plan.requests.into_iter().map(Request::new).collect();
        for (entry, definition) in entries.iter().enumerate() {
            requests[definition.request].entries.push(entry);
        }
        let bounds = entries.iter().enumerate();
        let bounds = bounds.map(|(entry, it)| publisher.slot(entry).bounds(&it.policy));
        Self {
            bounds: BoundsTree::new(bounds),
            schedule: BoundsTree::new(requests.iter().map(|_| Bounds::ALWAYS)),
            failing: BTreeSet::new(),
            aged: HashMap::new(),
            random: settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            clock: settings.clock.clone(),
            settings,
            inbox,
            publisher,
            sources: plan.sources,
            decoders: plan.decoders,
            counters: plan.counters,
            requests,
            changed: false,
            launching: BTreeMap::new(),
            wanted: BTreeSet::new(),
            deriving: HashMap::new(),
            memos: Vec::new(),
            calling: Vec::new(),
            memo_jobs: HashMap::new(),
            jobs: JoinSet::new(),
            running: HashMap::new(),
            invocation: None,
            invocations: 0,
            handler_tells: false,
            hold: None,
            ended_handler: None,
            awaited_snapshot: None,
            suspended: false,
        }
    }

    /// Runs until every handle is gone.
    pub(crate) async fn run(mut self) {
        while let Some(event) = self.next_event().await {
            match event {
                Event::Message(message) => self.receive(message),
                Event::Fetched(fetched) => self.fetched(fetched),
                Event::HoldOver => self.hold_over(),
                Event::ReaderLeft => self.reader_left(),
                Event::Due => _ = self.launch_due(Cause::Timer),
            }
            // As many as are launched in one turn, or those that have ended would pile up.
            for _ in 0..MOST_AT_ONCE {
                let Some(fetched) = self.jobs.try_join_next_with_id() else { break };
                self.fetched(fetched);
            }
            // Messages that came together are answered by one batch.
            for _ in 0..MOST_AT_ONCE {
                let Ok(message) = self.inbox.try_recv() else { break };
                self.receive(message);
            }
            self.launch();
            self.launch_memos();
            self.publish();
            self.answer_if_still();
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        let due = self.timers_run().then(|| self.schedule.next(self.clock.now())).flatten();
        let due = async {
            match due {
                Some(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        let waits_for_readers = self.waits_for_readers();
        let hold = async {
            match &mut self.hold {
                Some(hold) => hold.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has been fetched comes before what is still to be fetched: it may answer it.
            biased;
            Some(fetched) = self.jobs.join_next_with_id() => Some(Event::Fetched(fetched)),
            message = self.inbox.recv() => message.map(Event::Message),
            () = hold => Some(Event::HoldOver),
            () = self.publisher.reader_left(), if waits_for_readers => Some(Event::ReaderLeft),
            () = due => Some(Event::Due),
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Read { entry, read, cause, waits } => {
                let found = match entry {
                    None => self.read_all(read, cause),
                    Some(entry) => self.read(entry, read, cause),
                };
                // The reader has judged otherwise, by clocks that have been stepped since: it must
                // look again, so it must be woken.
                self.changed |= waits && !found;
            }
            Message::Keyed(memo) => self.keyed(memo),
            Message::Invalidate { entry, done } => {
                self.invalidate(entry);
                self.publish();
                _ = done.send(());
            }
            #[cfg(feature = "runtime")]
            Message::HandlersTell => self.handler_tells = true,
            Message::HandlerBegan { invocation, done } => self.handler_began(invocation, done),
            Message::HandlerEnded { request_id, done } => self.handler_ended(&request_id, done),
            Message::Invoke { invocation, done } => self.invoke(invocation, done),
            Message::Suspend { done } => self.suspend(done),
            Message::Resume => self.resume(),
        }
    }

    /// Sees to it that the entries a snapshot waits for are fetched; says whether there are any.
    fn read_all(&mut self, read: Read, cause: Cause) -> bool {
        let now = self.clock.now();
        let mut found = false;
        for entry in self.bounds.broken(now) {
            let retry = match self.publisher.slot(entry) {
                Slot::Failed(_, failure) => !failure.backs_off(now),
                _ => false,
            };
            if self.must_wait(entry, read, now) {
                found = true;
                self.want(entry, cause, now);
            } else if retry {
                let request = self.publisher.catalog().entries[entry].request;
                let idle = self.requests[request].flight.is_none();
                if idle && !self.deriving.contains_key(&entry) {
                    self.launching.entry(request).or_insert(cause);
                }
            }
        }
        found
    }

    /// The same for one entry.
    fn read(&mut self, entry: usize, read: Read, cause: Cause) -> bool {
        let now = self.clock.now();
        if matches!(self.publisher.slot(entry), Slot::Unread) {
            self.set(entry, Slot::Missing);
        }
        let found = self.must_wait(entry, read, now);
        if found {
            self.want(entry, cause, now);
        }
        found
    }

    fn must_wait(&self, entry: usize, read: Read, now: Stamp) -> bool {
        let catalog = self.publisher.catalog();
        let verdict = self.publisher.slot(entry).verdict(
            &catalog.entries[entry],
            read,
            now,
            catalog.patience,
        );
        matches!(verdict, Verdict::Wait)
    }

    fn invalidate(&mut self, entry: usize) {
        let index = self.publisher.catalog().entries[entry].request;
        self.drop_values(index);
        // A reader that waits for the fetch in flight needs another one now.
        if self.wanted.contains(&index) {
            self.launching.insert(index, Cause::Restart);
        }
    }

    /// Drops what a request's entries hold, and whatever its fetch in flight will bring.
    fn drop_values(&mut self, index: usize) {
        self.requests[index].flight = None;
        self.requests[index].failures = 0;
        for entry in self.requests[index].entries.clone() {
            self.deriving.remove(&entry);
            if !matches!(self.publisher.slot(entry), Slot::Unread) {
                self.set(entry, Slot::Missing);
            }
        }
        self.reschedule(index);
    }

    fn set(&mut self, entry: usize, slot: Slot) {
        let policy = &self.publisher.catalog().entries[entry].policy;
        self.bounds.set(entry, slot.bounds(policy));
        match slot {
            Slot::Failed(..) => self.failing.insert(entry),
            _ => self.failing.remove(&entry),
        };
        self.publisher.set(entry, slot);
        self.changed = true;
    }

    /// Says of an entry that fails what comes next.
    fn set_retry(&mut self, entry: usize, retry: Retry) {
        if let Slot::Failed(held, failure) = self.publisher.slot(entry) {
            let failure = Failure { retry, ..Failure::clone(failure) };
            let slot = Slot::Failed(held.clone(), Box::new(failure));
            self.set(entry, slot);
        }
    }

    /// Works out anew when a request is due.
    fn reschedule(&mut self, index: usize) {
        let request = &self.requests[index];
        let due = if request.flight.is_some() {
            Bounds::ALWAYS
        } else if let Some(pause) = request.pause() {
            pause
        } else {
            let entries = &self.publisher.catalog().entries;
            let due = |&entry: &usize| match self.publisher.slot(entry) {
                // A schedule for what every read fetches would be a hot loop.
                _ if entries[entry].policy.max_age == Some(Duration::ZERO) => Bounds::ALWAYS,
                _ if self.deriving.contains_key(&entry) => Bounds::ALWAYS,
                Slot::Ready(held) => held.due(&entries[entry].policy, request.jitter),
                Slot::Failed(_, failure) => failure.retry_due(),
                Slot::Missing => Bounds::NEVER,
                Slot::Unread => Bounds::ALWAYS,
            };
            request.entries.iter().map(due).fold(Bounds::ALWAYS, Bounds::and)
        };
        self.schedule.set(index, due);
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.publisher.publish(self.bounds.all());
        }
    }
}

/// However it ends, readers are told: a panic, an abort and the end of the runtime included.
impl Drop for Actor {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() {
            "it panicked"
        } else {
            "its task or its runtime was ended"
        };
        self.publisher.reader().stop(reason);
    }
}
