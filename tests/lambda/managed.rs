//! A Managed Instance: no INVOKE events, no freezes, several invocations at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lambda_cache::{Mode, Snapshot};
use lambda_runtime::LambdaEvent;
use tokio::sync::Barrier;

use crate::fixture::{MINUTE, in_lambda};

const HANDLERS: usize = 64;

#[test]
fn sixty_four_handlers_at_once_read_fresh_values_and_no_extension_asks_for_invoke() {
    in_lambda(
        |lambda| lambda.managed(HANDLERS as u32),
        |it| async move {
            let (cache, x) = it.cache().await;
            assert_eq!(cache.mode(), Mode::ManagedInstance);
            let all = Arc::new(Barrier::new(HANDLERS));
            let seen = Arc::new(Mutex::new(BTreeSet::new()));
            let (barrier, values) = (Arc::clone(&all), Arc::clone(&seen));
            let _main = tokio::spawn(cache.run(
                move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| {
                    let (barrier, values) = (Arc::clone(&barrier), Arc::clone(&values));
                    async move {
                        // All 64 are here at once, or this never ends.
                        barrier.wait().await;
                        values.lock().unwrap().insert(snapshot.get(x)?.clone());
                        Ok::<_, lambda_cache::Error>(())
                    }
                },
            ));
            for round in 0..3 {
                it.source.set("x", format!("round {round}"));
                it.clock.advance(MINUTE);
                let calls = it.source.calls().len();
                let handles = (0..HANDLERS).map(|_| it.lambda.invocation(()).start().unwrap());
                for handle in handles.collect::<Vec<_>>() {
                    let outcome = handle.over().await.unwrap().outcome;
                    assert_eq!(outcome, lambda_cache::testing::Outcome::Response("null".into()));
                }
                let values = std::mem::take(&mut *seen.lock().unwrap());
                assert_eq!(values.into_iter().collect::<Vec<_>>(), [format!("round {round}")]);
                assert_eq!(it.source.calls().len(), calls + 1, "one fetch for all");
            }
            assert!(it.lambda.extensions().is_empty());
        },
    );
}

#[test]
fn an_extension_registered_by_hand_asks_for_nothing_either() {
    in_lambda(
        |lambda| lambda.managed(2),
        |it| async move {
            let (cache, _) = it.cache().await;
            let extension = cache.register().await.unwrap();
            assert!(it.lambda.extensions().is_empty());
            let run = tokio::time::timeout(std::time::Duration::from_millis(20), extension.run());
            assert!(run.await.is_err(), "it has nothing to do, and does not end");
        },
    );
}
