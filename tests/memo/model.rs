//! Random histories, seeded: whatever happens, no read gets what the promise forbids.

use std::time::Duration;

use crate::fixture::{SECOND, invoke, settle};
use crate::world::{Behaviour, World};

#[tokio::test(start_paused = true)]
async fn no_history_leads_to_a_value_that_is_too_old() {
    for seed in 0..100 {
        // Longer and shorter than a fetch may take, and none at all.
        let (max_age, stale) = [(60, 20), (60, 0), (3, 2), (0, 0)][seed as usize % 4];
        history(seed, SECOND * max_age, SECOND * stale).await;
    }
}

async fn history(seed: u64, max_age: Duration, stale: Duration) {
    let mut random = fastrand::Rng::with_seed(seed);
    let name = format!("seed {seed}");
    let world = World::new(max_age, stale, seed).await;
    let mut readers = Vec::new();
    for _ in 0..80 {
        let key = random.u8(0..5);
        match random.u8(0..12) {
            0 => world.clock.freeze(SECOND * random.u32(0..150)),
            1 => world.clock.advance(SECOND * random.u32(0..20)),
            2 => {
                let delay = Behaviour::After(SECOND * random.u32(0..8));
                let behaviour = if random.bool() { delay } else { Behaviour::Held };
                world.behave(behaviour, random.u8(0..3) == 0);
            }
            3 => world.release(),
            4 => world.invalidate(key).await,
            5 => {
                let invocation = world.invocations.next();
                let first = random.bool().then(|| invoke(&invocation));
                settle().await;
                invocation.handler_begins().await.unwrap();
                let invoked = first.unwrap_or_else(|| invoke(&invocation));
                if random.bool() {
                    readers.push(world.reads(key, false, &name));
                }
                settle().await;
                invocation.handler_ends().await.unwrap();
                invoked.await.unwrap();
                assert_eq!(world.in_flight(), 0, "{name}: in flight at a freeze");
            }
            // A reader that gives up.
            6 => {
                let gone = world.reads(key, random.bool(), &name);
                if random.bool() {
                    settle().await;
                }
                gone.abort();
            }
            way => {
                readers.push(world.reads(key, way == 7, &name));
                if random.bool() {
                    settle().await;
                }
            }
        }
        assert!(world.memo.len() <= 3);
        if random.u8(0..3) == 0 {
            tokio::time::sleep(SECOND * random.u32(0..6)).await;
        }
    }
    world.end(readers, &name).await;
}
