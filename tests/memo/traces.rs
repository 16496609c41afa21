//! What a memo's fetches are to a trace.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::time::Duration;

use lambda_cache::Builder;
use lambda_cache::testing::TestClock;

use crate::log::Log;

/// The lines of fetches that have ended.
fn ended(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains("refresh{") && line.contains("close"));
    lines.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn each_fetch_is_a_span_with_its_cause_its_outcome_and_how_long_it_took() {
    let log = Log::listen();
    let cache = Builder::new().clock(TestClock::new()).spawn().await.unwrap();
    let memo = cache
        .memo("numbers", async |key: u8| {
            tokio::time::sleep(Duration::from_millis(40)).await;
            match key {
                0 => Err("none"),
                key => Ok(key),
            }
        })
        .build()
        .unwrap();
    memo.get(1).await.unwrap();
    memo.get(0).await.unwrap_err();
    let [changed, failed] = &ended(&log)[..] else { panic!("{}", log.text()) };
    for (line, outcome) in [(changed, "changed"), (failed, "failed")] {
        let outcome = format!("outcome=\"{outcome}\"");
        for part in ["memo=numbers", "cause=\"read\"", "batch=1", &outcome, "duration_ms=4"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains("key="), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ahead_of_need_and_one_that_hangs_are_told_from_others() {
    let log = Log::listen();
    let cache = Builder::new().clock(TestClock::new()).spawn().await.unwrap();
    let memo = cache.memo("numbers", |key: u8| ready(Ok::<_, Infallible>(key)));
    let memo = memo.max_age(Duration::from_secs(60)).build().unwrap();
    memo.get(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(50)).await;
    memo.get(1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hangs = cache.memo("hangs", |_: u8| pending::<Result<u8, Infallible>>()).build().unwrap();
    hangs.get(1).await.unwrap_err();
    let lines = ended(&log);
    let [_, ahead, hung] = &lines[..] else { panic!("{lines:#?}") };
    assert!(ahead.contains("cause=\"ahead\"") && ahead.contains("outcome=\"changed\""), "{ahead}");
    assert!(hung.contains("outcome=\"failed\"") && hung.contains("duration_ms=5"), "{hung}");
}

#[tokio::test(start_paused = true)]
async fn the_function_may_say_which_key_it_fetches() {
    let log = Log::listen();
    let cache = Builder::new().clock(TestClock::new()).spawn().await.unwrap();
    let memo = cache
        .memo("numbers", |key: u8| {
            tracing::Span::current().record("key", key);
            ready(Ok::<_, Infallible>(key))
        })
        .build()
        .unwrap();
    memo.get(7).await.unwrap();
    let lines = ended(&log);
    assert!(lines[0].contains("key=7"), "{lines:?}");
}
