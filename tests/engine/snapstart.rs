//! SnapStart: a snapshot holds no value, and nothing from before it is served after the restore.

use std::sync::{Arc, Weak};

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestSource};
use lambda_cache::{Builder, Mode};

use crate::fixture::{HOUR, MINUTE, SECOND, settle};

#[tokio::test(start_paused = true)]
async fn no_value_is_in_memory_and_nothing_in_flight_when_the_snapshot_is_taken() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("password", "hunter2");
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::SnapStart);
    let key = builder.add(source.decoded("password", |text| Ok(text.to_owned())));
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    let weak: Weak<String> = Arc::downgrade(&cache.get(key).await.unwrap().into_inner());
    assert!(weak.upgrade().is_some());
    source.behave(Behaviour::Hang);
    assert!(tokio::time::timeout(SECOND, cache.refresh(key)).await.is_err());
    assert_eq!(source.in_flight(), 1);

    invocations.before_snapshot().await.unwrap();
    assert!(weak.upgrade().is_none(), "the value is gone");
    assert!(cache.peek(key).is_err());
    assert_eq!(source.in_flight(), 0);

    // Between snapshot and restore not even an insistent reader makes a request.
    source.behave(Behaviour::Answer);
    let calls = source.calls().len();
    assert!(tokio::time::timeout(SECOND, cache.snapshot()).await.is_err());
    assert_eq!(source.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn after_the_restore_clients_are_made_anew_and_everything_is_fetched_again() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("x", "1");
    source.set("lazy", "1");
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::SnapStart);
    let x = builder.add(source.entry("x").never_expires());
    builder.add(source.entry("lazy").lazy());
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &clock);
    invocations.before_snapshot().await.unwrap();
    // The snapshot is kept for days; both clocks go on from where they stood.
    source.set("x", "2");
    clock.freeze(72 * HOUR);
    clock.step_back(72 * HOUR);
    invocations.after_restore().await.unwrap();
    settle().await;
    assert_eq!(source.resets(), 1);
    assert_eq!(source.calls(), [["x"], ["x"]]);
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "2");
    clock.advance(MINUTE);
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "2");
}
