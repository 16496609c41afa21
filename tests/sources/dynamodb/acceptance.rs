//! The five-step case with an item, and with a query.

use lambda_cache::sources::dynamodb;
use serde_json::json;

use super::store::{Account, account};
use crate::fixture::{First, SECOND, World};
use crate::steps::{Reading, Steps};

const READINGS: [Reading; 5] = [
    Reading::Snapshot,
    Reading::Get,
    Reading::Within,
    Reading::Invocation(First::Handler),
    Reading::Invocation(First::Extension),
];

#[tokio::test(start_paused = true)]
async fn five_steps_with_an_item() {
    for reading in READINGS {
        let world = World::with_accounts(&[]).await;
        let change = async |n: usize| world.aws.put_account("42", ["first", "second"][n]).await;
        let entry = dynamodb::item("accounts").key("id", "42").deserialize::<Account>();
        let values = [account("42", "first"), account("42", "second")];
        let steps = Steps { age: 5 * SECOND, reading };
        steps.run(&world, entry, change, Account::clone, values).await;
    }
}

#[tokio::test(start_paused = true)]
async fn five_steps_with_an_item_that_comes_and_goes() {
    for reading in READINGS {
        let world = World::with_accounts(&[]).await;
        let change = async |n: usize| match n {
            0 => world.aws.delete_account("42").await,
            _ => world.aws.put_account("42", "there").await,
        };
        let entry = dynamodb::item("accounts").key("id", "42").deserialize::<Option<Account>>();
        let values = [None, Some(account("42", "there"))];
        let steps = Steps { age: 5 * SECOND, reading };
        steps.run(&world, entry, change, Option::clone, values).await;
    }
}

#[tokio::test(start_paused = true)]
async fn five_steps_with_a_query() {
    #[derive(serde::Deserialize)]
    struct Order {
        total: u32,
    }

    for reading in READINGS {
        let world = World::new();
        world.aws.create_table("orders", "customer", Some("date")).await;
        let change = async |n: usize| {
            for (date, total) in [("2026-01", 1), ("2026-02", [2, 3][n])] {
                let order = json!({ "customer": "42", "date": date, "total": total });
                world.aws.put_item("orders", order).await;
            }
        };
        let entry = dynamodb::query("orders").key("customer", "42").deserialize::<Order>();
        let show = |orders: &Vec<Order>| orders.iter().map(|it| it.total).collect::<Vec<_>>();
        let steps = Steps { age: 5 * SECOND, reading };
        steps.run(&world, entry.name("orders"), change, show, [vec![1, 2], vec![1, 3]]).await;
    }
}
