//! Nothing the crate prints, logs or puts into an error shows an attribute's value.

use lambda_cache::ErrorKind;
use lambda_cache::sources::dynamodb::{self, Condition};
use serde_json::{Value as Json, json};

use crate::aws::Answer;
use crate::fixture::{First, Function, MINUTE, SECOND, World};
use crate::seen::{SECRET, Seen};

#[derive(Debug, serde::Deserialize)]
struct Shown {
    #[allow(dead_code, reason = "only debugged")]
    id: String,
}

/// Forms that no value has, each of which serde has words of its own for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "never made")]
struct Form {
    id: String,
    value: Choice,
}

#[derive(Debug, serde::Deserialize)]
#[allow(dead_code, reason = "never made")]
enum Choice {
    Number(u16),
    Fields { host: u16 },
}

#[tokio::test(start_paused = true)]
async fn debug_of_whatever_holds_a_value_does_not_show_it() {
    let seen = Seen::listen();
    let world = World::with_accounts(&[("42", "hunter2-one"), ("43", "hunter2-two")]).await;
    let mut builder = world.builder();
    let plain = dynamodb::item("accounts").key("id", "42");
    let optional = dynamodb::item("accounts").key("id", "43").optional();
    let shown = dynamodb::item("accounts").key("id", "42").deserialize::<Shown>().name("shown");
    let all = dynamodb::query("accounts").key("id", "42").name("all");
    seen.debug(&(&plain, &optional, &shown, &all));
    let (plain, optional) = (builder.add(plain), builder.add(optional));
    let (shown, all) = (builder.add(shown), builder.add(all));
    seen.debug(&builder);
    let function = Function::new(&world, builder.spawn().await.unwrap());
    let cache = &function.cache;
    for first in [First::Handler, First::Extension] {
        let snapshot = cache.snapshot().await;
        let value = snapshot.get(plain).unwrap().get("value").unwrap();
        assert!(value.as_s().unwrap().starts_with(SECRET));
        seen.debug(&(cache, &snapshot, snapshot.version(plain), snapshot.get(plain)));
        seen.debug(&(cache.get(plain).await, cache.get(optional).await, cache.get(all).await));
        seen.debug(&(cache.get(shown).await, cache.peek(all), cache.refresh(plain).await));
        world.aws.put_account("42", "hunter2-changed").await;
        world.clock.freeze(MINUTE);
        function.invoke(first, async |snapshot| seen.debug(&snapshot.get(all))).await;
    }
    seen.check(&["\"value\"", "accounts by id", "outcome=\"changed\"", "\"unchanged\""]);
}

/// Whose item it is may be nobody's business; the entry's name is its user's to choose.
#[tokio::test(start_paused = true)]
async fn a_key_is_shown_in_nothing_but_the_default_name() {
    let seen = Seen::listen();
    let world = World::with_accounts(&[]).await;
    let mut builder = world.builder();
    let item = dynamodb::item("accounts").key("id", "hunter2-key").name("item").lazy();
    let query = dynamodb::query("accounts").key("id", "hunter2-key");
    let query = query.sort_key("sort", Condition::between("hunter2-a", "hunter2-b"));
    let query = query.name("query").lazy();
    let items = dynamodb::items("accounts").key::<String>("id");
    seen.debug(&(&item, &query, &items, dynamodb::KeyValue::from("hunter2-key")));
    seen.debug(&Condition::equals("hunter2-key"));
    let (item, query) = (builder.add(item), builder.add(query));
    let cache = builder.spawn().await.unwrap();
    seen.error(&cache.get(item).await.unwrap_err());
    world.aws.fail(400, "AccessDeniedException");
    seen.error(&cache.refresh(query).await.unwrap_err());
    seen.error(&cache.refresh(item).await.unwrap_err());
    seen.debug(&cache);

    let mut builder = world.builder();
    let long = "hunter2".repeat(1000);
    builder.add(dynamodb::item("accounts").key("id", long).name("long"));
    let number = dynamodb::KeyValue::number("hunter2");
    builder.add(dynamodb::item("accounts").key("id", number).name("number"));
    seen.error(&builder.spawn().await.unwrap_err());
    seen.check(&["no such item", "accounts by id, sort", "not a number"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_show_what_came() {
    let seen = Seen::listen();
    let world = World::with_accounts(&[("42", "hunter2-kept"), ("43", "hunter2-kept")]).await;
    let mut builder = world.builder();
    let entry = |id| dynamodb::item("accounts").key("id", id);
    let keys = [builder.add(entry("42")), builder.add(entry("43"))];
    let cache = builder.spawn().await.unwrap();
    for body in [
        r#"{"Responses": {"accounts": [{"id": {"S": "hunter2"#,
        r#"{"Responses": {"accounts": [{"id": {"S": "hunter2-other"}}]}}"#,
        r#"{"Responses": {"accounts": [{"id": {"S": "42"}, "value": {"N": hunter2}}]}}"#,
        r#"{"Responses": "hunter2"}"#,
        r#"{"Responses": {"accounts": [{"id": {"S": "hunter2\ud800"}}]}}"#,
    ] {
        world.aws.script(move |_| Some(Answer::Say(200, body.to_owned())));
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        for key in keys {
            let error = snapshot.get(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source, "{body}");
            seen.error(&error);
        }
        seen.debug(&(&snapshot, &cache, cache.peek(keys[0])));
    }
    seen.check(&["refresh failed", "was not asked for"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_decoding_does_not_quote_the_value() {
    let seen = Seen::listen();
    let world = World::with_accounts(&[("42", "hunter2")]).await;
    let mut builder = world.builder();
    let entry = || dynamodb::item("accounts").key("id", "42").lazy();
    let form = builder.add(entry().deserialize::<Form>().name("form"));
    let number = builder.add(entry().deserialize::<Number>().name("number"));
    let query = dynamodb::query("accounts").key("id", "42").deserialize::<Form>();
    let query = builder.add(query.name("query").lazy());
    let cache = builder.spawn().await.unwrap();
    for value in [
        json!("hunter2-variant"),
        json!({ "Number": "hunter2-number" }),
        json!({ "hunter2-key": 1 }),
        json!({ "Fields": { "hunter2-field": 1 } }),
        json!(["hunter2-item"]),
        json!({ "Number": 1, "hunter2-more": 2 }),
    ] {
        world.aws.put_item("accounts", json!({ "id": "42", "value": value })).await;
        world.clock.advance(SECOND);
        for error in [
            cache.refresh(form).await.unwrap_err(),
            cache.refresh(number).await.unwrap_err(),
            cache.refresh(query).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Decode, "{value}");
            seen.error(&error);
        }
    }
    let more: Json = json!({ "id": "42", "value": 1, "hunter2-attribute": 1 });
    world.aws.put_item("accounts", more).await;
    world.clock.advance(SECOND);
    seen.error(&cache.refresh(form).await.unwrap_err());
    seen.check(&["cannot be used", "another type or form", "expected num"]);
}

#[derive(Debug, serde::Deserialize)]
struct Number {
    #[allow(dead_code, reason = "never made")]
    value: u8,
}
