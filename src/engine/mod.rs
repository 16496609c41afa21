//! The engine: everything that the refresher decides, as a value.
//!
//! An [`Event`] and the instant it happens at go in ([`Engine::handle`]); what has to be done comes
//! out as [`Effect`]s ([`Engine::poll`]). It knows no clock, task, lock or network, and runs no code
//! of a user's: sources, decoders, keys and values are numbers to it, or opaque. So a history of a
//! cache is a list of events, and the same list always has the same effects.
//!
//! In reading order: [`life`] says who keeps the environment from freezing, [`units`] how far each
//! fetch is, [`board`] what is published; `reading`, `fetching` and `landing` are what happens to
//! these when somebody reads, a fetch begins or ends, and an answer comes. [`arrivals`] remembers when
//! invocations come, [`ahead`] derives from that what they should refresh for the next one, and
//! `expecting` does it. `init` is what is different as long as init goes on.

mod ahead;
mod arrivals;
mod attempts;
mod board;

mod events;
mod expecting;
mod fetching;
#[cfg(feature = "testing")]
mod history;
mod init;
mod jobs;
mod landing;
mod life;
mod reading;
mod schedule;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::arrivals::Arrivals;
use self::board::Board;
use self::init::Init;
use self::jobs::{Job, JobKind};
use self::life::{Life, Phase, Step, Word};
use self::schedule::BoundsTree;
use self::units::{Fetching, Readers, Units};
use crate::clock::{self, Stamp};
use crate::entry::Version;
use crate::freshness::{Ahead, Bounds, Latency};
use crate::snapshot::{Asked, Catalog, Slot, State, Turn, Waiters};
pub(crate) use crate::stats::Cause;
use crate::stats::Counters;

pub(crate) use self::events::{
    Came, CameAs, Effect, Event, Fetch, FetchOf, KeyAsked, Landing, MemoOptions, Part, Retired,
};
#[cfg(feature = "testing")]
pub use self::history::engine_history;
pub(crate) use self::life::{Invocation, Reply};
pub(crate) use self::units::{Origin, Unit};

/// Names a task that the shell runs.
pub(crate) type JobId = u64;

/// How the engine works.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether the environment may freeze between invocations.
    pub(crate) freezes: bool,
    pub(crate) operation_timeout: Duration,
    pub(crate) hold_limit: Duration,
    pub(crate) seed: Option<u64>,
}

/// What the engine keeps fresh.
pub(crate) struct Plan {
    pub(crate) cache: u64,
    pub(crate) catalog: Arc<Catalog>,
    /// The source of each request.
    pub(crate) sources: Vec<usize>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) counters: Counters,
}

/// A value that is being derived, one at a time for each entry.
struct Deriving {
    job: JobId,
    /// The last fetch that brought or confirmed what it comes from.
    asked: Asked,
    version: Version,
    lifetime: Option<Duration>,
}

/// What is known of a memo's fetches.
struct Memo {
    options: MemoOptions,
    latency: Latency,
}

/// Whose attempt may turn slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempted {
    Entry(usize),
    Ticket(u64),
}

pub(crate) struct Engine {
    life: Life,
    board: Board,
    units: Units,
    /// When each request is due, whatever the traffic; follows from slots and units, in
    /// [`Engine::reschedule`] alone.
    schedule: BoundsTree,
    /// When the value of each request ends that may be refreshed ahead of that; follows likewise.
    ends: BoundsTree,
    /// What the schedule leaves to the traffic: max ages, each with what a wait is worth.
    kinds: Vec<(Duration, Ahead)>,
    arrivals: Arrivals,
    /// Init, as long as it goes on.
    init: Option<Init>,
    deriving: BTreeMap<usize, Deriving>,
    memos: BTreeMap<u64, Memo>,
    jobs: BTreeMap<JobId, Job>,
    last_job: JobId,
    /// The number of fetches that have begun.
    fetches: u64,
    /// The number of fetches that had begun when the turn did.
    turn_began: u64,
    /// When attempts become slow, on the monotonic clock, and the number of their fetch.
    slow: BTreeSet<(i64, Attempted, u64)>,
    counters: Counters,
    random: fastrand::Rng,
    /// Handlers that may begin when a job has aged the memos.
    aging: BTreeMap<JobId, Reply>,
    /// Readers must look again although nothing has changed.
    wakes: bool,
    /// What nobody needs any more.
    retired: Vec<Retired>,
    /// Effects to return from the next poll, ...
    effects: Vec<Effect>,
    /// ... and the answers that follow them.
    answers: Vec<Reply>,
}

