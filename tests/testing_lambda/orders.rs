use std::time::Duration;

use lambda_cache::testing::{Gap, InvocationHandle, Lambda, Order, Outcome};

use crate::client::{Client, Question, in_no_time, start, waits};

/// A function that waits for its first invocation.
struct Fixture {
    lambda: Lambda,
    runtime: Client,
    extension: Client,
    next: Question,
    invoke: Question,
}

impl Fixture {
    async fn new() -> Self {
        let lambda = start(Lambda::builder());
        let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
        let runtime = Client::runtime(&lambda);
        let (invoke, next) = (extension.asks().await, runtime.asks().await);
        Self { lambda, runtime, extension, next, invoke }
    }

    fn invocation(&self, order: Order) -> InvocationHandle {
        self.lambda.invocation("ping").order(order).start().unwrap()
    }
}

#[tokio::test]
async fn at_once_the_second_follows_the_first() {
    // Who comes first has hung up, and asks again when the other has been seen to wait.
    let mut it = Fixture::new().await;
    let _invocation = it.invocation(Order::ExtensionFirst(Gap::AtOnce));
    drop(it.invoke);
    assert!(waits(&it.lambda, it.next.is_answered()).await);
    it.extension.next().await;
    it.next.answered().await;

    let mut it = Fixture::new().await;
    let _invocation = it.invocation(Order::HandlerFirst(Gap::AtOnce));
    drop(it.next);
    assert!(waits(&it.lambda, it.invoke.is_answered()).await);
    it.runtime.next().await;
    it.invoke.answered().await;
}

#[tokio::test]
async fn a_held_handler_begins_when_it_is_released() {
    let mut it = Fixture::new().await;
    let invocation = it.invocation(Order::ExtensionFirst(Gap::Held));
    it.invoke.answered().await;
    let _invoke = it.extension.asks().await;
    assert!(invocation.extensions_done().await.unwrap());
    assert!(waits(&it.lambda, invocation.handed_over()).await);
    assert!(waits(&it.lambda, it.next.is_answered()).await);

    invocation.release();
    assert!(invocation.handed_over().await.unwrap());
    it.runtime.responds(&it.next.answered().await, "0").await;
}

#[tokio::test]
async fn a_held_extension_hears_of_it_when_it_is_released_even_after_the_response() {
    let mut it = Fixture::new().await;
    let invocation = it.invocation(Order::HandlerFirst(Gap::Held));
    it.runtime.responds(&it.next.answered().await, "0").await;
    let _next = it.runtime.asks().await;
    invocation.responded().await.unwrap();
    assert!(waits(&it.lambda, it.invoke.is_answered()).await);
    assert!(waits(&it.lambda, invocation.over()).await);

    invocation.release();
    it.invoke.answered().await;
    let _invoke = it.extension.asks().await;
    let over = invocation.over().await.unwrap();
    assert!(over.timings.invoke_taken.unwrap() >= over.timings.responded.unwrap());
}

#[tokio::test]
async fn until_done_the_extension_hears_of_it_after_the_response() {
    let mut it = Fixture::new().await;
    let invocation = it.invocation(Order::HandlerFirst(Gap::UntilDone));
    let next = it.next.answered().await;
    assert!(waits(&it.lambda, it.invoke.is_answered()).await);
    assert!(waits(&it.lambda, invocation.invoke_taken()).await);
    it.runtime.responds(&next, "0").await;
    it.invoke.answered().await;
    assert!(invocation.invoke_taken().await.unwrap());
}

#[tokio::test]
async fn until_done_the_handler_begins_after_the_extension_has_asked_again() {
    let mut it = Fixture::new().await;
    it.invocation(Order::ExtensionFirst(Gap::UntilDone));
    it.invoke.answered().await;
    assert!(waits(&it.lambda, it.next.is_answered()).await);
    let _invoke = it.extension.asks().await;
    it.next.answered().await;
}

#[tokio::test]
async fn a_gap_lasts_as_long_as_it_should() {
    let gap = Duration::from_millis(2_900);

    let mut it = Fixture::new().await;
    let invocation = it.invocation(Order::HandlerFirst(Gap::After(gap)));
    let next = it.next.answered().await;
    assert!(waits(&it.lambda, it.invoke.is_answered()).await);
    in_no_time(invocation.invoke_taken()).await.unwrap();
    it.invoke.answered().await;
    let _invoke = it.extension.asks().await;
    it.runtime.responds(&next, "0").await;
    let _next = it.runtime.asks().await;
    let timings = invocation.over().await.unwrap().timings;
    assert!(timings.invoke_taken.unwrap() - timings.handed_over.unwrap() >= gap);

    let mut it = Fixture::new().await;
    let invocation = it.invocation(Order::ExtensionFirst(Gap::After(gap)));
    it.invoke.answered().await;
    let _invoke = it.extension.asks().await;
    assert!(waits(&it.lambda, it.next.is_answered()).await);
    in_no_time(invocation.handed_over()).await.unwrap();
    it.runtime.responds(&it.next.answered().await, "0").await;
    let _next = it.runtime.asks().await;
    let timings = invocation.over().await.unwrap().timings;
    assert!(timings.handed_over.unwrap() - timings.invoke_taken.unwrap() >= gap);
}

#[tokio::test]
async fn without_extensions_the_handler_waits_for_a_release_only() {
    for (gap, is_held) in [
        (Gap::AtOnce, false),
        (Gap::UntilDone, false),
        (Gap::After(Duration::ZERO), false),
        (Gap::Held, true),
    ] {
        let lambda = start(Lambda::builder().order(Order::ExtensionFirst(gap)));
        let next = Client::runtime(&lambda).asks().await;
        let invocation = lambda.invocation("ping").start().unwrap();
        if is_held {
            assert!(waits(&lambda, invocation.handed_over()).await);
            invocation.release();
        }
        next.answered().await;
    }
}

#[tokio::test]
async fn what_is_never_released_times_out() {
    let lambda = start(Lambda::builder());
    let _next = Client::runtime(&lambda).asks().await;
    let order = Order::ExtensionFirst(Gap::Held);
    let invocation = lambda.invocation("ping").order(order).start().unwrap();
    assert!(!in_no_time(invocation.handed_over()).await.unwrap());
    assert_eq!(invocation.over().await.unwrap().outcome, Outcome::TimedOut);
}
