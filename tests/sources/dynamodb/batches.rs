//! Items that are due together share BatchGetItem calls.

use std::collections::BTreeSet;
use std::time::Duration;

use lambda_cache::sources::dynamodb::{self, Item};
use lambda_cache::{Builder, Clock, ErrorKind, Key, Snapshot};
use serde_json::{Value as Json, json};

use super::store::{Account, account, operations};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

const LATENCY: Duration = Duration::from_millis(50);

/// A world in which the value of each account is its id.
async fn world(count: usize) -> World {
    let world = World::with_accounts(&[]).await;
    for id in 0..count {
        world.aws.put_account(&id.to_string(), &id.to_string()).await;
    }
    world
}

fn add(builder: &mut Builder, count: usize) -> Vec<Key<Account>> {
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string()).deserialize();
    (0..count).map(|id| builder.add(entry(id))).collect()
}

fn expect_all(snapshot: &Snapshot, keys: &[Key<Account>]) {
    for (id, &key) in keys.iter().enumerate() {
        assert_eq!(*snapshot.get(key).unwrap(), account(&id.to_string(), &id.to_string()));
    }
}

/// How many keys all calls ask for, none of them twice.
fn asked(calls: &[Call]) -> usize {
    let keys: Vec<String> =
        calls.iter().flat_map(Call::keys).map(|(table, key)| format!("{table} {key}")).collect();
    let set: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), set.len(), "a key was asked for twice");
    keys.len()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_and_fifty_items_start_with_exactly_three_calls_made_at_once() {
    let world = world(250).await;
    world.aws.script(|_| Some(Answer::Late(LATENCY)));
    let mut builder = world.builder();
    let keys = add(&mut builder, 250);
    let before = world.clock.now().monotonic();
    let cache = builder.spawn().await.unwrap();
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * LATENCY, "it took {took:?}: calls were made one after another");
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), ["BatchGetItem"; 3]);
    assert_eq!(asked(&calls), 250);
    expect_all(&cache.snapshot().await, &keys);

    world.clock.freeze(MINUTE);
    expect_all(&cache.snapshot().await, &keys);
    let calls = world.aws.calls();
    assert_eq!((operations(&calls), asked(&calls)), (vec!["BatchGetItem"; 3], 250));
}

#[tokio::test(start_paused = true)]
async fn two_tables_share_a_call() {
    let world = World::with_accounts(&[("42", "account")]).await;
    world.aws.create_table("orders", "customer", Some("date")).await;
    let order = json!({ "customer": "42", "date": "2026-01", "total": 7 });
    world.aws.put_item("orders", order).await;
    let mut builder = world.builder();
    let account = dynamodb::item("accounts").key("id", "42").deserialize::<Account>();
    let account = builder.add(account);
    let order = dynamodb::item("orders").key("customer", "42").sort_key("date", "2026-01");
    let order = builder.add(order.deserialize::<Json>());
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(account).unwrap().value, "account");
    assert_eq!(snapshot.get(order).unwrap()["total"], 7);
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), ["BatchGetItem"]);
    assert_eq!(calls[0].asks("accounts")["Keys"], json!([{ "id": { "S": "42" } }]));
    let key = json!([{ "customer": { "S": "42" }, "date": { "S": "2026-01" } }]);
    assert_eq!(calls[0].asks("orders")["Keys"], key);
}

#[tokio::test(start_paused = true)]
async fn a_table_read_in_two_ways_is_two_calls_which_other_tables_share() {
    let world = world(3).await;
    world.aws.create_table("others", "id", None).await;
    world.aws.put_item("others", json!({ "id": "0" })).await;
    let mut builder = world.builder();
    let item = |id: usize| dynamodb::item("accounts").key("id", id.to_string());
    builder.add(item(0));
    builder.add(item(1));
    builder.add(item(2).consistent());
    builder.add(item(0).consistent().name("0, consistently"));
    builder.add(dynamodb::item("others").key("id", "0").consistent());
    builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), ["BatchGetItem"; 2]);
    for call in &calls {
        let asked = call.asks("accounts");
        let consistent = asked["ConsistentRead"].as_bool().unwrap();
        assert_eq!(call.wants("2"), consistent);
        assert_eq!(call.wants("1"), !consistent);
        assert_eq!(asked["Keys"].as_array().unwrap().len(), 2);
    }
    let others = calls.iter().filter(|call| call.asks("others").is_object());
    let others: Vec<_> = others.map(|call| &call.asks("others")["ConsistentRead"]).collect();
    assert_eq!(others, [true]);
}

