//! What the service refuses for one item of a call is that item's failure alone.

use std::time::Duration;

use lambda_cache::sources::dynamodb::{self, Item};
use lambda_cache::{Builder, Clock, ErrorKind, Key};
use serde_json::Value as Json;

use super::store::operations;
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

/// As the service does, if any key of a call is not of the table's schema.
fn refuse_foreign_keys(call: &Call) -> Option<Answer> {
    let foreign = |(_, key): &(String, Json)| !key["id"].is_object();
    call.keys().iter().any(foreign).then(|| Answer::error(400, "ValidationException"))
}

fn add(builder: &mut Builder, count: usize) -> Vec<Key<Item>> {
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string());
    (0..count).map(|id| builder.add(entry(id))).collect()
}

async fn world(count: usize) -> World {
    let world = World::with_accounts(&[]).await;
    for id in 0..count {
        world.aws.put_account(&id.to_string(), "v").await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_the_tables_fails_alone() {
    let world = world(30).await;
    world.aws.script(refuse_foreign_keys);
    let mut builder = world.builder();
    let good = add(&mut builder, 30);
    let foreign = builder.add(dynamodb::item("accounts").key("name", "x").name("foreign").lazy());
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    world.clock.advance(MINUTE);
    let (snapshot, error) = tokio::join!(cache.snapshot(), cache.get(foreign));
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Source, Some("foreign")));
    assert!(error.to_string().contains("ValidationException"), "{error}");
    assert!(error.to_string().contains("accounts by name"), "{error}");
    assert!(good.iter().all(|&key| snapshot.get(key).is_ok()));
}

/// The same names, so that they are in one call, and a key that only the service can tell is wrong.
#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_in_one_call_with_others_fails_alone() {
    let world = world(30).await;
    world.aws.script(|call| {
        let foreign = call.keys().iter().any(|(_, key)| key["id"]["N"].is_string());
        foreign.then(|| Answer::error(400, "ValidationException"))
    });
    let mut builder = world.builder();
    add(&mut builder, 30);
    builder.add(dynamodb::item("accounts").key("id", 7).name("number"));
    let error = builder.spawn().await.unwrap_err();
    let failed: Vec<_> = error.others().iter().map(|it| it.entry().unwrap()).collect();
    assert_eq!(failed, ["number"], "{error}");
    let calls = world.aws.calls();
    let batches = calls.iter().filter(|call| call.operation() == "BatchGetItem");
    let batches: Vec<_> = batches.map(|call| call.keys().len()).collect();
    assert_eq!((batches, calls.len()), (vec![31], 32), "one call, and one for each item");
}

#[tokio::test(start_paused = true)]
async fn single_calls_after_a_refusal_are_made_at_once() {
    let world = world(10).await;
    let latency = Duration::from_millis(50);
    world.aws.script(move |call| match call.operation() {
        "BatchGetItem" => Some(Answer::error(400, "ValidationException")),
        _ => Some(Answer::Late(latency)),
    });
    let mut builder = world.builder();
    add(&mut builder, 10);
    let before = world.clock.now().monotonic();
    builder.spawn().await.unwrap();
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * latency, "{took:?}");
    assert_eq!(operations(&world.aws.calls())[1..], ["GetItem"; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_exist_or_is_closed_takes_no_other_down() {
    for (code, kind) in [
        ("ResourceNotFoundException", ErrorKind::NotFound),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let world = world(3).await;
        world.aws.script(move |call| {
            let closed = call.keys().iter().any(|(table, _)| table == "closed");
            closed.then(|| Answer::error(400, code))
        });
        let mut builder = world.builder();
        add(&mut builder, 3);
        builder.add(dynamodb::item("closed").key("id", "1").optional());
        let error = builder.spawn().await.unwrap_err();
        let failed: Vec<_> =
            error.others().iter().map(|it| (it.entry().unwrap(), it.kind())).collect();
        assert_eq!(failed, [("closed-1", kind)], "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_batch_operation_reads_items_one_by_one() {
    let world = world(3).await;
    world.aws.script(|call| {
        let batch = call.operation() == "BatchGetItem";
        batch.then(|| Answer::error(400, "AccessDeniedException"))
    });
    let mut builder = world.builder();
    add(&mut builder, 3);
    builder.spawn().await.unwrap();
    assert_eq!(operations(&world.aws.calls()), ["BatchGetItem", "GetItem", "GetItem", "GetItem"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_in_trouble_is_not_asked_for_each_item() {
    for (status, code, kind) in [
        (400, "ProvisionedThroughputExceededException", ErrorKind::Throttled),
        (500, "InternalServerError", ErrorKind::Source),
        (400, "UnrecognizedClientException", ErrorKind::Denied),
    ] {
        let world = world(3).await;
        world.aws.fail(status, code);
        let mut builder = world.builder();
        add(&mut builder, 3);
        let error = builder.spawn().await.unwrap_err();
        assert!(error.others().iter().all(|it| it.kind() == kind), "{error}");
        let calls = world.aws.calls();
        assert!(calls.iter().all(|call| call.operation() == "BatchGetItem"), "{code}");
        assert!(calls.len() <= 3, "{code}: {} attempts", calls.len());
    }
}
