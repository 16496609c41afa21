//! What is declared wrongly is an error from `spawn`, before any request.

use lambda_cache::sources::dynamodb::{self, Condition, KeyValue};
use lambda_cache::sources::{Declare, Entry};
use lambda_cache::{Error, ErrorKind};

use crate::fixture::World;

/// The error with which an entry is refused, and which names it.
async fn refused<D: Declare + 'static, T: Send + Sync + 'static>(entry: Entry<D, T>) -> Error {
    let world = World::new();
    let mut builder = world.builder();
    builder.add(entry.name("entry"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(world.aws.calls().len(), 0, "a request was made");
    let [refused] = error.others() else { panic!("not one error: {error}") };
    assert_eq!(refused.kind(), ErrorKind::Declaration, "{error}");
    assert_eq!(refused.entry(), Some("entry"), "{error}");
    refused.clone()
}

fn expect(error: &Error, part: &str) {
    assert!(error.to_string().contains(part), "{error} lacks {part}");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_needed() {
    expect(&refused(dynamodb::item("accounts")).await, ".key(name, value)");
    expect(&refused(dynamodb::query("orders")).await, ".key(name, value)");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_table_is_refused() {
    for table in ["", "ab", "a b c", "accounts/", "arn:aws:s3:::accounts", &"x".repeat(256)] {
        let error = refused(dynamodb::item(table).key("id", "42")).await;
        expect(&error, "not the name or ARN of a table");
        refused(dynamodb::query(table).key("id", "42")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_keys_value_is_refused_and_not_quoted() {
    let item = |value: KeyValue| dynamodb::item("accounts").key("id", value);
    for (value, what) in [
        (KeyValue::from(""), "is empty"),
        (KeyValue::from(vec![]), "is empty"),
        (KeyValue::from("somebody".repeat(257)), "longer than 2048 bytes"),
        (KeyValue::number("somebody"), "not a number"),
        (KeyValue::number("1e126"), "not a number"),
        (KeyValue::from(u128::MAX), "not a number"),
    ] {
        let error = refused(item(value.clone())).await;
        expect(&error, what);
        expect(&error, "\"id\"");
        assert!(!error.to_string().contains("somebody"), "{error}");
        refused(dynamodb::query("orders").key("id", value.clone())).await;
        let sort = dynamodb::item("accounts").key("id", "42").sort_key("date", value.clone());
        refused(sort).await;
        let query = dynamodb::query("orders").key("id", "42");
        refused(query.sort_key("date", Condition::between("a", value))).await;
    }
    let sort = dynamodb::item("accounts").key("id", "42").sort_key("date", "x".repeat(1025));
    expect(&refused(sort).await, "longer than 1024 bytes");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_attributes_of_a_key_is_refused() {
    refused(dynamodb::item("accounts").key("", "42")).await;
    refused(dynamodb::item("accounts").key("id", "42").sort_key("", "x")).await;
    let twice = dynamodb::item("accounts").key("id", "42").sort_key("id", "42");
    expect(&refused(twice).await, "both partition key and sort key");
    let query = || dynamodb::query("orders").key("id", "42");
    refused(query().sort_key("", Condition::equals("x"))).await;
    expect(&refused(query().sort_key("id", Condition::equals("x"))).await, "both partition key");
}

#[tokio::test(start_paused = true)]
async fn conditions_that_nothing_meets_are_refused() {
    let query = || dynamodb::query("orders").key("id", "42");
    let error = refused(query().sort_key("date", Condition::begins_with(7))).await;
    expect(&error, "does not begin");
    let error = refused(query().sort_key("date", Condition::between(1, "2"))).await;
    expect(&error, "two types");
}

#[tokio::test(start_paused = true)]
async fn empty_names_and_limits_are_refused() {
    let query = || dynamodb::query("orders").key("id", "42");
    expect(&refused(query().limit(0)).await, "limit of zero");
    expect(&refused(query().index("")).await, "index");
    expect(&refused(query().projection(["a", ""])).await, "projection");
    let item = dynamodb::item("accounts").key("id", "42");
    expect(&refused(item.projection(["a..b"])).await, "projection");
}

#[tokio::test(start_paused = true)]
async fn a_query_has_no_name_of_its_own_and_an_item_is_named_in_its_refusal() {
    let world = World::new();
    let mut builder = world.builder();
    builder.add(dynamodb::query("orders").key("customer", "42"));
    builder.add(dynamodb::item("accounts").key("id", "42").projection([""]));
    let error = builder.spawn().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`.name(..)`") && text.contains("\"accounts-42\""), "{text}");
}
