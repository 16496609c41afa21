//! Plays a history: a cache on its clocks, and all that happens to it, one event after the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_cache::testing::{Invocations, TestInvocation, kill_refresher};
use lambda_cache::{Ahead, Builder, Cache, Clock, Error, ErrorKind, Key, Memo, Mode, Value};
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::history::{
    Answers, By, Clocks, EntryOptions, Event, Freeze, History, How, Loading, Place, Setup, Target,
    Trace, What, With,
};
use crate::oracle::{GRACE, Got, Oracle, Read};
use crate::world::{Keys, True, When, World};

/// A history that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub rule: String,
    /// The event at whose end that was seen.
    pub event: usize,
}

/// What a history was worth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    pub events: usize,
    pub reads: usize,
    pub calls: u64,
}

/// Plays histories, one after the other.
pub struct Simulator {
    runtime: Runtime,
}

impl Default for Simulator {
    fn default() -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        Self { runtime }
    }
}

impl Simulator {
    /// Plays a history to its end, or until it breaks a rule.
    pub fn play(&self, history: &History) -> Result<Played, Broken> {
        self.runtime.block_on(async {
            let mut player = Player::start(&history.setup).await;
            for (number, &event) in history.events.iter().enumerate() {
                let happened = player.happens(event).await;
                let held = happened.and_then(|()| player.check());
                held.map_err(|rule| Broken { rule, event: number })?;
            }
            let event = history.events.len();
            player.end().await.map_err(|rule| Broken { rule, event })?;
            Ok(player.played)
        })
    }
}

/// What tasks tell the player.
#[derive(Default)]
struct Told {
    /// Each with when it ended, on the clock by which readers wait.
    reads: Vec<(u64, Instant, Read)>,
    /// Entries that were invalidated: which, when that was asked, and when it was answered.
    invalidated: Vec<(Target, When, When)>,
}

struct Player {
    setup: Setup,
    world: World,
    oracle: Oracle,
    cache: Cache,
    invocations: Invocations,
    entries: Vec<Key<u64>>,
    memos: Vec<Memo<usize, u64>>,
    told: Arc<Mutex<Told>>,
    waiting: Vec<Waiting>,
    /// Readers, the extension, the runtime. They end with the history.
    tasks: JoinSet<()>,
    going: Option<Going>,
    last: Option<TestInvocation>,
    /// The wall clock has lagged once.
    lagged: bool,
    began: Instant,
    /// The last freeze, or the last setting ahead of the wall clock, which looks like one, if a fetch that
    /// was under way is not known from its age to have been held up by it.
    short_freeze: Option<Instant>,
    /// What makes fetches necessary: reads, invocations, freezes, what was found to be wrong.
    reasons: u64,
    played: Played,
    /// Reads by tasks since the last invocation was over.
    stray: bool,
}

/// A reader that waits.
struct Waiting {
    number: u64,
    by: By,
    what: What,
    reader: AbortHandle,
    /// From when on nothing was in its way.
    since: Instant,
    /// Something was, before.
    disturbed: bool,
    excuses_errors: bool,
}

/// An invocation.
struct Going {
    test: TestInvocation,
    made: True,
    deadline: Instant,
    /// When the cache first heard of it.
    heard: Option<True>,
    /// In its midst.
    frozen: bool,
    began: bool,
    invoke: Option<Reply>,
    /// The handler is over, with or without a response.
    over: Option<Instant>,
    response: Option<Reply>,
}

/// An answer that the extension or the runtime waits for.
struct Reply {
    task: AbortHandle,
    since: Instant,
}

impl Going {
    /// Whether a freeze may come.
    fn is_over(&self, extension: bool) -> bool {
        let mut replies = self.invoke.iter().chain(&self.response);
        self.over.is_some() && (self.invoke.is_some() || !extension) && replies.all(Reply::has_come)
    }
}

impl Reply {
    fn has_come(&self) -> bool {
        self.task.is_finished()
    }
}

/// By more than this no clock is slewed within a max age.
const EVIDENT: u64 = 200;

