//! Keys in use are refreshed ahead of need as entries are.

use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Ahead, Builder, Mode};

const SECOND: Duration = Duration::from_secs(1);

/// How many of 200 invocations, so long apart, waited for the key that each reads, and how many calls
/// there were.
async fn waits(period: Duration, ahead: Ahead) -> (u64, u64) {
    let clock = TestClock::new();
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
    let fetch = |key: u8| async move { Ok::<_, std::io::Error>(key) };
    let memo = builder.memo("memo", fetch).ahead(ahead).build();
    let cache = builder.spawn().await.expect("the source answers");
    let invocations = Invocations::new(&cache, &clock);
    for _ in 0..200 {
        clock.freeze(period);
        let invocation = invocations.next();
        invocation.handler_begins().await.expect("a refresher");
        memo.get(1).await.expect("a refresher");
        let (told, ended) = tokio::join!(invocation.invoke(), invocation.handler_ends());
        told.and(ended).expect("a refresher");
    }
    let stats = memo.stats();
    (stats.misses - 1, stats.api_calls)
}

#[tokio::test(start_paused = true)]
async fn a_key_that_each_invocation_reads_is_waited_for_by_none_whatever_the_period() {
    for period in 1..60 {
        let (waits, calls) = waits(period * SECOND, Ahead::Expected).await;
        assert_eq!(waits, 0, "every {period} s");
        assert!(calls <= 200, "every {period} s: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_rather_wait_than_call_waits_for_each_value_of_a_key() {
    let (waits, calls) = waits(20 * SECOND, Ahead::Never).await;
    assert_eq!((waits, calls), (66, 67));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_freezes_a_key_that_is_read_is_due_at_three_quarters_of_its_max_age() {
    let clock = TestClock::new();
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::Elsewhere).seed(1);
    let fetch = |key: u8| async move { Ok::<_, std::io::Error>(key) };
    let memo = builder.memo("memo", fetch).build();
    let _cache = builder.spawn().await.expect("the source answers");
    memo.get(1).await.expect("a refresher");
    for (passes, calls) in [(38, 1), (8, 2)] {
        clock.advance(passes * SECOND);
        memo.get(1).await.expect("a refresher");
        // Enough for what the read has found to be due.
        tokio::time::sleep(SECOND).await;
        assert_eq!(memo.stats().api_calls, calls, "after {passes} s more");
    }
}
