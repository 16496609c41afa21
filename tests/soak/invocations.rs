//! Many invocations of a cache alone, without HTTP and on a clock of the test's own, in a process of their
//! own.

use std::io;
use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock, TestInvocation};
use lambda_cache::{Builder, Cache, Key, Memo, Mode, from_fn};
use tokio::process::Command;

use crate::growth::{Growth, frees_at_once};
use crate::variable;

const ENTRIES: usize = 10;
const MAX_AGE: Duration = Duration::from_millis(100);
const KEYS: usize = 1000;
const KEPT: usize = 100;
const LONGEST_VALUE: usize = 4000;
const SAMPLES: u64 = 100;

/// Has the process to itself.
const MARK: &str = "SOAK_OF_A_CACHE_ALONE";

#[tokio::test]
#[ignore = "takes its time; .ci/run runs it"]
async fn a_cache_alone_does_not_grow_with_its_invocations() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "invocations::the_cache_that_is_alone";
    command.args(["--ignored", "--exact", test, "--nocapture"]).env(MARK, "1");
    let status = frees_at_once(&mut command).status().await.unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test(start_paused = true)]
#[ignore = "not a test by itself: the one above runs it"]
async fn the_cache_that_is_alone() {
    if std::env::var_os(MARK).is_some() {
        serve().await;
    }
}

async fn serve() {
    let total = variable("SOAK_INVOCATIONS", 50_000);
    let clock = TestClock::new();
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand);
    let entry = |number| {
        // Init waits for none, since one may fail.
        let entry = from_fn(format!("entry {number}"), changing).max_age(MAX_AGE).in_background();
        entry.derive(async |text: String| io::Result::Ok(text + "."))
    };
    let keys: Vec<Key<String>> = (0..ENTRIES).map(|number| builder.add(entry(number))).collect();
    let memo =
        builder.memo("memo", |_: usize| changing()).max_age(MAX_AGE).max_entries(KEPT).build();
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    let mut growth = Growth::of(std::process::id());
    for number in 0..total {
        clock.advance(Duration::from_millis(fastrand::u64(0..20)));
        if fastrand::u8(0..100) == 0 {
            clock.freeze(Duration::from_secs(fastrand::u64(0..5)));
        }
        let invocation = invocations.next();
        let (of_extension, ()) =
            tokio::join!(invocation.invoke(), handle(&invocation, &cache, &keys, &memo));
        of_extension.unwrap();
        if number % total.div_ceil(SAMPLES) == 0 {
            growth.sample();
        }
    }
    let calls = cache.status().api_calls() + memo.stats().api_calls;
    println!("{total} invocations, {calls} fetches");
    growth.is_none("the cache alone");
}

/// A value of some length, or now and then an error.
async fn changing() -> io::Result<String> {
    match fastrand::u8(0..100) {
        0 => Err(io::Error::other("as the test wants it")),
        1 => {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..500))).await;
            Ok(String::new())
        }
        _ => Ok("x".repeat(fastrand::usize(0..LONGEST_VALUE))),
    }
}

/// Reads in every way.
async fn handle(
    invocation: &TestInvocation,
    cache: &Cache,
    keys: &[Key<String>],
    memo: &Memo<usize, String>,
) {
    invocation.handler_begins().await.unwrap();
    let key = keys[fastrand::usize(..ENTRIES)];
    // Some of them are errors.
    drop(cache.snapshot().await);
    drop(cache.get(key).await);
    drop(memo.get(fastrand::usize(..KEYS)).await);
    match fastrand::u8(0..50) {
        0 => drop(cache.refresh(key).await),
        1 => drop(cache.invalidate(key).await),
        2 => drop(cache.get_within(key, Duration::ZERO).await),
        // Readers that leave, and a watch that nobody waits for.
        3 => drop(tokio::time::timeout(Duration::ZERO, cache.refresh(key)).await),
        4 => drop(tokio::time::timeout(Duration::ZERO, memo.get(KEYS)).await),
        5 => drop(cache.changed(key)),
        _ => {}
    }
    invocation.handler_ends().await.unwrap();
}
