//! A random history. Each has a random part of all that can happen in it, so that what a common event
//! would hide (an invalidation ends many a bug's traces) is absent from some.

use fastrand::Rng;

use crate::history::{
    Answers, By, Clocks, Derives, EntryOptions, Event, Freeze, History, How, Loading, MemoOptions,
    Place, Setup, Target, Thing, Trace, What, With,
};

/// The fewest and the most events of a history.
const EVENTS: std::ops::Range<usize> = 60..140;

/// The history of a seed.
pub fn history(seed: u64) -> History {
    let mut random = Rng::with_seed(seed);
    let setup = setup(&mut random);
    let swarm = Swarm::new(&mut random, &setup);
    let count = random.usize(EVENTS);
    let mut events = Vec::with_capacity(count + 4);
    while events.len() < count {
        let event = swarm.event(&mut random, &setup);
        match event {
            // What is under way at a freeze, and what is asked for after it, is often the same.
            Event::FreezeNow(_) if random.bool() => {
                let target = target(&mut random, &setup);
                let how = if random.bool() { How::Refresh } else { How::Get };
                let read = |how| Event::Read(By::Handler, What::One(target, how));
                events.extend([read(how), Event::Pass(1), event, read(How::Get)]);
            }
            _ => events.push(event),
        }
    }
    History { setup, events }
}

fn one_of<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(0..of.len())]
}

/// Now and then.
fn some<T: Copy>(random: &mut Rng, of: &[T]) -> Option<T> {
    (random.u8(0..4) == 0).then(|| one_of(random, of))
}

fn setup(random: &mut Rng) -> Setup {
    let place = match random.u8(0..10) {
        0 | 1 => Place::Server,
        2 => Place::Function { extension: true, tells: false },
        3 => Place::Function { extension: false, tells: true },
        _ => Place::Function { extension: true, tells: true },
    };
    let clocks = [
        Clocks::Right,
        Clocks::WallWanders,
        Clocks::WallWanders,
        Clocks::MonotonicStops,
        Clocks::MonotonicStops,
        Clocks::WallFallsBehind,
        Clocks::WallLags,
    ];
    let mut clocks = one_of(random, &clocks);
    // Only who tells can be told the time.
    if clocks == Clocks::WallLags && !matches!(place, Place::Function { tells: true, .. }) {
        clocks = Clocks::MonotonicStops;
    }
    let things: Vec<Thing> = (0..random.usize(1..5))
        .map(|_| Thing { versions: random.u8(0..4) > 0, unchanged: random.bool() })
        .collect();
    let count = things.len();
    // Sometimes all entries are alike, so that they are fetched together for long.
    let alike = random.bool().then(|| entry(random, count));
    let entries = (0..random.usize(1..6)).map(|_| {
        let thing = random.usize(0..count);
        alike.map_or_else(|| entry(random, count), |alike| EntryOptions { thing, ..alike })
    });
    let entries = entries.collect();
    let memos = (0..random.usize(0..3)).map(|_| memo(random)).collect();
    Setup {
        seed: random.u64(..),
        place,
        clocks,
        hold_limit: one_of(random, &[0, 100, 250, 1000]),
        timeout: one_of(random, &[500, 2000, 5000]),
        batch: one_of(random, &[1, 2, 10]),
        things,
        entries,
        memos,
    }
}

/// From none to a while.
const AGES: [u64; 8] = [0, 50, 300, 1000, 3000, 10_000, 60_000, 60_000];

fn entry(random: &mut Rng, things: usize) -> EntryOptions {
    let max_age = (random.u8(0..12) > 0).then(|| one_of(random, &AGES));
    let soft = max_age.unwrap_or(20_000);
    EntryOptions {
        thing: random.usize(0..things),
        max_age,
        refresh_after: some(random, &[soft, soft / 2, soft / 10]).filter(|&it| it > 0),
        stale_if_error: one_of(random, &[0, 0, 500, 30_000]),
        wait_if_failing: some(random, &[0, 20, 400]),
        timeout: some(random, &[300, 3000]),
        loading: one_of(
            random,
            &[Loading::AtInit, Loading::AtInit, Loading::InBackground, Loading::Lazy],
        ),
        derived: random.u8(0..3) == 0,
    }
}

fn memo(random: &mut Rng) -> MemoOptions {
    let max_age = one_of(random, &AGES);
    MemoOptions {
        batched: random.bool(),
        max_entries: random.usize(1..4),
        max_age,
        refresh_after: some(random, &[max_age, max_age / 2]).filter(|&it| it > 0),
        stale_if_error: one_of(random, &[0, 0, 500, 30_000]),
        timeout: some(random, &[300, 3000]),
        cache_errors_for: one_of(random, &[0, 0, 0, 1000]),
    }
}

/// What can happen in a history, and how often each.
struct Swarm {
    weighted: Vec<(u32, Kind)>,
    total: u32,
    failures: bool,
    slow: bool,
    forged: bool,
    retries: bool,
    long_freezes: bool,
    tasks: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pass,
    Yield,
    Change,
    Answers,
    Derives,
    Next,
    Invoke,
    Begin,
    Respond,
    Fail,
    Snapshot,
    Read,
    Leave,
    Invalidate,
    Freeze,
    SetWall,
    Snapstart,
    Kill,
}

