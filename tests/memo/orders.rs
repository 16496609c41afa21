//! All orders of what happens around a freeze.

use std::time::Duration;

use crate::fixture::{MINUTE, settle};
use crate::world::{Behaviour, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Reads,
    Refreshes,
    Freezes,
    Answers,
    Begins,
    Invalidates,
}

const STEPS: [Step; 6] =
    [Step::Reads, Step::Refreshes, Step::Freezes, Step::Answers, Step::Begins, Step::Invalidates];

/// Every order of `left` after `done`.
fn orders(done: &[Step], left: &[Step], all: &mut Vec<Vec<Step>>) {
    if left.is_empty() {
        all.push(done.to_vec());
    }
    for step in left {
        let rest: Vec<Step> = left.iter().copied().filter(|it| it != step).collect();
        orders(&[done, &[*step]].concat(), &rest, all);
    }
}

#[tokio::test(start_paused = true)]
async fn in_whatever_order_readers_answers_invocation_and_invalidation_come_around_a_freeze() {
    let mut all = Vec::new();
    orders(&[], &STEPS, &mut all);
    assert_eq!(all.len(), 720);
    for order in all {
        // With something fresh to begin with, and with nothing; each step heard of, or all at once.
        for (held, settles) in [(true, true), (false, true), (true, false), (false, false)] {
            play(&order, held, settles).await;
        }
    }
}

async fn play(order: &[Step], held: bool, settles: bool) {
    let history = format!("{order:?}, held: {held}, settles: {settles}");
    let world = World::new(MINUTE, Duration::ZERO, 1).await;
    if held {
        world.reads(1, false, &history).await.unwrap();
    }
    world.behave(Behaviour::Held, false);
    let mut readers = Vec::new();
    for step in order {
        match step {
            Step::Reads => readers.push(world.reads(1, false, &history)),
            Step::Refreshes => readers.push(world.reads(1, true, &history)),
            Step::Freezes => world.clock.freeze(2 * MINUTE),
            Step::Answers => world.release(),
            Step::Begins => world.invocations.next().handler_begins().await.unwrap(),
            Step::Invalidates => world.invalidate(1).await,
        }
        if settles {
            settle().await;
        }
    }
    readers.push(world.reads(1, false, &history));
    world.end(readers, &history).await;
}
