//! Whichever side of an invocation hears of it first.

use lambda_cache::testing::{Behaviour, Gap, Order, Outcome};
use lambda_cache::{Cache, Snapshot};
use lambda_runtime::{LambdaEvent, service_fn};

use crate::fixture::{MINUTE, SECOND, in_lambda};

const ORDERS: [Order; 6] = [
    Order::Together,
    Order::ExtensionFirst(Gap::AtOnce),
    Order::ExtensionFirst(Gap::After(std::time::Duration::from_millis(5))),
    Order::HandlerFirst(Gap::AtOnce),
    Order::HandlerFirst(Gap::After(std::time::Duration::from_millis(5))),
    Order::HandlerFirst(Gap::UntilDone),
];

#[test]
fn after_a_freeze_of_ten_minutes_the_first_answer_is_fresh_in_every_order() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, _main) = it.start().await;
            for (n, order) in ORDERS.into_iter().cycle().take(30).enumerate() {
                it.source.set("x", n.to_string());
                it.freeze(10 * MINUTE).await;
                let invocation = it.lambda.invocation(()).order(order).start().unwrap();
                let invocation = invocation.over().await.unwrap();
                assert_eq!(invocation.json::<String>().unwrap(), n.to_string(), "{order:?}");
                assert_eq!(it.source.in_flight(), 0, "{order:?}");
            }
            assert_eq!(it.lambda.extensions()[0].events, ["INVOKE"]);
        },
    );
}

#[test]
fn a_soft_bound_that_has_passed_costs_no_response_any_time_in_any_order() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, _main) = it.start().await;
            it.source.behave(Behaviour::Late(SECOND / 10));
            for order in ORDERS {
                it.freeze(50 * SECOND).await;
                let calls = it.source.calls().len();
                let invocation = it.lambda.invocation(()).order(order).start().unwrap();
                let invocation = invocation.over().await.unwrap();
                let timings = invocation.timings;
                let took = timings.responded.unwrap() - timings.handed_over.unwrap();
                assert!(took < SECOND / 10, "{order:?}: {took:?}");
                assert_eq!(it.source.calls().len(), calls + 1, "{order:?}");
                assert_eq!(it.source.in_flight(), 0, "{order:?}");
            }
        },
    );
}

#[test]
fn a_handler_that_panics_fails_its_invocation_and_the_next_one_works() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (cache, x) = it.cache().await;
            let _main = tokio::spawn(cache.run(
                move |event: LambdaEvent<bool>, snapshot: Snapshot| async move {
                    assert!(!event.payload, "as the event said");
                    snapshot.get(x).cloned()
                },
            ));
            for panics in [true, false, true, true, false] {
                let invocation = it.lambda.invoke(panics).await.unwrap();
                assert_eq!(matches!(invocation.outcome, Outcome::Error { .. }), panics);
                it.freeze(MINUTE).await;
            }
        },
    );
}

#[test]
fn an_event_that_the_runtime_cannot_parse_is_answered_and_over_long_before_the_timeout() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (cache, x) = it.cache().await;
            let _main =
                tokio::spawn(cache.run(move |_: LambdaEvent<u8>, snapshot: Snapshot| async move {
                    snapshot.get(x).cloned()
                }));
            it.lambda.invoke(1).await.unwrap();
            for _ in 0..3 {
                it.freeze(50 * SECOND).await;
                let invocation = it.lambda.invoke("no number").await.unwrap();
                assert!(matches!(invocation.outcome, Outcome::Error { .. }));
                assert!(invocation.timings.over < SECOND, "{:?}", invocation.timings);
            }
        },
    );
}

#[test]
fn a_cache_beside_another_runtime_is_driven_by_its_extension() {
    in_lambda(
        // The extension is done before the handler hears of the invocation, so each fetch is INVOKE's.
        |lambda| lambda.order(Order::ExtensionFirst(Gap::UntilDone)),
        |it| async move {
            let (cache, x) = it.cache().await;
            let _main = tokio::spawn(own_main(cache.clone(), x));
            for n in 0..10 {
                it.source.set("x", n.to_string());
                it.freeze(if n % 2 == 0 { 10 * MINUTE } else { 50 * SECOND }).await;
                assert_eq!(it.invoke().await, n.to_string());
            }
            assert_eq!(it.source.calls().len(), 11, "refreshed in every invocation");
        },
    );
}

#[test]
fn a_cache_beside_another_runtime_answers_fresh_in_every_order() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (cache, x) = it.cache().await;
            let _main = tokio::spawn(own_main(cache.clone(), x));
            for (n, order) in ORDERS.into_iter().cycle().take(18).enumerate() {
                it.source.set("x", n.to_string());
                it.freeze(10 * MINUTE).await;
                let invocation = it.lambda.invocation(()).order(order).start().unwrap();
                let invocation = invocation.over().await.unwrap();
                assert_eq!(invocation.json::<String>().unwrap(), n.to_string(), "{order:?}");
            }
        },
    );
}

async fn own_main(cache: Cache, x: lambda_cache::Key<String>) -> Result<(), lambda_runtime::Error> {
    let extension = cache.register().await?;
    let app = service_fn(move |_: LambdaEvent<serde_json::Value>| {
        let cache = cache.clone();
        async move { cache.snapshot().await.get(x).cloned() }
    });
    tokio::try_join!(lambda_runtime::run(app), extension.run())?;
    Ok(())
}

#[test]
fn without_an_extension_the_handler_alone_keeps_the_promise() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (cache, x) = it.cache().await;
            let handler = cache.handler(
                move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
                    snapshot.get(x).cloned()
                },
            );
            let _main = tokio::spawn(lambda_runtime::run(handler));
            for n in 0..10 {
                it.source.set("x", n.to_string());
                it.freeze(10 * MINUTE).await;
                assert_eq!(it.invoke().await, n.to_string());
            }
            assert!(it.lambda.extensions().is_empty());
        },
    );
}