impl Engine {
    /// An engine that has fetched nothing, and the state to begin with.
    pub(crate) fn new(plan: Plan, settings: Settings, slots: Vec<Slot>) -> (Self, State) {
        let Plan { cache, catalog, sources, waiters, counters } = plan;
        let mut entries = vec![Vec::new(); sources.len()];
        for (entry, definition) in catalog.entries.iter().enumerate() {
            entries[definition.request].push(entry);
        }
        let fetching = |(source, entries): (usize, Vec<usize>)| {
            let timeouts = entries.iter().filter_map(|&entry| catalog.entries[entry].timeout);
            let timeout = timeouts.min().unwrap_or(settings.operation_timeout);
            Fetching::new(Origin::Source(source), Readers::Entries(entries), timeout)
        };
        let requests: Vec<_> = sources.into_iter().zip(entries).map(fetching).collect();
        let board = Board::new(cache, Arc::clone(&catalog), slots);
        let state = board.state();
        let engine = Self {
            life: Life::new(settings.freezes, settings.hold_limit),
            schedule: BoundsTree::new(requests.iter().map(|_| Bounds::ALWAYS)),
            ends: BoundsTree::new(requests.iter().map(|_| Bounds::ALWAYS)),
            kinds: expecting::kinds(&catalog),
            arrivals: Arrivals::default(),
            units: Units::new(requests, waiters),
            board,
            random: settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            counters,
            init: None,
            deriving: BTreeMap::new(),
            memos: BTreeMap::new(),
            jobs: BTreeMap::new(),
            last_job: 0,
            fetches: 0,
            turn_began: 0,
            slow: BTreeSet::new(),
            aging: BTreeMap::new(),
            wakes: false,
            retired: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
        };
        (engine, state)
    }

    /// Takes in an event. Its effects come from the next [`poll`](Self::poll), so that readers who ask at
    /// the same time share a fetch.
    pub(crate) fn handle(&mut self, event: Event, now: Stamp) {
        match event {
            Event::Read { entry, read, cause, waits } => {
                let found = match entry {
                    None => self.read_all(read, cause, now),
                    Some(entry) => self.read(entry, read, cause, now),
                };
                // The reader has judged otherwise, by clocks that have been stepped since.
                self.wakes |= waits && !found;
            }
            Event::Load { deadline } => self.begin_init(deadline, now),
            Event::Invalidate { entry, reply } => {
                self.invalidate(entry);
                self.answers.push(reply);
            }
            Event::Key(asked) => self.key_asked(asked, now),
            Event::MemoGone { memo } => self.memo_gone(memo, now),
            Event::ReaderLeft => {
                if self.life.phase.waits_for_readers() {
                    self.cancel_unwanted(now);
                }
            }
            Event::HandlersTell => self.told(Word::HandlersTell, now),
            Event::HandlerBegan { invocation, trace_time, reply } => {
                self.told(Word::HandlerBegan(invocation), now);
                match self.age(trace_time, now) {
                    Some(aging) => _ = self.aging.insert(aging, reply),
                    None => self.answers.push(reply),
                }
            }
            Event::ResponseSent { request_id, reply } => {
                self.told(Word::ResponseSent(request_id, reply), now);
            }
            Event::Invoke { invocation, trace_time, reply } => {
                // Before what is due is looked for.
                _ = self.age(trace_time, now);
                self.arrivals.arrived(now);
                self.told(Word::Invoke(invocation, reply), now);
            }
            Event::Suspend { reply } => self.told(Word::Suspend(reply), now),
            Event::Restored { reply } => {
                self.arrivals.interrupted();
                self.told(Word::Restored(reply), now);
            }
            Event::Planned { job, batches, dropped } => self.planned(job, batches, dropped, now),
            Event::Fetched { job, calls, parts } => self.fetched(job, calls, parts, now),
            Event::KeysFetched { job, tickets } => self.keys_fetched(job, &tickets, now),
            Event::Derived { job, value } => self.derived(job, value, now),
            Event::Done { job } => self.done(job, now),
            Event::Aborted { job, calls } => self.aborted(job, calls),
            Event::Panicked { job, calls, error } => self.panicked(job, calls, &error, now),
            Event::Time => {}
        }
    }

    /// Returns what has to be done now. Call it after every event, or after several that came together.
    pub(crate) fn poll(&mut self, now: Stamp, effects: &mut Vec<Effect>) {
        self.attempts_slow_down(now);
        if self.life.phase.hold_end().is_some_and(|end| end <= now.monotonic) {
            self.told(Word::HoldOver, now);
        }
        self.end_init();
        if let Some(cause) = self.timers()
            && !self.schedule.all().admits(now)
        {
            self.queue_due(cause, now);
        }
        self.launch(now);
        while self.is_still(now) {
            let before = std::mem::discriminant(&self.life.phase);
            let more = self.may_fall_due(now);
            self.told(Word::Still { more }, now);
            if before == std::mem::discriminant(&self.life.phase) {
                break;
            }
            // Start what was asked for while everything was being cancelled.
            self.launch(now);
        }
        effects.append(&mut self.effects);
        match self.board.publish() {
            Some((state, retired)) => {
                effects.push(Effect::Publish { state, retired, job: None });
            }
            None if self.wakes => effects.push(Effect::Wake),
            None => {}
        }
        self.wakes = false;
        if !self.retired.is_empty() {
            effects.push(Effect::Retire(std::mem::take(&mut self.retired)));
        }
        effects.extend(self.answers.drain(..).map(Effect::Answer));
    }