/// By its key alone an item of an answer is told from another.
#[tokio::test(start_paused = true)]
async fn a_projection_asks_for_the_key_too_and_does_not_show_it() {
    let world = world(2).await;
    world.aws.script(|call| {
        let items = call.asks("accounts")["Keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| json!({ "id": key["id"], "value": key["id"] }));
        let items: Vec<Json> = items.collect();
        Some(Answer::json(&json!({ "Responses": { "accounts": items } })))
    });
    let mut builder = world.builder();
    let item = |id| dynamodb::item("accounts").key("id", id).projection(["value"]);
    let keys = [builder.add(item("0")), builder.add(item("1"))];
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    for (id, key) in keys.into_iter().enumerate() {
        let item = snapshot.get(key).unwrap();
        assert_eq!(item.get("value").unwrap().as_s().unwrap(), &id.to_string());
        assert_eq!(item.get("id"), None, "it is no part of the projection");
    }
    let calls = world.aws.calls();
    let asked = calls[0].asks("accounts");
    let names = asked["ExpressionAttributeNames"].as_object().unwrap();
    let names: BTreeSet<&str> = names.values().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["id", "value"]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_order_is_told_apart_by_key() {
    let world = world(23).await;
    world.aws.script(|call| {
        let keys = call.asks("accounts")["Keys"].as_array().unwrap().iter().rev();
        let items = keys.map(|key| json!({ "id": key["id"], "value": key["id"] }));
        let items: Vec<Json> = items.collect();
        Some(Answer::json(&json!({ "Responses": { "accounts": items }, "UnprocessedKeys": {} })))
    });
    let mut builder = world.builder();
    let keys = add(&mut builder, 23);
    expect_all(&builder.spawn().await.unwrap().snapshot().await, &keys);
}

#[tokio::test(start_paused = true)]
async fn numbers_in_keys_are_told_apart_by_value_however_the_service_writes_them() {
    let world = World::new();
    world.aws.script(|_| {
        let items = json!([{ "id": { "N": "1E+2" } }, { "id": { "N": "0.50" } }]);
        Some(Answer::json(&json!({ "Responses": { "accounts": items } })))
    });
    let mut builder = world.builder();
    let item = |id: &str| {
        let id = dynamodb::KeyValue::number(id);
        dynamodb::item("accounts").key("id", id).deserialize::<Json>()
    };
    let keys = [builder.add(item("100")), builder.add(item(".5"))];
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(keys[0]).unwrap()["id"], 100.0);
    assert_eq!(snapshot.get(keys[1]).unwrap()["id"], 0.5);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_many_that_does_not_exist_fails_alone() {
    let world = world(120).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, 120);
    let cache = builder.spawn().await.unwrap();
    for gone in ["0", "99", "119"] {
        world.aws.delete_account(gone).await;
    }
    world.aws.calls();
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(operations(&world.aws.calls()), ["BatchGetItem"; 2]);
    for (id, &key) in keys.iter().enumerate() {
        match id {
            0 | 99 | 119 => {
                let error = snapshot.get(key).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!(error.entry().unwrap(), format!("accounts-{id}"));
            }
            _ => assert_eq!(snapshot.get(key).unwrap().value, id.to_string()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn entries_for_one_item_share_its_fetch_whatever_they_hold() {
    let world = world(2).await;
    let mut builder = world.builder();
    let item = |id| dynamodb::item("accounts").key("id", id);
    let plain: Key<Item> = builder.add(item("0").name("plain"));
    let decoded = builder.add(item("0").deserialize::<Account>().name("decoded"));
    let optional = builder.add(item("0").optional().name("optional"));
    let other = builder.add(item("1").deserialize::<Account>());
    let cache = builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    assert_eq!((operations(&calls), asked(&calls)), (vec!["BatchGetItem"], 2));
    world.aws.delete_account("0").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(plain).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(snapshot.get(decoded).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(snapshot.get(optional).unwrap(), &None);
    assert_eq!(snapshot.get(other).unwrap().value, "1");
}
