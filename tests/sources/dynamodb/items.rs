//! One item: its name, its absence, what is read of it, and what counts as a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_cache::ErrorKind;
use lambda_cache::sources::dynamodb::{self, Item, KeyValue};
use serde_json::json;

use super::store::{Account, account, operations};
use crate::aws::Answer;
use crate::fixture::{MINUTE, World};

#[tokio::test(start_paused = true)]
async fn an_item_alone_is_one_get_item_call_eventually_consistent() {
    let world = World::with_accounts(&[("42", "v")]).await;
    let mut builder = world.builder();
    let key = builder.add(dynamodb::item("accounts").key("id", "42").deserialize::<Account>());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(key).await.unwrap(), account("42", "v"));
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), ["GetItem"]);
    assert_eq!(calls[0].target, "DynamoDB_20120810.GetItem");
    assert_eq!(calls[0].body["TableName"], "accounts");
    assert_eq!(calls[0].body["Key"], json!({ "id": { "S": "42" } }));
    assert_eq!(calls[0].body["ConsistentRead"], false);
    assert_eq!(calls[0].body.get("ProjectionExpression"), None);
}

#[tokio::test(start_paused = true)]
async fn an_item_is_named_by_its_table_and_key() {
    let world = World::new();
    world.aws.script(|_| Some(Answer::json(&json!({ "Responses": {} }))));
    let arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/accounts";
    let entry = || dynamodb::item("accounts").optional();
    let mut builder = world.builder();
    builder.add(entry().key("id", "42"));
    builder.add(entry().key("id", 7).sort_key("date", "2026-01"));
    builder.add(entry().key("id", KeyValue::number("-0.50")));
    builder.add(entry().key("id", b"\x00\xff"));
    builder.add(dynamodb::item(arn).key("id", "by-arn").optional());
    builder.add(entry().key("id", "43").name("own"));
    let cache = builder.spawn().await.unwrap();
    for name in [
        "accounts-42",
        "accounts-7-2026-01",
        "accounts--0.5",
        "accounts-00ff",
        "accounts-by-arn",
        "own",
    ] {
        cache.key::<Option<Item>>(name).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_sent_as_text_numbers_or_bytes_exactly() {
    for (value, sent) in [
        (KeyValue::from("42"), json!({ "S": "42" })),
        (KeyValue::from("ä ☃".to_owned()), json!({ "S": "ä ☃" })),
        (KeyValue::from(42_u8), json!({ "N": "42" })),
        (KeyValue::from(-100_i64), json!({ "N": "-100" })),
        (KeyValue::from(u64::MAX), json!({ "N": "18446744073709551615" })),
        (KeyValue::number("1.50"), json!({ "N": "1.5" })),
        (KeyValue::number("1e3"), json!({ "N": "1000" })),
        (
            KeyValue::number("12345678901234567890.123456789012345678"),
            json!({ "N": "12345678901234567890.123456789012345678" }),
        ),
        (KeyValue::from(b"abc"), json!({ "B": "YWJj" })),
        (KeyValue::from(vec![0_u8, 255]), json!({ "B": "AP8=" })),
    ] {
        let world = World::new();
        world.aws.script(|_| Some(Answer::json(&json!({}))));
        let mut builder = world.builder();
        builder.add(dynamodb::item("accounts").key("id", value).optional());
        builder.spawn().await.unwrap();
        assert_eq!(world.aws.calls()[0].body["Key"]["id"], sent);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_numbers_are_one_key_and_one_fetch() {
    let world = World::new();
    world.aws.script(|_| Some(Answer::json(&json!({ "Item": { "id": { "N": "1.5" } } }))));
    let mut builder = world.builder();
    let numbers = ["1.5", "1.50", "15e-1", "+01.5"].map(KeyValue::number);
    for (n, number) in numbers.into_iter().enumerate() {
        builder.add(dynamodb::item("accounts").key("id", number).name(n.to_string()));
    }
    builder.spawn().await.unwrap();
    assert_eq!(operations(&world.aws.calls()), ["GetItem"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_does_not_exist_is_not_found() {
    let world = World::with_accounts(&[]).await;
    let mut builder = world.builder();
    let text = builder.add(dynamodb::item("accounts").key("id", "42").lazy());
    let account = dynamodb::item("accounts").key("id", "43").deserialize::<Account>().lazy();
    let account = builder.add(account);
    let cache = builder.spawn().await.unwrap();
    for error in [cache.get(text).await.unwrap_err(), cache.get(account).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("accounts by id"), "{error}");
        assert!(error.to_string().contains("no such item"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_option_is_none_where_there_is_no_item() {
    let world = World::with_accounts(&[]).await;
    let mut builder = world.builder();
    let item = || dynamodb::item("accounts").key("id", "42");
    let optional = builder.add(item().optional().name("optional"));
    let decoded = builder.add(item().deserialize::<Option<Account>>().name("decoded"));
    let value = builder.add(item().deserialize::<serde_json::Value>().name("value").lazy());
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(optional).unwrap(), &None);
    assert_eq!(snapshot.get(decoded).unwrap(), &None);
    assert_eq!(cache.get(value).await.unwrap_err().kind(), ErrorKind::NotFound);

    world.aws.put_account("42", "there").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert!(snapshot.get(optional).unwrap().as_ref().unwrap().get("value").is_some());
    assert_eq!(snapshot.get(decoded).unwrap(), &Some(account("42", "there")));
    assert_eq!(cache.get(value).await.unwrap()["value"], "there");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_item_is_not_found_and_comes_back() {
    let world = World::with_accounts(&[("42", "old"), ("43", "other")]).await;
    let mut builder = world.builder();
    let key = builder.add(dynamodb::item("accounts").key("id", "42").deserialize::<Account>());
    let other = builder.add(dynamodb::item("accounts").key("id", "43").deserialize::<Account>());
    let cache = builder.spawn().await.unwrap();
    world.aws.delete_account("42").await;
    world.clock.freeze(MINUTE);
    let snapshot = cache.snapshot().await;
    let error = snapshot.get(key).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::NotFound, Some("accounts-42")));
    assert_eq!(snapshot.get(other).unwrap().value, "other");
    let kept = cache.peek(key).unwrap();
    assert!(kept.value == "old" && kept.is_stale());

    world.aws.put_account("42", "old").await;
    world.clock.advance(MINUTE);
    let back = cache.get(key).await.unwrap();
    assert_eq!((back.value.as_str(), back.age()), ("old", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn consistent_reads_and_projections_reach_the_call() {
    let world = World::with_accounts(&[("42", "v")]).await;
    let mut builder = world.builder();
    let entry = dynamodb::item("accounts").key("id", "42").consistent();
    builder.add(entry.projection(["status", "value", "size.width", "value"]));
    builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    assert_eq!(calls[0].body["ConsistentRead"], true);
    let expression = calls[0].body["ProjectionExpression"].as_str().unwrap();
    let names = calls[0].body["ExpressionAttributeNames"].as_object().unwrap();
    // `status` is a reserved word, so no name is in the expression itself.
    let paths = expression.split(", ").map(|path| {
        let path = path.split('.').map(|it| names[it].as_str().unwrap());
        path.collect::<Vec<_>>().join(".")
    });
    assert_eq!(paths.collect::<Vec<_>>(), ["size.width", "status", "value"]);
}

#[tokio::test(start_paused = true)]
async fn equal_projections_in_another_order_are_one_fetch() {
    let world = World::with_accounts(&[("42", "v")]).await;
    let mut builder = world.builder();
    let item = || dynamodb::item("accounts").key("id", "42");
    builder.add(item().projection(["a", "b"]).name("one"));
    builder.add(item().projection(["b", "a", "b"]).name("two"));
    builder.spawn().await.unwrap();
    assert_eq!(operations(&world.aws.calls()), ["GetItem"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_written_anew_as_it_was_is_not_derived_again() {
    let world = World::with_accounts(&[("42", "same")]).await;
    let derived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&derived);
    let mut builder = world.builder();
    let entry = dynamodb::item("accounts").key("id", "42").deserialize::<Account>();
    let key = builder.add(entry.derive(move |account: Account| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::fmt::Error>(account.value) }
    }));
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(key).await.unwrap();
    world.aws.put_account("42", "same").await;
    world.clock.advance(MINUTE);
    let after = cache.get(key).await.unwrap();
    assert_eq!((after.age(), after.version()), (Duration::ZERO, before.version()));
    assert_eq!(derived.load(Ordering::Relaxed), 1);
    assert!(Arc::ptr_eq(&before.into_inner(), &after.into_inner()));

    world.aws.put_account("42", "other").await;
    world.clock.advance(MINUTE);
    assert_eq!(*cache.get(key).await.unwrap(), "other");
    assert_eq!(derived.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_set_in_another_order_is_no_change() {
    let world = World::new();
    let answers = AtomicUsize::new(0);
    world.aws.script(move |_| {
        let sets = [["a", "b"], ["b", "a"], ["b", "c"]];
        let set = sets[answers.fetch_add(1, Ordering::Relaxed)];
        let item = json!({ "id": { "S": "42" }, "set": { "SS": set } });
        Some(Answer::json(&json!({ "Item": item })))
    });
    let mut builder = world.builder();
    let key = builder.add(dynamodb::item("accounts").key("id", "42"));
    let cache = builder.spawn().await.unwrap();
    let first = cache.get(key).await.unwrap();
    world.clock.advance(MINUTE);
    let second = cache.get(key).await.unwrap();
    assert_eq!((second.version(), second.age()), (first.version(), Duration::ZERO));
    world.clock.advance(MINUTE);
    assert_ne!(cache.get(key).await.unwrap().version(), first.version());
}
