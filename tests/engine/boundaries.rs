//! At the edges of an invocation: what is refreshed ahead, how long it is held, and that nothing is
//! in flight when the environment freezes.

use std::time::Duration;

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestInvocation, TestSource};
use lambda_cache::{Clock, ErrorKind};
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, HOUR, MINUTE, SECOND, builder, settle};

fn invoke(invocation: &TestInvocation) -> JoinHandle<()> {
    let invocation = invocation.clone();
    tokio::spawn(async move { invocation.invoke().await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn an_entry_past_its_soft_bound_is_refreshed_while_the_handler_runs_and_nobody_waits() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND / 20));
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    let before = it.clock.now().monotonic();
    assert_eq!(it.read().await.unwrap(), "1");
    assert_eq!(it.clock.now().monotonic(), before, "it did not wait");
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.clock.now().monotonic() - before, SECOND / 20, "held until the fetch had ended");
    assert_eq!(it.source.in_flight(), 0);
    it.clock.freeze(20 * SECOND);
    assert_eq!(it.read().await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn steady_traffic_over_many_expirations_never_waits_on_the_network() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND / 20));
    for n in 0..200 {
        it.source.set("x", n.to_string());
        let invocation = it.invocations.next();
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        let before = it.clock.now().monotonic();
        it.read().await.unwrap();
        assert_eq!(it.clock.now().monotonic(), before, "invocation {n} waited");
        tokio::time::sleep(SECOND / 10).await;
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        it.clock.freeze(5 * SECOND);
    }
    let minutes = 200.0 * 5.1 / 60.0;
    assert!((it.calls() as f64) < 1.0 + minutes * 60.0 / 40.0 + 1.0, "{} calls", it.calls());
}