/// The time that the environment has run, which is what whoever waits has to wait for.
#[expect(clippy::disallowed_methods, reason = "the world is not the cache")]
fn running() -> Instant {
    Instant::now()
}

fn passed_since(then: Instant) -> Duration {
    running().saturating_duration_since(then)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl Player {
    async fn start(setup: &Setup) -> Self {
        let world = World::new(&setup.things, setup.entries.len(), setup.batch);
        let mode = match setup.place {
            Place::Function { .. } => Mode::OnDemand,
            Place::Server => Mode::ManagedInstance,
        };
        let mut builder = Builder::new()
            .clock(world.clocks())
            .mode(mode)
            .seed(setup.seed)
            .ahead(match setup.seed % 4 {
                0 => Ahead::Never,
                1 => Ahead::Always,
                _ => Ahead::Expected,
            })
            .hold_limit(ms(setup.hold_limit))
            .operation_timeout(ms(setup.timeout));
        let mut entries = Vec::new();
        for (number, &declared) in setup.entries.iter().enumerate() {
            let asks = world.entry(declared.thing);
            let mut entry = lambda_cache::sources::Entry::new(asks, |value: &u64| Ok(*value))
                .name(format!("entry {number}"))
                .stale_if_error(ms(declared.stale_if_error));
            entry = match declared.max_age {
                Some(age) => entry.max_age(ms(age)),
                None => entry.never_expires(),
            };
            if let Some(age) = declared.refresh_after {
                entry = entry.refresh_after(ms(age));
            }
            if let Some(wait) = declared.wait_if_failing {
                entry = entry.wait_if_failing(ms(wait));
            }
            if let Some(timeout) = declared.timeout {
                entry = entry.timeout(ms(timeout));
            }
            entry = match declared.loading {
                Loading::AtInit => entry,
                Loading::InBackground => entry.in_background(),
                Loading::Lazy => entry.lazy(),
            };
            entries.push(if declared.derived {
                let world = world.clone();
                builder.add(entry.derive(move |value: u64| {
                    let world = world.clone();
                    async move { world.derive(number, declared.thing, value).await }
                }))
            } else {
                builder.add(entry)
            });
        }
        let mut memos = Vec::new();
        for (number, declared) in setup.memos.iter().enumerate() {
            macro_rules! declare {
                ($memo:expr) => {{
                    let mut memo = $memo
                        .max_entries(declared.max_entries)
                        .max_age(ms(declared.max_age))
                        .stale_if_error(ms(declared.stale_if_error))
                        .cache_errors_for(ms(declared.cache_errors_for));
                    if let Some(age) = declared.refresh_after {
                        memo = memo.refresh_after(ms(age));
                    }
                    if let Some(timeout) = declared.timeout {
                        memo = memo.timeout(ms(timeout));
                    }
                    memo.build()
                }};
            }
            let name = format!("memo {number}");
            memos.push(if declared.batched {
                declare!(builder.memo_from(name, Keys { world: world.clone(), memo: number }))
            } else {
                let world = world.clone();
                let look_up = move |thing: usize| {
                    let world = world.clone();
                    async move { world.look_up(number, thing).await }
                };
                declare!(builder.memo(name, look_up))
            });
        }
        let cache = builder.spawn().await.expect("everything is well at init");
        Self {
            invocations: Invocations::new(&cache, &world.clock),
            oracle: Oracle::new(setup),
            setup: setup.clone(),
            world,
            cache,
            entries,
            memos,
            told: Arc::default(),
            waiting: Vec::new(),
            tasks: JoinSet::new(),
            going: None,
            last: None,
            lagged: false,
            began: running(),
            short_freeze: None,
            reasons: 0,
            played: Played::default(),
            stray: false,
        }
    }

    async fn happens(&mut self, event: Event) -> Result<(), String> {
        self.played.events += 1;
        match event {
            Event::Pass(time) => self.pass(time).await,
            Event::Yield(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
            Event::Change(thing) => self.world.change(thing),
            Event::Behave(thing, answers) => self.world.answers(thing, answers),
            Event::Derive(entry, derives) => {
                self.world.derives(entry, self.setup.entries[entry].thing, derives);
            }
            Event::Next { freeze, deadline, trace, retry } => {
                self.next(freeze, deadline, trace, retry).await;
            }
            Event::Invoke => self.invoke(),
            Event::Begin => self.begin().await?,
            Event::Respond => self.respond(),
            Event::Fail => self.fail(),
            Event::Read(by, what) => self.read(by, what),
            Event::Leave(reader) => {
                if !self.waiting.is_empty() {
                    let reader = self.waiting.swap_remove(reader % self.waiting.len());
                    reader.reader.abort();
                    self.disturbed();
                }
            }
            Event::Invalidate(target) => self.invalidate(target),
            Event::FreezeNow(freeze) => {
                if self.setup.clocks != Clocks::WallLags {
                    self.freeze(freeze);
                    self.excuse_errors();
                }
            }
            Event::SetWall(by) => self.set_wall(by),
            Event::Snapstart(freeze) => self.snapstart(freeze).await,
            // Nobody is left to hear a trace id.
            Event::Kill if self.setup.clocks == Clocks::WallLags => {}
            Event::Kill => {
                kill_refresher(&self.cache);
                self.oracle.killed = true;
                self.disturbed();
                // A task ends when it is next run.
                sleep(ms(1)).await;
            }
        }
        Ok(())
    }

    /// Lets time pass. A handler responds before its deadline.
    async fn pass(&mut self, time: u64) {
        let until = running() + ms(time);
        let deadline = self.going.as_ref().filter(|going| going.over.is_none());
        if let Some(deadline) = deadline.map(|going| going.deadline)
            && deadline < until
        {
            tokio::time::sleep_until(deadline - ms(1)).await;
            if self.going.as_ref().is_some_and(|going| going.began) {
                self.respond();
            } else {
                self.fail();
            }
        }
        tokio::time::sleep_until(until).await;
    }

    /// What the clocks see of a freeze.
    fn freeze(&mut self, Freeze { lasts, seen }: Freeze) {
        self.looks_like_a_freeze(lasts);
        let seen = lasts * u64::from(seen.min(100)) / 100;
        let clock = &self.world.clock;
        match self.setup.clocks {
            Clocks::Right => clock.advance(ms(lasts)),
            Clocks::WallWanders => {
                clock.advance(ms(lasts));
                clock.step_back(ms(lasts - seen));
            }
            Clocks::MonotonicStops => {
                clock.advance(ms(seen));
                clock.freeze(ms(lasts - seen));
            }
            Clocks::WallFallsBehind => {
                clock.advance(ms(seen));
                clock.freeze(ms(lasts - seen));
                clock.step_back(ms(lasts - seen + EVIDENT));
            }
            Clocks::WallLags => {
                clock.freeze(ms(lasts));
                if !self.lagged {
                    self.lagged = true;
                    clock.step_back(ms(lasts - seen));
                }
            }
        }
        self.disturbed();
    }

    fn looks_like_a_freeze(&mut self, lasts: u64) {
        if lasts > 0 {
            let is_short = lasts < self.oracle.timeout + GRACE;
            self.short_freeze = is_short.then(running);
        }
    }

    fn set_wall(&mut self, by: i64) {
        let clock = &self.world.clock;
        let time = ms(by.unsigned_abs());
        match self.setup.clocks {
            Clocks::WallWanders | Clocks::WallFallsBehind if by < 0 => clock.step_back(time),
            Clocks::WallWanders | Clocks::MonotonicStops if by > 0 => clock.step_forward(time),
            Clocks::WallLags if by > 0 && self.lagged => clock.step_forward(time),
            _ => return,
        }
        self.looks_like_a_freeze(by.try_into().unwrap_or_default());
        self.disturbed();
    }

    /// Something came in between: what was waited for may have to begin again.
    fn disturbed(&mut self) {
        self.reasons += 1;
        let now = running();
        for waiting in &mut self.waiting {
            waiting.since = now;
            waiting.disturbed = true;
        }
        if let Some(going) = &mut self.going {
            for reply in going.invoke.iter_mut().chain(&mut going.response) {
                reply.since = now;
            }
        }
    }

    /// To the cache, a freeze in the midst of an invocation looks as if its attempts took that long.
    fn excuse_errors(&mut self) {
        for waiting in &mut self.waiting {
            waiting.excuses_errors = true;
        }
        if let Some(going) = &mut self.going {
            going.frozen = true;
        }
    }

    async fn next(&mut self, freeze: Freeze, deadline: u64, trace: Trace, retry: bool) {
        let Place::Function { extension, .. } = self.setup.place else { return };
        if let Some(going) = &self.going {
            // Bring it on by a step.
            if extension && going.invoke.is_none() {
                return self.invoke();
            }
            if going.over.is_none() {
                return if going.began { self.respond() } else { self.fail() };
            }
            if !going.is_over(extension) {
                return sleep(ms(1)).await;
            }
        }
        self.freeze(freeze);
        let made = self.world.now();
        let again = self.last.take().filter(|_| retry && self.setup.clocks != Clocks::WallLags);
        let mut test = again.unwrap_or_else(|| self.invocations.next());
        let end = self.world.clock.now().wall() + ms(deadline);
        test = test.deadline(end);
        let truth = self.world.clock.true_now();
        test = match trace {
            _ if self.setup.clocks == Clocks::WallLags => test,
            Trace::Absent => test.untraced(),
            Trace::Genuine => test.traced_at(truth),
            Trace::Forged(by) if by < 0 => test.traced_at(truth - ms(by.unsigned_abs())),
            Trace::Forged(by) => test.traced_at(truth + ms(by.unsigned_abs())),
        };
        self.last = Some(test.clone());
        self.stray = self.waiting.iter().any(|waiting| waiting.by == By::Task);
        self.going = Some(Going {
            test,
            made,
            deadline: running() + ms(deadline),
            heard: None,
            frozen: false,
            began: false,
            invoke: None,
            over: None,
            response: None,
        });
    }

    fn invoke(&mut self) {
        let Place::Function { extension: true, .. } = self.setup.place else { return };
        let now = self.world.now();
        let Some(going) = self.going.as_mut().filter(|going| going.invoke.is_none()) else {
            return;
        };
        let test = going.test.clone();
        let task = self.tasks.spawn(async move { _ = test.invoke().await });
        going.invoke = Some(Reply { task, since: running() });
        going.heard.get_or_insert(now);
        let delay = now - going.made;
        self.oracle.trace_delayed(delay);
        self.disturbed();
    }

    async fn begin(&mut self) -> Result<(), String> {
        let Place::Function { tells, .. } = self.setup.place else { return Ok(()) };
        let now = self.world.now();
        let Some(going) = self.going.as_mut() else { return Ok(()) };
        if going.began || going.over.is_some() {
            return Ok(());
        }
        going.began = true;
        if tells {
            going.heard.get_or_insert(now);
            let (test, delay) = (going.test.clone(), now - going.made);
            self.oracle.trace_delayed(delay);
            self.disturbed();
            let began = running();
            _ = test.handler_begins().await;
            let held = passed_since(began);
            if !held.is_zero() {
                return Err(format!("a handler that begins is held back for {held:?}"));
            }
        }
        Ok(())
    }

    fn respond(&mut self) {
        let Place::Function { tells, .. } = self.setup.place else { return };
        let Some(going) = self.going.as_mut() else { return };
        if !going.began || going.over.is_some() {
            return;
        }
        going.over = Some(running());
        self.waiting.retain(|waiting| {
            if waiting.by == By::Handler {
                waiting.reader.abort();
            }
            waiting.by != By::Handler
        });
        if tells {
            let test = going.test.clone();
            let task = self.tasks.spawn(async move { _ = test.handler_ends().await });
            going.response = Some(Reply { task, since: running() });
        }
        self.disturbed();
    }

    fn fail(&mut self) {
        let Some(going) = self.going.as_mut() else { return };
        if !going.began {
            going.over.get_or_insert(running());
        }
    }

    fn read(&mut self, by: By, what: What) {
        let handler = self.going.as_ref().filter(|going| going.began && going.over.is_none());
        let serves = self.setup.place == Place::Server;
        let lags = self.setup.clocks == Clocks::WallLags;
        match by {
            By::Handler if handler.is_none() && !serves => return,
            // Nothing has told the time to these.
            By::Task if lags && !serves => return,
            _ => {}
        }
        self.stray |= by == By::Task;
        let tells = matches!(self.setup.place, Place::Function { tells: true, .. });
        let invocation = handler.filter(|_| tells && by == By::Handler);
        let invocation = invocation.filter(|going| !going.frozen).and_then(|going| going.heard);
        let (cache, world, told) = (self.cache.clone(), self.world.clone(), Arc::clone(&self.told));
        let (entries, memos) = (self.entries.clone(), self.memos.clone());
        if let What::One(Target::Entry(entry), _) = what
            && self.setup.entries[entry].loading == Loading::Lazy
        {
            // Snapshots that wait now wait for this entry as well.
            self.disturbed();
        }
        self.reasons += 1;
        let number = self.reasons;
        let reader = self.tasks.spawn(async move {
            let began = world.when();
            let got = get(&cache, &entries, &memos, what).await;
            let ended = world.when();
            let read = Read { what, began, invocation, ended, got };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.reads.push((number, running(), read));
        });
        let since = running();
        // It may join a fetch that is found at its end to have been held up.
        let disturbed =
            self.short_freeze.is_some_and(|it| passed_since(it) < ms(self.oracle.timeout));
        let excuses_errors = false;
        self.waiting.push(Waiting { number, by, what, reader, since, disturbed, excuses_errors });
    }

    fn invalidate(&mut self, target: Target) {
        let (cache, world, told) = (self.cache.clone(), self.world.clone(), Arc::clone(&self.told));
        let (entries, memos) = (self.entries.clone(), self.memos.clone());
        self.tasks.spawn(async move {
            let asked = world.when();
            let done = match target {
                Target::Entry(entry) => cache.invalidate(entries[entry]).await,
                Target::Key(memo, thing) => memos[memo].invalidate(thing).await,
            };
            if done.is_ok() {
                let invalidated = (target, asked, world.when());
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.invalidated.push(invalidated);
            }
        });
        self.disturbed();
    }

    async fn snapstart(&mut self, freeze: Freeze) {
        let idle = self.going.is_none() && self.waiting.is_empty();
        if !idle || self.setup.place == Place::Server || self.setup.clocks == Clocks::WallLags {
            return;
        }
        if self.invocations.before_snapshot().await.is_ok() {
            self.freeze(freeze);
            _ = self.invocations.after_restore().await;
        }
    }

    /// Whether a rule was broken.
    fn check(&mut self) -> Result<(), String> {
        let mut told =
            std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for (target, asked, heard) in told.invalidated.drain(..) {
            self.oracle.invalidated(target, asked, heard);
        }
        for (number, ended, mut read) in told.reads {
            self.played.reads += 1;
            if let Some(waited) = self.waiting.iter().find(|waiting| waiting.number == number) {
                self.check_waited(waited, ended)?;
                read.invocation = read.invocation.filter(|_| !waited.excuses_errors);
            }
            self.oracle.judge(&self.world, &read)?;
        }
        self.waiting.retain(|waiting| !waiting.reader.is_finished());
        for waiting in &self.waiting {
            self.check_waited(waiting, running())?;
        }
        self.check_replies()?;
        self.check_calls()
    }

    /// Nobody waits for longer than fetches take.
    fn check_waited(&self, waiting: &Waiting, until: Instant) -> Result<(), String> {
        let &Waiting { by, what, since, disturbed, .. } = waiting;
        let waited = until.saturating_duration_since(since);
        let fetches = self.fetches_waited_for(what) + u64::from(disturbed);
        let bound = ms(fetches * self.oracle.timeout + 50);
        let handler_runs = || self.going.as_ref().is_some_and(|it| it.began && it.over.is_none());
        let is_served = match self.setup.place {
            Place::Server => true,
            Place::Function { .. } => by == By::Handler && handler_runs(),
        };
        if is_served && waited > bound {
            return Err(format!("a reader has waited for {waited:?}: {what:?}"));
        }
        if self.oracle.killed && waited > ms(5) {
            return Err(format!("a reader waits for a dead refresher: {what:?}"));
        }
        Ok(())
    }

    /// How many fetches a read may have to wait for, one after the other.
    fn fetches_waited_for(&self, what: What) -> u64 {
        let timeout = self.oracle.timeout;
        let outlives_a_fetch = |thing: usize, max_age: Option<u64>| {
            let lifetime = self.world.thing(thing, |thing| thing.lifetime);
            max_age.unwrap_or(u64::MAX).min(lifetime) > timeout
        };
        let entry_does = |entry: &EntryOptions| {
            entry.loading != Loading::Lazy && outlives_a_fetch(entry.thing, entry.max_age)
        };
        // What was under way when it began may be no answer to it.
        let of_one = |outlives: bool| if outlives { 1 } else { 2 };
        // "Unchanged" is no answer if the version that it is about could meanwhile not be derived.
        let derived = |entry: &EntryOptions| u64::from(entry.derived);
        match what {
            What::Snapshot => {
                let entries = &self.setup.entries;
                // One entry may expire while the read waits for another, and the pause after the failure
                // of what was under way may end.
                let of_derived = entries.iter().map(derived).max().unwrap_or_default();
                let of_others = match entries.len() {
                    0 | 1 => 0,
                    _ => 1 + u64::from(entries.iter().any(|entry| self.fails(entry.thing))),
                };
                of_one(entries.iter().all(entry_does)) + of_others + of_derived
            }
            What::One(Target::Entry(entry), how) => {
                let entry = &self.setup.entries[entry];
                of_one(how == How::Get && entry_does(entry)) + derived(entry)
            }
            What::One(Target::Key(memo, thing), How::Get) => {
                of_one(outlives_a_fetch(thing, Some(self.setup.memos[memo].max_age)))
            }
            What::One(..) => 2,
        }
    }

    /// Whether fetches of a thing fail at the moment.
    fn fails(&self, thing: usize) -> bool {
        let Answers { before, after, with } = self.world.thing(thing, |thing| thing.answers);
        let in_time = before + after < self.oracle.timeout;
        !in_time || !matches!(with, With::Value | With::Lifetime(_))
    }

    /// Nobody is held for longer than the hold limit, and when nobody is, nothing is in flight.
    fn check_replies(&self) -> Result<(), String> {
        let Some(going) = &self.going else { return Ok(()) };
        let Place::Function { extension, tells } = self.setup.place else { return Ok(()) };
        let Some(over) = going.over else { return Ok(()) };
        if self.oracle.killed {
            return Ok(());
        }
        // Aborted jobs are waited for for a moment, and a fetch that INVOKE began has a time of its own.
        let limit = ms(self.setup.hold_limit.max(250) + 20);
        let mut replies = going.invoke.iter().chain(&going.response);
        let holds = |reply: &Reply| {
            let held = passed_since(reply.since.max(over));
            (!reply.has_come() && held > limit).then_some(held)
        };
        if self.waiting.is_empty()
            && let Some(held) = replies.find_map(holds)
        {
            return Err(format!("held for {held:?}"));
        }
        let is_free = going.is_over(extension) && going.response.is_some();
        let in_flight = self.world.in_flight();
        if tells && is_free && !self.stray && self.waiting.is_empty() && in_flight > 0 {
            let over = passed_since(over);
            return Err(format!(
                "{in_flight} in flight where a freeze may come, {over:?} after the response"
            ));
        }
        Ok(())
    }

    /// Nothing is asked for more often than there is reason to.
    fn check_calls(&mut self) -> Result<(), String> {
        let passed = passed_since(self.began).as_millis() as u64;
        let mut calls = 0;
        for thing in 0..self.setup.things.len() {
            let asked = self.world.thing(thing, |thing| thing.calls);
            // In the background each entry has its own pace, and failures have another. Calls for others
            // take it along in the last three quarters of its life.
            let pace = |entry: &EntryOptions| {
                let lifetime = self.world.thing(entry.thing, |thing| thing.lifetime);
                let soft = entry.refresh_after.map(|soft| soft / 2);
                let least = soft.or(entry.max_age.map(|age| age / 4)).unwrap_or(u64::MAX);
                passed / least.min(lifetime / 2).max(100)
            };
            let entries = self.setup.entries.iter().filter(|entry| entry.max_age != Some(0));
            let shared = entries.filter(|entry| entry.thing == thing || self.setup.batch > 1);
            let budget = 10 + 4 * self.reasons + shared.map(pace).sum::<u64>() + passed / 400;
            if asked > budget {
                return Err(format!("thing {thing} was asked for {asked} times"));
            }
            calls += asked;
        }
        self.played.calls = calls;
        Ok(())
    }

    /// Lets all that is left come to its end, in a world that is well.
    async fn end(&mut self) -> Result<(), String> {
        self.world.recover();
        self.disturbed();
        let patience = 3 * self.oracle.timeout + 1000;
        if let Place::Function { extension, .. } = self.setup.place {
            // Come to the end of the invocation.
            for _ in 0..2000 {
                if self.going.as_ref().is_none_or(|going| going.is_over(extension)) {
                    break;
                }
                self.next(Freeze { lasts: 0, seen: 100 }, 0, Trace::Absent, false).await;
                sleep(ms(20)).await;
                self.check()?;
            }
            let freeze = Freeze { lasts: 1, seen: 100 };
            self.next(freeze, 1_000_000, Trace::Genuine, false).await;
            self.begin().await?;
            self.invoke();
            self.check()?;
        }
        // What was throttled may have to wait before it is tried again.
        let mut things = 0..self.setup.things.len();
        let throttled = things.any(|thing| self.world.thing(thing, |thing| thing.throttled));
        sleep(ms(if throttled { 40_000 } else { 1000 })).await;
        self.check()?;
        for target in (0..self.entries.len()).map(Target::Entry) {
            self.read(By::Handler, What::One(target, How::Get));
        }
        self.read(By::Handler, What::Snapshot);
        let before = self.played.reads;
        sleep(ms(patience)).await;
        self.check()?;
        if let Some(Waiting { what, .. }) = self.waiting.first() {
            return Err(format!("a reader was forgotten: {what:?}"));
        }
        if self.played.reads <= before && !self.entries.is_empty() {
            return Err("reads got nothing".into());
        }
        Ok(())
    }
}

/// What a read gets.
async fn get(
    cache: &Cache,
    entries: &[Key<u64>],
    memos: &[Memo<usize, u64>],
    what: What,
) -> Vec<(Target, Got)> {
    match what {
        What::Snapshot => {
            let snapshot = cache.snapshot().await;
            let each = entries.iter().enumerate().map(|(number, &key)| {
                let got = match snapshot.get(key) {
                    Ok(&value) => Got::Value {
                        value,
                        age: snapshot.age(key).map_or(0, |age| age.as_millis() as u64),
                        stale: snapshot.is_stale(key).unwrap_or_default(),
                    },
                    Err(error) => failed(&error),
                };
                (Target::Entry(number), got)
            });
            each.collect()
        }
        What::One(target, how) => {
            let got = match (target, how) {
                (Target::Entry(entry), How::Get) => cache.get(entries[entry]).await,
                (Target::Entry(entry), How::Within(age)) => {
                    cache.get_within(entries[entry], ms(age)).await
                }
                (Target::Entry(entry), How::Refresh) => cache.refresh(entries[entry]).await,
                (Target::Key(memo, thing), How::Get | How::Within(_)) => {
                    memos[memo].get(thing).await
                }
                (Target::Key(memo, thing), How::Refresh) => memos[memo].refresh(thing).await,
            };
            vec![(target, of(got))]
        }
    }
}

fn of(got: Result<Value<u64>, Error>) -> Got {
    match got {
        Ok(value) => Got::Value {
            value: *value,
            age: value.age().as_millis() as u64,
            stale: value.is_stale(),
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Got {
    match error.kind() {
        ErrorKind::NotLoaded => Got::NotLoaded,
        ErrorKind::Stopped => Got::Stopped,
        _ => Got::Error,
    }
}
