//! Random histories, seeded: whatever happens, no read gets what the promise forbids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Builder, Memo, Mode};

use crate::fixture::{SECOND, settle};

const MAX_AGE: Duration = Duration::from_secs(60);
const STALE: Duration = Duration::from_secs(20);

/// What a function returns: a number of its own for each call.
type Began = Arc<Mutex<HashMap<u64, Duration>>>;

/// True time since the start, which no clock of the environment has to see.
fn true_time(clock: &TestClock, start: std::time::SystemTime) -> Duration {
    clock.true_now().duration_since(start).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_history_leads_to_a_value_that_is_too_old() {
    for seed in 0..60 {
        history(seed).await;
    }
}

async fn history(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let clock = TestClock::new();
    let start = clock.true_now();
    let began = Began::default();
    let (delay, fails) = (Arc::new(Mutex::new(Duration::ZERO)), Arc::new(Mutex::new(false)));
    let cache = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(seed);
    let cache = cache.operation_timeout(5 * SECOND).spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    let function = {
        let (clock, began, delay, fails) =
            (clock.clone(), Arc::clone(&began), Arc::clone(&delay), Arc::clone(&fails));
        move |_: u8| {
            let number = {
                let mut began = began.lock().unwrap();
                let number = began.len() as u64;
                began.insert(number, true_time(&clock, start));
                number
            };
            let (delay, fails) = (*delay.lock().unwrap(), *fails.lock().unwrap());
            async move {
                tokio::time::sleep(delay).await;
                if fails { Err(std::io::Error::other("away")) } else { Ok(number) }
            }
        }
    };
    let memo: Memo<u8, u64> = cache.memo("numbers", function).max_entries(3).max_age(MAX_AGE);
    let memo = memo.stale_if_error(STALE);
    let mut readers = Vec::new();
    for _ in 0..80 {
        match random.u8(0..10) {
            0 => clock.freeze(SECOND * random.u32(0..150)),
            1 => clock.advance(SECOND * random.u32(0..20)),
            2 => *delay.lock().unwrap() = SECOND * random.u32(0..8),
            3 => *fails.lock().unwrap() = random.u8(0..3) == 0,
            4 => memo.invalidate(random.u8(0..5)).await.unwrap(),
            5 => {
                let invocation = invocations.next();
                let extension = invocation.clone();
                let held = tokio::spawn(async move { extension.invoke().await });
                invocation.handler_begins().await.unwrap();
                if random.bool() {
                    settle().await;
                }
                invocation.handler_ends().await.unwrap();
                held.await.unwrap().unwrap();
            }
            way => {
                let (memo, clock, began) = (memo.clone(), clock.clone(), Arc::clone(&began));
                let key = random.u8(0..5);
                let reader = tokio::spawn(async move {
                    let read = true_time(&clock, start);
                    let value = match way {
                        6 => memo.refresh(key).await,
                        _ => memo.get(key).await,
                    };
                    let Ok(value) = value else { return };
                    let now = true_time(&clock, start);
                    let began = began.lock().unwrap()[&*value];
                    let allowed = if value.is_stale() { MAX_AGE + STALE } else { MAX_AGE };
                    // A reader that waited also takes what was asked for after it began.
                    assert!(now - began < allowed || began >= read, "seed {seed}, way {way}");
                    if way == 6 {
                        assert!(began >= read, "seed {seed}: a forced refresh was not one");
                    }
                });
                readers.push(reader);
                if random.bool() {
                    settle().await;
                }
            }
        }
        assert!(memo.len() <= 3);
        if random.u8(0..3) == 0 {
            tokio::time::sleep(SECOND * random.u32(0..6)).await;
        }
    }
    *delay.lock().unwrap() = Duration::ZERO;
    // What was cancelled at the end of an invocation waits for the next one.
    let invocation = invocations.next();
    let extension = invocation.clone();
    let held = tokio::spawn(async move { extension.invoke().await });
    invocation.handler_begins().await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    invocation.handler_ends().await.unwrap();
    held.await.unwrap().unwrap();
}