#[tokio::test(start_paused = true)]
async fn with_nothing_due_before_the_deadline_the_extension_asks_for_its_next_event_at_once() {
    let it = Fixture::new().await;
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    tokio::time::timeout(SECOND / 1000, invocation.invoke()).await.unwrap().unwrap();
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_within_a_long_invocation_is_refreshed_by_a_timer() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    let invocation = it.invocations.next().deadline(it.clock.now().wall() + 15 * MINUTE);
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    tokio::time::sleep(59 * SECOND).await;
    assert_eq!(it.calls(), 2);
    let before = it.clock.now().monotonic();
    assert_eq!(*it.cache.get(it.x).await.unwrap(), "2");
    assert_eq!(it.clock.now().monotonic(), before);
    assert!(!invoked.is_finished(), "the extension holds the environment while the handler runs");
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_is_cancelled_at_the_hold_limit_and_the_hard_bound_holds() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    it.read().await.unwrap();
    let ended = it.clock.now().monotonic();
    invocation.handler_ends().await.unwrap();
    assert_eq!(it.clock.now().monotonic(), ended, "the response is not delayed");
    assert_eq!(it.source.in_flight(), 1);
    invoked.await.unwrap();
    let held = it.clock.now().monotonic() - ended;
    assert!(held >= SECOND / 4 && held < SECOND / 4 + SECOND / 100, "held for {held:?}");
    assert_eq!(it.source.in_flight(), 0);
    it.source.behave(Behaviour::Answer);
    it.source.set("x", "2");
    it.clock.freeze(10 * SECOND);
    assert_eq!(it.read().await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_response_is_not_delayed_by_a_fetch_that_an_invoke_starts_after_the_handler_has_ended() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Late(SECOND / 10));
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    it.read().await.unwrap();
    let before = it.clock.now().monotonic();
    // Both messages are in the inbox when the refresher gets to look.
    let (ended, _) = tokio::join!(
        async {
            invocation.handler_ends().await.unwrap();
            it.clock.now().monotonic()
        },
        invocation.invoke()
    );
    assert_eq!(ended, before);
    assert_eq!(it.clock.now().monotonic() - before, SECOND / 10);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn once_the_handler_has_ended_no_timer_starts_anything_new() {
    let (hanging, failing, clock) = (TestSource::new(), TestSource::new(), TestClock::new());
    hanging.set("hanging", "1");
    failing.set("failing", "1");
    let mut builder = builder(&clock);
    builder.add(hanging.entry("hanging"));
    builder.add(failing.entry("failing"));
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    hanging.behave(Behaviour::Hang);
    failing.behave(Behaviour::Fail(ErrorKind::Source));
    clock.freeze(50 * SECOND);
    let invocation = invocations.next();
    let invoked = invoke(&invocation);
    invocation.handler_begins().await.unwrap();
    settle().await;
    assert_eq!((hanging.in_flight(), failing.calls().len()), (1, 2));
    invocation.handler_ends().await.unwrap();
    // The back-off of the one that failed ends while the environment is held for the other.
    invoked.await.unwrap();
    assert_eq!((hanging.in_flight(), failing.calls().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_busy_function_is_not_held_after_each_invocation_while_its_source_hangs() {
    let it = Fixture::with(|entry| entry.max_age(10 * MINUTE).refresh_after(SECOND)).await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(2 * SECOND);
    let mut held = 0;
    for _ in 0..200 {
        let before = it.clock.now().monotonic();
        let invocation = it.invocations.next();
        let invoked = invoke(&invocation);
        invocation.handler_begins().await.unwrap();
        it.read().await.unwrap();
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        held += usize::from(it.clock.now().monotonic() > before);
        it.clock.freeze(SECOND / 10);
    }
    assert!((3..=6).contains(&held), "held {held} times in 20 s");
}

#[tokio::test(start_paused = true)]
async fn a_hold_limit_of_zero_cancels_at_the_end_of_the_handler() {
    let it = Fixture::built(|builder| builder.hold_limit(Duration::ZERO), |entry| entry).await;
    // From the first invocation on it is known that the handler tells when it ends.
    let first = it.invocations.next();
    first.handler_begins().await.unwrap();
    first.invoke().await.unwrap();
    first.handler_ends().await.unwrap();
    it.source.behave(Behaviour::Late(SECOND));
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    settle().await;
    invocation.handler_begins().await.unwrap();
    assert_eq!(it.source.in_flight(), 1);
    let before = it.clock.now().monotonic();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.clock.now().monotonic(), before);
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_a_handler_gave_up_on_is_cancelled_before_its_response_goes_out() {
    // The extension has long asked for its next event, so nothing else keeps the environment up.
    let it = Fixture::new().await;
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    invocation.invoke().await.unwrap();
    it.source.behave(Behaviour::Hang);
    assert!(tokio::time::timeout(SECOND, it.cache.refresh(it.x)).await.is_err());
    assert_eq!(it.source.in_flight(), 1);
    invocation.handler_ends().await.unwrap();
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_extension_nothing_is_in_flight_when_the_handler_has_ended_either() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    for _ in 0..3 {
        it.clock.freeze(MINUTE);
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        assert!(tokio::time::timeout(SECOND / 10, it.cache.snapshot()).await.is_err());
        assert_eq!(it.source.in_flight(), 1);
        invocation.handler_ends().await.unwrap();
        assert_eq!(it.source.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_still_open_in_the_next_invocation_is_started_again_and_its_answer_discarded() {
    for handler_first in [true, false] {
        let it = Fixture::new().await;
        it.source.behave(Behaviour::Hold);
        it.clock.freeze(50 * SECOND);
        // A user's own task asks, outside any invocation, and is frozen with the fetch in flight.
        let asked = tokio::spawn({
            let (cache, x) = (it.cache.clone(), it.x);
            async move { cache.refresh(x).await.map(|value| value.to_string()) }
        });
        settle().await;
        it.clock.freeze(HOUR);
        it.source.set("x", "2");
        let invocation = it.invocations.next();
        if handler_first {
            invocation.handler_begins().await.unwrap();
        }
        let invoked = invoke(&invocation);
        settle().await;
        assert_eq!(it.calls(), 3, "init, the frozen one, and the one started again");
        assert_eq!(it.source.in_flight(), 1, "the frozen one is cancelled");
        it.source.release();
        assert_eq!(asked.await.unwrap().unwrap(), "2");
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert_eq!(it.read().await.unwrap(), "2");
        assert_eq!(it.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retried_invocation_with_the_same_request_id_is_an_invocation_of_its_own() {
    for handler_first in [true, false] {
        let it = Fixture::new().await;
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        invocation.invoke().await.unwrap();
        invocation.handler_ends().await.unwrap();
        it.source.behave(Behaviour::Hold);
        let asked = tokio::spawn({
            let (cache, x) = (it.cache.clone(), it.x);
            async move { cache.refresh(x).await.is_ok() }
        });
        settle().await;
        it.clock.freeze(SECOND);
        if handler_first {
            invocation.handler_begins().await.unwrap();
        }
        let _invoked = invoke(&invocation);
        settle().await;
        assert_eq!(it.calls(), 3, "init, the frozen one, and the one started again");
        asked.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_begins_does_not_keep_the_extension_waiting() {
    let it = Fixture::new().await;
    let first = it.invocations.next();
    first.handler_begins().await.unwrap();
    first.invoke().await.unwrap();
    first.handler_ends().await.unwrap();
    // The runtime cannot parse this one's event; something falls due before its deadline.
    let invocation = it.invocations.next().deadline(it.clock.now().wall() + HOUR);
    tokio::time::timeout(SECOND, invocation.invoke()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_begins_as_it_is_given_up_leaves_the_extension_its_answer() {
    let it = Fixture::new().await;
    let first = it.invocations.next();
    first.handler_begins().await.unwrap();
    first.invoke().await.unwrap();
    first.handler_ends().await.unwrap();
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(50 * SECOND);
    let invocation = it.invocations.next();
    let invoked = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    settle().await;
    tokio::time::sleep(SECOND / 4).await;
    invocation.handler_begins().await.unwrap();
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap().expect("the refresher lives, so the process must not end");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_tell_is_not_held_for_ever_by_timers() {
    let it = Fixture::with(|entry| entry.max_age(SECOND)).await;
    it.source.behave(Behaviour::Late(SECOND));
    it.clock.freeze(MINUTE);
    let reader = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.get(x).await.is_ok() }
    });
    settle().await;
    let invocation = it.invocations.next().deadline(it.clock.now().wall() + HOUR);
    tokio::time::timeout(10 * SECOND, invocation.invoke()).await.unwrap().unwrap();
    reader.abort();
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_cancelled_is_tried_again_by_later_snapshots() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(MINUTE);
    assert!(it.read().await.is_err());
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(SECOND);
    // Nobody is registered: the handler alone has the retry begin, and its end cancels it.
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    assert!(it.read().await.is_err());
    assert_eq!(it.source.in_flight(), 1);
    invocation.handler_ends().await.unwrap();
    assert_eq!(it.source.in_flight(), 0);
    it.source.behave(Behaviour::Answer);
    it.clock.freeze(3 * SECOND);
    assert_eq!(it.read().await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_tell_gets_the_fetch_it_waits_for_past_the_hold_limit() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND));
    it.clock.freeze(MINUTE);
    let invocation = it.invocations.next();
    let invoked = invoke(&invocation);
    assert_eq!(it.read().await.unwrap(), "2");
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_tell_and_a_refresh_that_hangs_are_held_for_the_limit_only() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(50 * SECOND);
    let before = it.clock.now().monotonic();
    it.invocations.next().invoke().await.unwrap();
    let held = it.clock.now().monotonic() - before;
    assert!(held >= SECOND / 4 && held < SECOND / 4 + SECOND / 100, "held for {held:?}");
    assert_eq!(it.source.in_flight(), 0);
}

/// An invocation of a handler that tells, so that it is known from then on that handlers do.
async fn first(it: &Fixture) {
    let first = it.invocations.next();
    first.handler_begins().await.unwrap();
    first.invoke().await.unwrap();
    first.handler_ends().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_read_before_the_handler_begins_is_fetched_past_the_hold_limit() {
    for invoke_first in [true, false] {
        let it = Fixture::new().await;
        first(&it).await;
        it.source.behave(Behaviour::Late(2 * SECOND / 5));
        it.clock.freeze(MINUTE);
        let invocation = it.invocations.next();
        let read = async { it.cache.get(it.x).await.map(|_| ()) };
        // A layer around the handler reads: it is called before the handler is.
        let (invoked, read) = match invoke_first {
            true => {
                let invoked = invoke(&invocation);
                settle().await;
                (invoked, tokio::time::timeout(SECOND, read).await)
            }
            false => {
                let (_, read) = tokio::join!(settle(), tokio::time::timeout(SECOND, read));
                (invoke(&invocation), read)
            }
        };
        read.expect("the read ends").unwrap();
        invocation.handler_begins().await.unwrap();
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert_eq!(it.source.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_first_attempt_never_reached_the_handler_gets_what_it_reads() {
    for handler_first in [true, false] {
        let it = Fixture::new().await;
        first(&it).await;
        let invocation = it.invocations.next();
        invocation.invoke().await.unwrap();
        // Lambda tries again, with the same request id.
        it.clock.freeze(MINUTE);
        it.source.behave(Behaviour::Late(2 * SECOND / 5));
        let (began, invoked) = match handler_first {
            true => (invocation.handler_begins().await, None),
            false => {
                let invoked = invoke(&invocation);
                settle().await;
                (invocation.handler_begins().await, Some(invoked))
            }
        };
        began.unwrap();
        let read = tokio::spawn({
            let (cache, x) = (it.cache.clone(), it.x);
            async move { cache.get(x).await.map(|_| ()) }
        });
        settle().await;
        let invoked = invoked.unwrap_or_else(|| invoke(&invocation));
        let read = tokio::time::timeout(SECOND, read).await.expect("the read ends");
        read.unwrap().unwrap();
        assert_eq!(it.calls(), 2, "nothing was cancelled");
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        assert_eq!(it.source.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_never_reaches_the_handler_is_not_held_while_nothing_is_in_flight() {
    for limit in [SECOND / 4, Duration::ZERO] {
        let it = Fixture::built(|builder| builder.hold_limit(limit), |entry| entry).await;
        first(&it).await;
        let memo = it.cache.memo("numbers", async |n: u8| Ok::<_, std::io::Error>(n));
        let memo = memo.build().unwrap();
        memo.get(1).await.unwrap();
        // Something falls due before the deadline, and a memo may have something to fetch.
        let invocation = it.invocations.next().deadline(it.clock.now().wall() + 15 * MINUTE);
        let before = it.clock.now().monotonic();
        invocation.invoke().await.unwrap();
        assert_eq!(it.clock.now().monotonic(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_begins_after_the_extension_has_gone_on_has_its_timers_and_its_hold() {
    let it = Fixture::new().await;
    first(&it).await;
    let invocation = it.invocations.next().deadline(it.clock.now().wall() + 15 * MINUTE);
    invocation.invoke().await.unwrap();
    invocation.handler_begins().await.unwrap();
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND / 5));
    while it.calls() == 1 {
        tokio::time::sleep(SECOND / 20).await;
    }
    assert_eq!(it.source.in_flight(), 1, "a timer has begun it");
    let before = it.clock.now().monotonic();
    invocation.handler_ends().await.unwrap();
    assert!(it.clock.now().monotonic() - before <= SECOND / 5);
    assert_eq!(it.source.in_flight(), 0);
    assert_eq!(*it.cache.peek(it.x).unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_fetch_was_cancelled_is_served_by_the_next_invocation_however_long_the_pause()
 {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(MINUTE);
    // Cancelled six times in a row, it pauses for half a minute.
    for _ in 0..6 {
        let invocation = it.invocations.next();
        invocation.handler_begins().await.unwrap();
        let invoked = invoke(&invocation);
        settle().await;
        invocation.handler_ends().await.unwrap();
        invoked.await.unwrap();
        it.clock.freeze(30 * SECOND);
    }
    let reader = tokio::spawn({
        let (cache, x) = (it.cache.clone(), it.x);
        async move { cache.get(x).await.map(|it| it.clone().into_inner()) }
    });
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    let invoked = invoke(&invocation);
    settle().await;
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert!(!reader.is_finished() && it.source.in_flight() == 0);
    it.source.behave(Behaviour::Answer);
    it.clock.freeze(SECOND / 10);
    it.invocations.next().handler_begins().await.unwrap();
    settle().await;
    assert!(reader.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_get_does_not_wait_for_the_pause_after_a_cancellation() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Source));
    it.clock.freeze(MINUTE);
    assert!(it.cache.get(it.x).await.is_err());
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(SECOND);
    let invocation = it.invocations.next();
    invocation.handler_begins().await.unwrap();
    let invoked = invoke(&invocation);
    settle().await;
    assert_eq!(it.source.in_flight(), 1);
    invocation.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0, "cancelled, so its next attempt pauses");
    it.source.behave(Behaviour::Answer);
    assert_eq!(*it.cache.get(it.x).await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_a_reader_began_in_spite_of_a_pause_is_not_held_for_when_the_reader_has_left()
{
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Hang);
    it.clock.freeze(50 * SECOND);
    let first = it.invocations.next();
    let invoked = invoke(&first);
    settle().await;
    first.handler_begins().await.unwrap();
    first.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0, "cancelled at the hold limit, so a pause begins");

    let second = it.invocations.next();
    let invoked = invoke(&second);
    second.handler_begins().await.unwrap();
    assert!(tokio::time::timeout(SECOND / 100, it.cache.refresh(it.x)).await.is_err());
    assert_eq!(it.source.in_flight(), 1);
    let before = it.clock.now().monotonic();
    second.handler_ends().await.unwrap();
    invoked.await.unwrap();
    assert_eq!(it.source.in_flight(), 0);
    assert_eq!(it.clock.now().monotonic(), before);
}

#[tokio::test(start_paused = true)]
async fn a_success_between_two_cancellations_makes_the_second_pause_as_short_as_the_first() {
    let it = Fixture::new().await;
    for _ in 0..2 {
        it.source.behave(Behaviour::Hang);
        it.clock.freeze(50 * SECOND);
        let calls = it.calls();
        it.invocations.next().invoke().await.unwrap();
        assert_eq!((it.calls(), it.source.in_flight()), (calls + 1, 0));
        it.source.behave(Behaviour::Answer);
        it.clock.freeze(3 * SECOND / 2);
        it.invocations.next().invoke().await.unwrap();
        assert_eq!(it.calls(), calls + 2);
    }
}