impl Swarm {
    fn new(random: &mut Rng, setup: &Setup) -> Self {
        let serves = setup.place == Place::Server;
        let mut weighted = vec![(12, Kind::Pass), (4, Kind::Change), (6, Kind::Read)];
        if !serves {
            weighted.extend([
                (8, Kind::Next),
                (6, Kind::Invoke),
                (8, Kind::Begin),
                (6, Kind::Respond),
            ]);
        }
        let rest = [
            (6, Kind::Yield),
            (6, Kind::Answers),
            (2, Kind::Derives),
            (6, Kind::Snapshot),
            (2, Kind::Leave),
            (2, Kind::Invalidate),
            (2, Kind::Freeze),
            (2, Kind::SetWall),
            (1, Kind::Fail),
            (1, Kind::Snapstart),
        ];
        weighted.extend(rest.into_iter().filter(|_| random.u8(0..3) > 0));
        if random.u8(0..16) == 0 {
            weighted.push((1, Kind::Kill));
        }
        Self {
            total: weighted.iter().map(|&(weight, _)| weight).sum(),
            weighted,
            failures: random.bool(),
            slow: random.bool(),
            forged: random.bool(),
            retries: random.u8(0..4) == 0,
            long_freezes: random.bool(),
            tasks: random.bool(),
        }
    }

    fn event(&self, random: &mut Rng, setup: &Setup) -> Event {
        let mut left = random.u32(0..self.total);
        let kind = self.weighted.iter().find(|&&(weight, _)| {
            let found = left < weight;
            left = left.saturating_sub(weight);
            found
        });
        match kind.map_or(Kind::Pass, |&(_, kind)| kind) {
            Kind::Pass => Event::Pass(one_of(random, &[1, 2, 5, 20, 60, 200, 500, 1000, 4000])),
            Kind::Yield => Event::Yield(random.u8(1..12)),
            Kind::Change => Event::Change(random.usize(0..setup.things.len())),
            Kind::Answers => {
                Event::Behave(random.usize(0..setup.things.len()), self.answers(random, setup))
            }
            Kind::Derives => {
                let takes = one_of(random, &[0, 5, 100, 1000, 10_000]);
                let derives = Derives { takes, fails: self.failures && random.bool() };
                Event::Derive(random.usize(0..setup.entries.len()), derives)
            }
            Kind::Next => Event::Next {
                freeze: self.freeze(random),
                deadline: one_of(random, &[1000, 3000, 15_000]),
                trace: self.trace(random),
                retry: self.retries && random.bool(),
            },
            Kind::Invoke => Event::Invoke,
            Kind::Begin => Event::Begin,
            Kind::Respond => Event::Respond,
            Kind::Fail => Event::Fail,
            Kind::Snapshot => Event::Read(self.by(random), What::Snapshot),
            Kind::Read => {
                let how = match random.u8(0..6) {
                    0 => How::Refresh,
                    1 => How::Within(one_of(random, &AGES)),
                    _ => How::Get,
                };
                Event::Read(self.by(random), What::One(target(random, setup), how))
            }
            Kind::Leave => Event::Leave(random.usize(0..8)),
            Kind::Invalidate => Event::Invalidate(target(random, setup)),
            Kind::Freeze => Event::FreezeNow(self.freeze(random)),
            Kind::SetWall => {
                Event::SetWall(one_of(random, &[-60_000, -5000, -70, -20, 20, 70, 5000, 60_000]))
            }
            Kind::Snapstart => Event::Snapstart(self.freeze(random)),
            Kind::Kill => Event::Kill,
        }
    }

    fn by(&self, random: &mut Rng) -> By {
        if self.tasks && random.bool() { By::Task } else { By::Handler }
    }

    fn freeze(&self, random: &mut Rng) -> Freeze {
        let lasts = if self.long_freezes {
            &[0, 100, 1000, 5000, 20_000, 50_000, 600_000][..]
        } else {
            &[0, 10, 100, 1000]
        };
        Freeze { lasts: one_of(random, lasts), seen: one_of(random, &[0, 0, 50, 100]) }
    }

    fn trace(&self, random: &mut Rng) -> Trace {
        match random.u8(0..4) {
            0 => Trace::Absent,
            1 if self.forged => {
                Trace::Forged(one_of(random, &[-100_000, -3000, 3000, 100_000, 10_000_000]))
            }
            _ => Trace::Genuine,
        }
    }

    fn answers(&self, random: &mut Rng, setup: &Setup) -> Answers {
        // Up to just before the timeout, and past it.
        let nearly = setup.timeout * 9 / 10;
        let slow = [0, 2, 10, 60, 300, nearly / 2, nearly, nearly, 8000];
        let times = if self.slow { &slow[..] } else { &[0, 2, 10, 30] };
        let with = match random.u8(0..12) {
            0 | 1 if self.failures => With::Failure,
            2 if self.failures => With::Throttling,
            3 if self.failures => With::Panic,
            4 if self.failures => With::Nothing,
            5 | 6 => With::Lifetime(one_of(random, &[0, 30, 500, 4000, 100_000])),
            _ => With::Value,
        };
        Answers { before: one_of(random, times), after: one_of(random, times), with }
    }
}

fn target(random: &mut Rng, setup: &Setup) -> Target {
    if !setup.memos.is_empty() && random.bool() {
        let memo = random.usize(0..setup.memos.len());
        Target::Key(memo, random.usize(0..setup.things.len()))
    } else {
        Target::Entry(random.usize(0..setup.entries.len()))
    }
}
