//! The items of one partition: conditions, order, pages and bounds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_cache::sources::Entry;
use lambda_cache::sources::dynamodb::{self, Condition, Item, OneQuery};
use lambda_cache::{ErrorKind, Value};
use serde_json::{Value as Json, json};

use super::store::operations;
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

const DATES: [&str; 5] = ["2025-12", "2026-01", "2026-02", "2026-03", "2027-01"];

async fn orders() -> World {
    let world = World::new();
    world.aws.create_table("orders", "customer", Some("date")).await;
    for customer in ["42", "43"] {
        for date in DATES {
            let order = json!({ "customer": customer, "date": date, "status": "paid" });
            world.aws.put_item("orders", order).await;
        }
    }
    world
}

fn of_customer() -> Entry<OneQuery, Vec<Item>> {
    dynamodb::query("orders").key("customer", "42").name("orders")
}

fn dates(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.get("date").unwrap().as_s().unwrap().as_str()).collect()
}

async fn read(world: &World, entry: Entry<OneQuery, Vec<Item>>) -> Value<Vec<Item>> {
    let mut builder = world.builder();
    let key = builder.add(entry);
    builder.spawn().await.unwrap().get(key).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_query_is_one_partition_in_the_order_of_the_sort_key() {
    let world = orders().await;
    assert_eq!(dates(&read(&world, of_customer()).await), DATES);
    let calls = world.aws.calls();
    assert_eq!(operations(&calls), ["Query"]);
    assert_eq!(calls[0].body["ConsistentRead"], false);
    let descending = read(&world, of_customer().descending()).await;
    let mut expected = DATES;
    expected.reverse();
    assert_eq!(dates(&descending), expected);
}

#[tokio::test(start_paused = true)]
async fn each_condition_selects_its_range() {
    let world = orders().await;
    for (condition, expected) in [
        (Condition::equals("2026-02"), &DATES[2..3]),
        (Condition::less_than("2026-02"), &DATES[..2]),
        (Condition::at_most("2026-02"), &DATES[..3]),
        (Condition::greater_than("2026-02"), &DATES[3..]),
        (Condition::at_least("2026-02"), &DATES[2..]),
        (Condition::begins_with("2026-"), &DATES[1..4]),
        (Condition::between("2026-01", "2026-03"), &DATES[1..4]),
    ] {
        let told = format!("{condition:?}");
        let found = read(&world, of_customer().sort_key("date", condition)).await;
        assert_eq!(dates(&found), expected, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_reaches_the_call_and_no_name_its_expressions() {
    let world = World::new();
    world.aws.script(|_| Some(Answer::json(&json!({ "Items": [] }))));
    let entry = dynamodb::query("orders")
        .key("status", 7)
        .sort_key("date", Condition::between(b"a", b"b"))
        .index("by-status")
        .consistent()
        .descending()
        .limit(9)
        .projection(["size", "total"]);
    assert!(read(&world, entry.name("orders")).await.is_empty());
    let body = &world.aws.calls()[0].body;
    assert_eq!((&body["TableName"], &body["IndexName"]), (&json!("orders"), &json!("by-status")));
    assert_eq!((&body["ConsistentRead"], &body["ScanIndexForward"]), (&json!(true), &json!(false)));
    assert_eq!(body["Limit"], 9);
    let text = format!("{} {}", body["KeyConditionExpression"], body["ProjectionExpression"]);
    for name in ["status", "date", "size", "total"] {
        assert!(!text.contains(name), "{text}");
        let names = body["ExpressionAttributeNames"].as_object().unwrap();
        let placeholder = names.iter().find(|(_, it)| *it == name).unwrap().0;
        assert!(text.contains(placeholder), "{text} lacks {placeholder}");
    }
    let values = body["ExpressionAttributeValues"].as_object().unwrap();
    let mut values: Vec<String> = values.values().map(Json::to_string).collect();
    values.sort();
    assert_eq!(values, [r#"{"B":"YQ=="}"#, r#"{"B":"Yg=="}"#, r#"{"N":"7"}"#]);
}

/// Pages of two items each, of which there are as many as asked for.
fn pages(count: usize) -> impl Fn(&Call) -> Option<Answer> {
    move |call| {
        let start = call.body["ExclusiveStartKey"]["date"]["S"].as_str();
        let page: usize = start.map_or(0, |start| start.parse().unwrap());
        let left = call.body["Limit"].as_u64().map_or(2, |limit| limit.min(2));
        let item = |n| json!({ "customer": { "S": "42" }, "date": { "S": format!("{page}.{n}") } });
        let mut answer = json!({ "Items": (0..left).map(item).collect::<Vec<_>>() });
        if page + 1 < count {
            let next =
                json!({ "customer": { "S": "42" }, "date": { "S": (page + 1).to_string() } });
            answer["LastEvaluatedKey"] = next;
        }
        Some(Answer::json(&answer))
    }
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_one_after_the_other() {
    let world = World::new();
    world.aws.script(pages(3));
    let found = read(&world, of_customer()).await;
    assert_eq!(dates(&found), ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"]);
    let calls = world.aws.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.body.get("Limit").is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_limit_counts_the_items_of_all_pages() {
    let world = World::new();
    world.aws.script(pages(100));
    for (limit, calls) in [(1, vec![1]), (2, vec![2]), (5, vec![5, 3, 1])] {
        let found = read(&world, of_customer().limit(limit)).await;
        assert_eq!(found.len(), limit);
        let asked = world.aws.calls();
        let asked: Vec<_> = asked.iter().map(|call| call.body["Limit"].as_u64().unwrap()).collect();
        assert_eq!(asked, calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_what_there_is_is_no_error() {
    let world = orders().await;
    assert_eq!(read(&world, of_customer().limit(usize::MAX)).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_limit_has_ten_thousand_items_at_most() {
    let world = World::new();
    world.aws.script(|_| {
        let item = json!({ "customer": { "S": "42" } });
        let items = vec![item.clone(); 4000];
        Some(Answer::json(&json!({ "Items": items, "LastEvaluatedKey": item })))
    });
    let mut builder = world.builder();
    builder.add(of_customer());
    let error = builder.spawn().await.unwrap_err();
    assert!(error.to_string().contains(".limit("), "{error}");
    assert_eq!(world.aws.calls().len(), 3);
    assert_eq!(read(&world, of_customer().limit(11_000)).await.len(), 11_000);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_finds_nothing_is_empty() {
    let world = orders().await;
    let entry = dynamodb::query("orders").key("customer", "nobody").name("orders");
    assert!(read(&world, entry).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_the_failure_of_the_query() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    let answer = pages(3);
    world.aws.script(move |call| match count.fetch_add(1, Ordering::Relaxed) {
        0 => answer(call),
        _ => Some(Answer::error(400, "AccessDeniedException")),
    });
    let mut builder = world.builder();
    builder.add(of_customer());
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("dynamodb:Query orders by customer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_items_is_not_an_empty_one() {
    let world = World::new();
    world.aws.script(|_| Some(Answer::json(&json!({}))));
    let mut builder = world.builder();
    builder.add(of_customer());
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Source, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_query_is_unchanged_while_its_items_are() {
    let world = orders().await;
    let mut builder = world.builder();
    let key = builder.add(of_customer());
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(key).await.unwrap();
    world.clock.advance(MINUTE);
    let after = cache.get(key).await.unwrap();
    assert_eq!((after.version(), after.age()), (before.version(), Duration::ZERO));
    world.aws.put_item("orders", json!({ "customer": "42", "date": "2028-01" })).await;
    world.clock.advance(MINUTE);
    assert_ne!(cache.get(key).await.unwrap().version(), before.version());
}

#[tokio::test(start_paused = true)]
async fn one_item_that_is_no_t_is_the_querys_failure() {
    #[derive(serde::Deserialize)]
    struct Order {
        #[allow(dead_code)]
        total: u32,
    }

    let world = orders().await;
    let mut builder = world.builder();
    builder.add(of_customer().deserialize::<Order>());
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("field `total` is missing"), "{error}");
}
