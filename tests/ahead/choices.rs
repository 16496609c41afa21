//! What a user may choose: to wait rather than call, to call rather than wait, or a fixed soft bound.

use lambda_cache::testing::{Invocations, TestClock, TestSource};
use lambda_cache::{Ahead, Builder, Cause, Clock, ErrorKind, Mode};

use crate::arrivals::Traffic;
use crate::clairvoyant::clairvoyant;
use crate::play::{FETCH, Function, MAX_AGE, play};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn all_kinds() -> impl Iterator<Item = Traffic> {
    let kinds = [
        Traffic::Every(1.0),
        Traffic::Every(20.0),
        Traffic::About(30.0),
        Traffic::Poisson(10.0),
        Traffic::Poisson(45.0),
        Traffic::Bursts(30.0),
    ];
    kinds.into_iter()
}

#[tokio::test(start_paused = true)]
async fn who_would_rather_wait_makes_no_call_that_nobody_waits_for() {
    for traffic in all_kinds() {
        let gaps = traffic.gaps(1000, 1);
        let (cost, _) = play(&gaps, |entry| entry.ahead(Ahead::Never), 1).await;
        assert_eq!(cost.calls, cost.waits, "{traffic:?}");
        let (expected, _) = play(&gaps, |entry| entry, 1).await;
        assert!(cost.calls <= expected.calls, "{traffic:?}: {cost:?}, {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_rather_call_waits_hardly_more_than_must_be() {
    for traffic in all_kinds() {
        let gaps = traffic.gaps(2000, 1);
        let (cost, begins) = play(&gaps, |entry| entry.ahead(Ahead::Always), 1).await;
        let best = clairvoyant(&begins, MAX_AGE);
        assert!(cost.waits() <= best.waits() + 1.0, "{traffic:?}: {cost:?}, {best:?}");
        assert!(cost.calls <= cost.invocations, "{traffic:?}: {cost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_soft_bound_of_the_users_is_fixed_whatever_the_traffic() {
    for period in [1_u32, 7, 20] {
        let mut function = Function::new(|entry| entry.refresh_after(40 * SECOND), 1).await;
        for _ in 0..200 {
            function.invoke(period * SECOND).await;
        }
        // Up to a tenth earlier, and with the next invocation.
        let each = 200 * u64::from(period) / function.calls() as u64;
        assert!((36..=40 + u64::from(period)).contains(&each), "{period} s: each {each} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_builders_choice_holds_for_entries_and_memos_that_make_none() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand);
    for name in ["theirs", "own"] {
        source.set(name, "1");
    }
    builder.add(source.entry("theirs"));
    builder.add(source.entry("own").ahead(Ahead::Expected));
    let fetch = |_: u8| async { Ok::<_, std::io::Error>(1) };
    let memo = builder.memo("memo", fetch).build();
    // It is said last, and counts all the same.
    let cache = builder.ahead(Ahead::Never).spawn().await.unwrap();
    let status = cache.status();
    assert_eq!(status.entry("theirs").unwrap().ahead, Ahead::Never);
    assert_eq!(status.entry("own").unwrap().ahead, Ahead::Expected);

    memo.get(1).await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    for _ in 0..4 {
        clock.freeze(14 * SECOND);
        let invocation = invocations.next();
        invocation.handler_begins().await.unwrap();
        memo.get(1).await.unwrap();
        let (told, ended) = tokio::join!(invocation.invoke(), invocation.handler_ends());
        told.and(ended).unwrap();
    }
    assert_eq!(memo.stats().api_calls, 1);
    assert_eq!(source.calls().split_off(1), [["own"]]);
}

#[tokio::test(start_paused = true)]
async fn a_soft_bound_and_a_choice_are_an_error_when_both_are_declared() {
    let source = TestSource::new();
    let mut builder = Builder::new();
    builder.add(source.entry("x").refresh_after(SECOND).ahead(Ahead::Always));
    let fetch = |_: u8| async { Ok::<_, std::io::Error>(1) };
    builder.memo("memo", fetch).refresh_after(SECOND).ahead(Ahead::Never).build();
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    let text = error.to_string();
    assert_eq!(text.matches("`refresh_after` and `ahead`").count(), 2, "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_status_says_why_a_value_was_fetched() {
    let mut function = Function::new(|entry| entry, 1).await;
    let cause = |function: &Function| function.cache.status().entry("x").unwrap().cause.unwrap();
    assert_eq!(cause(&function), Cause::Init);
    function.invoke(35 * SECOND).await;
    assert_eq!(cause(&function), Cause::Probe);
    function.invoke(35 * SECOND).await;
    assert_eq!(cause(&function), Cause::Ahead);
    function.invoke(61 * SECOND).await;
    assert!(matches!(cause(&function), Cause::Expired | Cause::Read));
    for _ in 0..60 {
        function.invoke(SECOND).await;
    }
    assert_eq!(cause(&function), Cause::Invoke);
    assert_eq!(cause(&function).to_string(), "invoke");
}

#[tokio::test(start_paused = true)]
async fn a_call_for_two_entries_is_made_for_the_one_that_is_known_to_need_it() {
    for (first, second) in [(60, 70), (70, 60)] {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
        builder.add(source.entry("x").max_age(first * SECOND));
        builder.add(source.entry("x").name("y").max_age(second * SECOND));
        let cache = builder.spawn().await.unwrap();
        let invocations = Invocations::new(&cache, &clock);
        // In the end 20 and 30 s are left. Only the former would be gone after another such gap.
        for gap in [0, 20, 20] {
            clock.freeze(gap * SECOND);
            invocations.next().invoke().await.unwrap();
        }
        assert_eq!(source.calls().len(), 2);
        assert_eq!(cache.status().entry("x").unwrap().cause, Some(Cause::Ahead));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_whose_source_has_said_that_it_will_change_before_its_max_age_is_not_refreshed_ahead()
 {
    for (lifetime, calls) in [(59, 1), (60, 2), (100, 2)] {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        source.set_valid_until(Some(clock.now().wall() + lifetime * SECOND));
        let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
        builder.add(source.entry("x"));
        let cache = builder.spawn().await.unwrap();
        clock.freeze(40 * SECOND);
        Invocations::new(&cache, &clock).next().invoke().await.unwrap();
        assert_eq!(source.calls().len(), calls, "{lifetime} s");
    }
}

#[tokio::test(start_paused = true)]
async fn two_refreshes_keep_their_distance_in_the_densest_traffic() {
    let mut function = Function::new(|entry| entry.max_age(SECOND / 10), 1).await;
    for _ in 0..1000 {
        function.invoke(SECOND / 50).await;
    }
    let calls = function.calls();
    let lasted = *function.begins.last().unwrap();
    assert!(calls as u128 <= lasted.as_millis() / FETCH.as_millis(), "{calls} in {lasted:?}");
}
