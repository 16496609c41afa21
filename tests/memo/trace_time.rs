//! A trace id that is later than the clocks say makes values older, and never more than once per max
//! age.

use lambda_cache::testing::Behaviour;
use lambda_cache::{Clock, ErrorKind};

use crate::fixture::{Fixture, MINUTE, SECOND, invoke};

#[tokio::test(start_paused = true)]
async fn a_trace_id_ahead_of_the_clocks_makes_a_value_expire_but_once_per_max_age() {
    let it = Fixture::with(|memo| memo.refresh_after(MINUTE)).await;
    it.get("x").await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..8 {
        it.clock.advance(10 * SECOND);
        let ahead = it.clock.now().wall() + 2 * MINUTE;
        let invocation = it.invocations.next().traced_at(ahead);
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        assert_eq!(it.get("x").await.unwrap(), "1");
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        calls.push(it.calls());
    }
    assert_eq!(calls[..6], [2; 6], "at 10 s, and not again for a minute");
    assert!(calls[6] == 3 && calls[7] == 3, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_trace_id_aged_is_not_served_if_its_fetch_fails() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    let ahead = it.clock.now().wall() + 2 * MINUTE;
    it.invocations.next().traced_at(ahead).handler_begins().await.unwrap();
    let error = it.memo.get("x".to_owned()).await.unwrap_err();
    assert_eq!(error.age(), Some(2 * MINUTE));
}
