//! SnapStart, through lambda_runtime's own hooks.

use lambda_cache::{Mode, Snapshot};
use lambda_runtime::LambdaEvent;

use crate::fixture::{MINUTE, in_lambda};

#[test]
fn the_snapshot_holds_nothing_and_the_restored_environment_serves_nothing_from_before_it() {
    in_lambda(
        |lambda| lambda.snap_start(),
        |it| async move {
            let (cache, x) = it.cache().await;
            assert_eq!(cache.mode(), Mode::SnapStart);
            let held = std::sync::Arc::downgrade(&cache.get(x).await.unwrap().into_inner());
            let main = tokio::spawn(cache.clone().run(
                move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
                    snapshot.get(x).cloned()
                },
            ));
            it.lambda.snapshot_ready().await.unwrap();
            assert!(held.upgrade().is_none(), "the value is in the snapshot");
            assert!(cache.peek(x).is_err());
            assert_eq!(it.source.in_flight(), 0);

            it.source.set("x", "2");
            // Days later, on clocks that stood still.
            it.clock.freeze(5000 * MINUTE);
            it.clock.step_back(5000 * MINUTE);
            it.lambda.restore().unwrap();
            it.lambda.ready().await.unwrap();
            assert_eq!(it.source.resets(), 1);
            assert_eq!(it.invoke().await, "2");
            it.source.set("x", "3");
            it.freeze(10 * MINUTE).await;
            assert_eq!(it.invoke().await, "3");
            assert!(!main.is_finished());
        },
    );
}
