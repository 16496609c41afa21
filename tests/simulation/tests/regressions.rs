//! Histories that once broke a rule, as the simulator printed them.

#![allow(unused_imports, reason = "each history needs other names")]

use simulation::Simulator;
use simulation::history::By::*;
use simulation::history::Clocks::*;
use simulation::history::Event::*;
use simulation::history::How::*;
use simulation::history::Loading::*;
use simulation::history::Place::*;
use simulation::history::Target::*;
use simulation::history::Trace::*;
use simulation::history::What::*;
use simulation::history::With::*;
use simulation::history::*;

fn holds(history: History) {
    if let Err(broken) = Simulator::default().play(&history) {
        panic!("{} at event {}", broken.rule, broken.event);
    }
}

#[test]
fn seed_817303() {
    holds(History {
        setup: Setup {
            seed: 4919271259340363775,
            place: Server,
            clocks: MonotonicStops,
            hold_limit: 1000,
            timeout: 2000,
            batch: 2,
            things: vec![
                Thing { versions: true, unchanged: true },
                Thing { versions: true, unchanged: true },
                Thing { versions: true, unchanged: true },
                Thing { versions: true, unchanged: true },
            ],
            entries: vec![
                EntryOptions {
                    thing: 3,
                    max_age: Some(3000),
                    refresh_after: None,
                    stale_if_error: 0,
                    wait_if_failing: Some(20),
                    timeout: None,
                    loading: Lazy,
                    derived: false,
                },
                EntryOptions {
                    thing: 0,
                    max_age: Some(50),
                    refresh_after: None,
                    stale_if_error: 0,
                    wait_if_failing: None,
                    timeout: None,
                    loading: Lazy,
                    derived: false,
                },
            ],
            memos: vec![],
        },
        events: vec![
            Behave(0, Answers { before: 1500, after: 60, with: Value }),
            Behave(3, Answers { before: 1500, after: 60, with: Value }),
            Read(Handler, One(Entry(1), Get)),
            Yield(11),
            Read(Handler, One(Entry(0), Within(50))),
            Read(Handler, Snapshot),
            Pass(4000),
            Pass(4000),
        ],
    });
}

/// The oracle did not know that a wall clock set ahead looks like a freeze to a fetch under way.
#[test]
fn seed_83740466281108() {
    holds(History {
        setup: Setup {
            seed: 15752619769135372628,
            place: Server,
            clocks: WallWanders,
            hold_limit: 1000,
            timeout: 5000,
            batch: 2,
            things: vec![Thing { versions: false, unchanged: true }],
            entries: vec![],
            memos: vec![MemoOptions {
                batched: false,
                max_entries: 2,
                max_age: 60000,
                refresh_after: None,
                stale_if_error: 500,
                timeout: None,
                cache_errors_for: 0,
            }],
        },
        events: vec![
            Behave(0, Answers { before: 8000, after: 60, with: Value }),
            Read(Handler, One(Key(0, 0), Get)),
            Pass(1),
            SetWall(5000),
            Read(Handler, One(Key(0, 0), Get)),
            Pass(4000),
            Pass(4000),
        ],
    });
}

/// The oracle did not know that the pause after a failure may end while a snapshot waits for another entry.
#[test]
fn seed_201736559204369() {
    let entry = |thing| EntryOptions {
        thing,
        max_age: Some(60000),
        refresh_after: None,
        stale_if_error: 0,
        wait_if_failing: None,
        timeout: None,
        loading: InBackground,
        derived: false,
    };
    holds(History {
        setup: Setup {
            seed: 49444241614338345,
            place: Server,
            clocks: MonotonicStops,
            hold_limit: 0,
            timeout: 500,
            batch: 10,
            things: vec![Thing { versions: true, unchanged: true }; 3],
            entries: vec![entry(1), entry(2)],
            memos: vec![MemoOptions {
                batched: true,
                max_entries: 3,
                max_age: 1000,
                refresh_after: Some(500),
                stale_if_error: 30000,
                timeout: None,
                cache_errors_for: 1000,
            }],
        },
        events: vec![
            Behave(2, Answers { before: 60, after: 300, with: Panic }),
            Read(Task, One(Key(0, 2), Get)),
            Pass(200),
            Pass(200),
            Behave(1, Answers { before: 450, after: 450, with: Failure }),
            Pass(1000),
            Invalidate(Entry(0)),
            Pass(2),
            Read(Handler, Snapshot),
            Pass(4000),
        ],
    });
}

/// The oracle did not know that an entry can be taken along between two calls of its own.
#[test]
fn seed_201731839782929() {
    let entry = |thing, max_age| EntryOptions {
        thing,
        max_age: Some(max_age),
        refresh_after: None,
        stale_if_error: 0,
        wait_if_failing: Some(20),
        timeout: None,
        loading: AtInit,
        derived: false,
    };
    let other = EntryOptions {
        refresh_after: Some(150),
        wait_if_failing: None,
        loading: InBackground,
        derived: true,
        ..entry(0, 300)
    };
    holds(History {
        setup: Setup {
            seed: 3573891996676378821,
            place: Server,
            clocks: WallWanders,
            hold_limit: 100,
            timeout: 2000,
            batch: 10,
            things: vec![Thing { versions: true, unchanged: false }; 3],
            entries: vec![entry(2, 50), other],
            memos: vec![],
        },
        events: vec![Pass(4000), Pass(4000)],
    });
}

/// A fetch of a memo with a timeout of its own was taken for one that a freeze had held up.
#[test]
fn seed_254661284291532() {
    holds(History {
        setup: Setup {
            seed: 13761417002189774808,
            place: Server,
            clocks: WallWanders,
            hold_limit: 0,
            timeout: 500,
            batch: 10,
            things: vec![Thing { versions: true, unchanged: true }; 3],
            entries: vec![],
            memos: vec![MemoOptions {
                batched: false,
                max_entries: 2,
                max_age: 10000,
                refresh_after: None,
                stale_if_error: 30000,
                timeout: Some(3000),
                cache_errors_for: 0,
            }],
        },
        events: vec![
            Read(Handler, One(Key(0, 1), Get)),
            Behave(1, Answers { before: 8000, after: 2, with: Lifetime(30) }),
            Pass(500),
            Pass(1000),
            Read(Handler, One(Key(0, 1), Get)),
            Pass(4000),
        ],
    });
}
