//! What the service refuses for one item of a call is that item's failure alone.

use std::time::Duration;

use lambda_cache::sources::dynamodb::{self, Item, KeyValue};
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

/// As the service does, if a key of a call is a number, which is not the type of the table's.
fn refuse_numbers(call: &Call) -> Option<Answer> {
    let is_number = |(_, key): &(String, Json)| key["id"]["N"].is_string();
    call.keys().iter().any(is_number).then(|| Answer::error(400, "ValidationException"))
}

/// How many keys each call asks for, the most first.
fn sizes(calls: &[Call]) -> Vec<usize> {
    let mut sizes: Vec<usize> = calls.iter().map(|call| call.keys().len()).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    sizes
}

/// The same names, so that they are in one call, and a key that only the service can tell is wrong.
#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_in_one_call_with_others_fails_alone() {
    let world = world(30).await;
    world.aws.script(refuse_numbers);
    let mut builder = world.builder();
    add(&mut builder, 30);
    builder.add(dynamodb::item("accounts").key("id", 7).name("number"));
    let error = builder.spawn().await.unwrap_err();
    let failed: Vec<_> = error.others().iter().map(|it| it.entry().unwrap()).collect();
    assert_eq!(failed, ["number"], "{error}");
    let calls = world.aws.calls();
    let expected = [31, 4, 4, 4, 4, 4, 4, 4, 3, 1, 1, 1];
    assert_eq!(sizes(&calls), expected, "in parts of a tenth, and one of them one by one");
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_has_a_call_of_its_own_from_then_on_and_the_others_keep_theirs() {
    let world = world(60).await;
    world.aws.script(refuse_numbers);
    let mut builder = world.builder();
    let good = add(&mut builder, 60);
    let number = dynamodb::item("accounts").key("id", 7).name("number").in_background();
    let number = builder.add(number);
    let cache = builder.spawn().await.unwrap();
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        world.aws.calls();
        let snapshot = cache.snapshot().await;
        assert_eq!(sizes(&world.aws.calls()), [60, 1]);
        assert!(good.iter().all(|&key| snapshot.get(key).is_ok()));
        assert!(snapshot.get(number).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_items_are_refused_each_is_asked_for_once_and_then_two_calls_are_made() {
    let world = world(100).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, 100);
    let cache = builder.spawn().await.unwrap();
    world.aws.fail(400, "AccessDeniedException");
    for expected in [1 + 10 + 100, 2, 2, 2] {
        world.clock.advance(MINUTE);
        world.aws.calls();
        let snapshot = cache.snapshot().await;
        assert!(keys.iter().all(|&key| snapshot.get(key).is_err()));
        assert_eq!(world.aws.calls().len(), expected);
    }
    world.aws.heal();
    for expected in [vec![99, 1], vec![100]] {
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        assert!(keys.iter().all(|&key| snapshot.get(key).is_ok()), "all are well at once");
        assert_eq!(sizes(&world.aws.calls()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_table_is_not_asked_for_item_by_item_and_the_others_keep_their_call() {
    let world = world(5).await;
    world.aws.script(|call| {
        let missing = call.keys().iter().any(|(table, _)| table == "missing");
        missing.then(|| Answer::error(400, "ResourceNotFoundException"))
    });
    let mut builder = world.builder();
    let good = add(&mut builder, 5);
    let missing = |id: usize| dynamodb::item("missing").key("id", id.to_string()).in_background();
    let missing: Vec<_> = (0..20).map(|id| builder.add(missing(id))).collect();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(sizes(&world.aws.calls()), [25, 20, 5], "the call, and one for each table");
    for _ in 0..2 {
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        assert!(good.iter().all(|&key| snapshot.get(key).is_ok()));
        for &key in &missing {
            assert_eq!(snapshot.get(key).unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert_eq!(sizes(&world.aws.calls()), [19, 5, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_entry_has_learnt_of_an_item_a_memo_knows() {
    let world = world(30).await;
    world.aws.script(refuse_numbers);
    let mut builder = world.builder();
    add(&mut builder, 3);
    builder.add(dynamodb::item("accounts").key("id", 7).in_background());
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    let accounts = dynamodb::items("accounts").key::<KeyValue>("id").optional();
    let accounts = cache.memo_from("accounts", accounts).build().unwrap();
    let numbers = (0..10).map(|id| KeyValue::from(id.to_string())).chain([KeyValue::from(7)]);
    let reads = numbers.map(|key| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.get(key).await.is_ok() })
    });
    let mut read = Vec::new();
    for value in reads.collect::<Vec<_>>() {
        read.push(value.await.unwrap());
    }
    assert_eq!(read, [vec![true; 10], vec![false]].concat());
    assert_eq!(sizes(&world.aws.calls()), [10, 1]);
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
        match kind {
            ErrorKind::Denied => assert_eq!(calls.len(), 1),
            _ => assert!(error.to_string().contains(&format!("{} attempts", calls.len()))),
        }
    }
}
