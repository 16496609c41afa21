//! A random history of an engine: what `benches/engine.rs` times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Came, CameAs, Cause, Effect, Engine, Event, FetchOf, Invocation, KeyAsked, MemoOptions, Part,
    Plan, Reply, Settings, Unit,
};
use crate::clock::Stamp;
use crate::entry::{Definition, Loading, Version};
use crate::freshness::Policy;
use crate::snapshot::{AnyValue, Catalog, NewValue, Read, ReadKind, Slot, WaitCount, Waiters};
use crate::stats::Counters;

const ENTRIES: usize = 20;
const SOURCES: usize = 4;

/// Plays a history of so many events, which follows from the seed, on an engine of twenty entries and
/// a memo; gives the number of its effects.
#[doc(hidden)]
pub fn engine_history(seed: u64, events: usize) -> usize {
    let mut world = World::new(seed);
    for _ in 0..events {
        let event = world.next();
        world.tell(event);
    }
    world.effects_so_far
}

struct World {
    engine: Engine,
    random: fastrand::Rng,
    now: Stamp,
    /// Events that effects have led to.
    coming: VecDeque<Event>,
    invocations: u64,
    tickets: u64,
    replies: Reply,
    waiting: Arc<WaitCount>,
    effects: Vec<Effect>,
    effects_so_far: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let entry = |entry: usize| Definition {
            name: Arc::from(entry.to_string()),
            policy: Policy {
                max_age: Some(Duration::from_secs(5 + entry as u64 * 5)),
                stale_if_error: Duration::from_secs(entry as u64),
                ..Policy::default()
            },
            loading: Loading::AtInit,
            timeout: None,
            request: entry,
            source: Arc::from("source"),
            holds: std::any::TypeId::of::<u64>(),
        };
        let frozen_after = Duration::from_secs(6);
        let catalog = Catalog { entries: (0..ENTRIES).map(entry).collect(), frozen_after };
        let plan = Plan {
            cache: 1,
            catalog: Arc::new(catalog),
            sources: (0..ENTRIES).map(|entry| entry % SOURCES).collect(),
            waiters: Arc::new(Waiters::new(ENTRIES)),
            counters: Counters::new(ENTRIES),
        };
        let settings = Settings {
            freezes: true,
            operation_timeout: Duration::from_secs(5),
            hold_limit: Duration::from_millis(250),
            seed: Some(seed),
        };
        let (engine, _) = Engine::new(plan, settings, vec![Slot::Empty; ENTRIES]);
        Self {
            engine,
            random: fastrand::Rng::with_seed(seed),
            now: Stamp { monotonic: 0, wall: 1_000_000_000_000 },
            coming: VecDeque::new(),
            invocations: 0,
            tickets: 0,
            replies: 0,
            waiting: Arc::default(),
            effects: Vec::new(),
            effects_so_far: 0,
        }
    }

    fn next(&mut self) -> Event {
        if self.random.bool()
            && let Some(event) = self.coming.pop_front()
        {
            self.pass(self.random.clone().u64(0..100));
            return event;
        }
        self.replies += 1;
        let reply = self.replies;
        match self.random.u8(0..10) {
            0 => {
                // A freeze, perhaps.
                let frozen = Duration::from_secs(self.random.u64(0..20));
                self.now.wall = self.now.later_by(frozen).wall;
                self.invocations += 1;
                Event::Invoke { invocation: self.invocation(), trace_time: None, reply }
            }
            1 | 2 => Event::HandlerBegan { invocation: self.invocation(), trace_time: None, reply },
            3 => Event::ResponseSent { request_id: self.invocations.to_string(), reply },
            4 => Event::Invalidate { entry: self.random.usize(0..ENTRIES), reply },
            5 => {
                self.tickets += 1;
                let timeout = Duration::from_secs(5);
                Event::Key(KeyAsked {
                    memo: 1,
                    options: MemoOptions { timeout, policy: Policy::default() },
                    ticket: self.tickets,
                    waiting: Arc::clone(&self.waiting),
                    ahead: true,
                    failing: false,
                })
            }
            6 => {
                self.pass(self.random.clone().u64(0..2_000));
                Event::Time
            }
            kind => {
                let entry = (kind == 7).then(|| self.random.usize(0..ENTRIES));
                let kind = entry.map_or(ReadKind::Snapshot, |_| ReadKind::Entry);
                let read = Read { kind, after: self.engine.fetches };
                Event::Read { entry, read, cause: Cause::Read, waits: true }
            }
        }
    }

    fn invocation(&self) -> Invocation {
        let deadline = self.now.later_by(Duration::from_secs(3)).wall;
        Invocation::new(self.invocations.to_string(), deadline)
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.later_by(Duration::from_millis(milliseconds));
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle(event, self.now);
        self.engine.poll(self.now, &mut self.effects);
        self.effects_so_far += self.effects.len();
        for effect in std::mem::take(&mut self.effects) {
            let follows = self.follows(effect);
            self.coming.extend(follows);
        }
    }

    /// What an effect leads to.
    fn follows(&mut self, effect: Effect) -> Option<Event> {
        Some(match effect {
            Effect::Plan { job, mut units, along, .. } => {
                units.extend(along);
                let batches = units.chunks(10).map(<[Unit]>::to_vec).collect();
                Event::Planned { job, batches, dropped: Vec::new() }
            }
            Effect::Fetch(fetch) => match fetch.what {
                FetchOf::Requests(parts) => {
                    let version = self.random.u8(0..4);
                    let came = |(entry, known)| (entry, came(known, version));
                    let part = |Part { request, entries }| Part {
                        request,
                        entries: entries.into_iter().map(came).collect(),
                    };
                    let parts = parts.into_iter().map(part).collect();
                    Event::Fetched { job: fetch.job, calls: 1, parts }
                }
                FetchOf::Tickets(tickets) => {
                    let tickets = tickets.into_iter().map(|ticket| (ticket, true)).collect();
                    Event::KeysFetched { job: fetch.job, tickets }
                }
            },
            Effect::Land { job, .. } => Event::Done { job },
            Effect::Abort(job) => Event::Aborted { job, calls: 1 },
            _ => return None,
        })
    }
}

fn came(known: Option<Version>, version: u8) -> Came {
    let version = Version::new(version);
    let answer = match known {
        Some(known) if known == version => CameAs::Unchanged(known),
        _ => CameAs::Changed(NewValue { value: AnyValue::new(7_u64), version: Some(version) }),
    };
    Came { answer, lifetime: None }
}