    /// How long after `now` to poll again at the latest, if nothing happens before.
    pub(crate) fn next_poll(&self, now: Stamp) -> Option<Duration> {
        let due = self.timers().and_then(|_| self.schedule.next(now));
        let slow = self.slow.first().map(|&(at, ..)| at);
        let given_up = self.jobs.values().filter(|job| !job.is_given_up(now));
        let given_up = given_up.filter_map(|job| job.given_up);
        let at = slow.into_iter().chain(self.life.phase.hold_end()).chain(given_up).min();
        let at = at.map(|at| clock::duration(at.saturating_sub(now.monotonic)));
        due.into_iter().chain(at).min()
    }

    /// Whether it matters when a reader leaves.
    pub(crate) fn waits_for_readers(&self) -> bool {
        self.life.phase.waits_for_readers()
    }

    /// Advances the life cycle, and carries out its steps.
    fn told(&mut self, word: Word, now: Stamp) {
        let steps = self.life.on(word, now);
        for step in steps {
            match step {
                Step::Close(invocation) => trace(&invocation, now),
                Step::Thaw => {
                    self.turn_began = self.fetches;
                    self.restart_frozen_fetches(now);
                }
                Step::Answer(reply) => self.answers.push(reply),
                Step::Due => {
                    self.allow_retries(now);
                    let due = self.queue_due(Cause::Invoke, now) + self.queue_expected(now);
                    if let Some(tally) = self.life.phase.tally() {
                        tally.due += due;
                    }
                }
                Step::CancelUnwanted => self.cancel_unwanted(now),
                Step::CancelPaused => self.cancel_paused(now),
                Step::CancelAll => self.cancel_all(now),
                Step::Clear => self.clear(),
                Step::Reset => {
                    let job = self.begin_job(JobKind::Reset, Vec::new());
                    self.effects.push(Effect::Reset { job });
                }
                Step::Reload => self.reload(),
            }
        }
        let turn = Turn(self.life.phase.invocation().map(|_| self.turn_began));
        if turn != self.board.turn() {
            self.board.set_turn(turn);
            self.effects.push(Effect::Turn(turn));
        }
    }

    /// Ages values to the time of a trace id; returns the job that does it for memos.
    // guarantee 11
    fn age(&mut self, trace_time: Option<i64>, now: Stamp) -> Option<JobId> {
        let trace_time = trace_time.filter(|&time| time > now.wall)?;
        for entry in self.board.age_to(trace_time, now) {
            self.reschedule(self.board.definition(entry).request);
        }
        (!self.memos.is_empty()).then(|| {
            let job = self.begin_job(JobKind::Age, Vec::new());
            self.effects.push(Effect::Age { job, trace_time, now });
            job
        })
    }

    /// Whether something may fall due before the invocation's deadline. Which keys of a memo are due
    /// only their readers know.
    fn may_fall_due(&self, now: Stamp) -> bool {
        let Some(invocation) = self.life.phase.invocation() else { return false };
        !self.memos.is_empty() || !self.schedule.all().admits(invocation.deadline(now))
    }

    /// Drops what every entry and memo holds. The snapshot is not taken before it is gone.
    fn clear(&mut self) {
        for request in 0..self.units.requests() {
            self.drop_values(request);
        }
        if let Some((state, retired)) = self.board.publish() {
            let job = Some(self.begin_job(JobKind::Clear, Vec::new()));
            self.effects.push(Effect::Publish { state, retired, job });
        }
        let job = self.begin_job(JobKind::Clear, Vec::new());
        self.effects.push(Effect::ClearMemos { job });
    }

    /// Fetches what was dropped before the snapshot, and what was asked for since.
    fn reload(&mut self) {
        for request in 0..self.units.requests() {
            let entries = self.units.request(request).entries();
            if entries.iter().any(|&entry| matches!(self.board.slot(entry), Slot::Empty)) {
                self.units.queue(Unit::Request(request), Cause::Restart);
            }
        }
        for unit in self.units.with_readers() {
            self.units.queue(unit, Cause::Restart);
        }
    }
}

/// One event for each invocation, when it is over.
fn trace(invocation: &Invocation, now: Stamp) {
    let Invocation { request_id, tally, .. } = invocation;
    let held = tally.responded.map_or(0, |responded| now.monotonic.saturating_sub(responded));
    tracing::debug!(
        request_id,
        due = tally.due,
        refreshed = tally.refreshed,
        failed = tally.failed,
        held_ms = clock::duration(held).as_secs_f64() * 1e3,
        "invocation"
    );
}
