//! A role may be allowed to read single items and not batches of them, table by table.

use lambda_cache::sources::dynamodb::{self, Item};
use lambda_cache::testing::Invocations;
use lambda_cache::{Builder, Cache, Key, Mode};
use serde_json::json;

use super::store::operations;
use crate::aws::{Answer, Aws, Call};
use crate::fixture::{MINUTE, World};
use crate::seen::Seen;

const BATCH: &str = "BatchGetItem";
const ITEM: &str = "GetItem";

/// With which words a call is refused.
#[derive(Clone, Copy)]
enum Words {
    OfAws,
    Few,
}

impl Aws {
    /// From now on the role may not read batches of these tables.
    fn forbid_batches(&self, tables: &'static [&'static str], words: Words) {
        self.script(move |call| {
            if call.operation() != BATCH {
                return None;
            }
            let is_asked = |table: &&&str| call.asks(table).is_object();
            let table = tables.iter().find(is_asked)?;
            let message = match words {
                Words::OfAws => format!(
                    "User: arn:aws:sts::111122223333:assumed-role/f/f is not authorized to \
                     perform: dynamodb:BatchGetItem on resource: \
                     arn:aws:dynamodb:eu-west-1:111122223333:table/{table} because no \
                     identity-based policy allows the dynamodb:BatchGetItem action"
                ),
                Words::Few => "no".to_owned(),
            };
            let body = json!({ "__type": "AccessDeniedException", "Message": message });
            Some(Answer::Say(400, body.to_string()))
        });
    }
}

async fn world(tables: &[&str]) -> World {
    let world = World::new();
    for table in tables {
        world.aws.create_table(table, "id", None).await;
        for id in 0..3 {
            world.aws.put_item(table, json!({ "id": id.to_string() })).await;
        }
    }
    world
}

fn add(builder: &mut Builder, table: &str, count: usize) -> Vec<Key<Item>> {
    let entry = |id: usize| dynamodb::item(table).key("id", id.to_string());
    (0..count).map(|id| builder.add(entry(id))).collect()
}

/// The operations of a round, in which everything has expired and is read.
async fn round(world: &World, cache: &Cache, keys: &[Key<Item>]) -> Vec<String> {
    world.clock.advance(MINUTE);
    world.aws.calls();
    let snapshot = cache.snapshot().await;
    assert!(keys.iter().all(|&key| snapshot.get(key).is_ok()));
    let calls = world.aws.calls();
    let tables = |call: &Call| {
        let mut tables: Vec<String> = call.keys().into_iter().map(|(table, _)| table).collect();
        tables.sort();
        tables.dedup();
        format!("{} {}", call.operation(), tables.join(", "))
    };
    let mut operations: Vec<String> = calls.iter().map(tables).collect();
    operations.sort();
    operations
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_batch_operation_reads_items_one_by_one_from_then_on() {
    let world = world(&["accounts"]).await;
    world.aws.forbid_batches(&["accounts"], Words::OfAws);
    let mut builder = world.builder();
    let keys = add(&mut builder, "accounts", 3);
    let cache = builder.spawn().await.unwrap();
    assert_eq!(operations(&world.aws.calls()), [BATCH, ITEM, ITEM, ITEM]);
    for _ in 0..3 {
        assert_eq!(round(&world, &cache, &keys).await, ["GetItem accounts"; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_batch_permission_is_warned_of_once_for_a_table_and_forgotten_at_a_restore() {
    let seen = Seen::listen();
    let world = world(&["accounts"]).await;
    world.aws.forbid_batches(&["accounts"], Words::OfAws);
    let mut builder = world.builder().mode(Mode::SnapStart);
    let keys = add(&mut builder, "accounts", 3);
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &world.clock);
    for _ in 0..3 {
        round(&world, &cache, &keys).await;
    }
    let warning = "the role lacks the permission dynamodb:BatchGetItem on accounts";
    assert_eq!(seen.count(warning), 1);
    assert_eq!(seen.count("WARN"), 1);
    seen.check(&["no identity-based policy allows the dynamodb:BatchGetItem action"]);
    world.aws.heal();
    invocations.before_snapshot().await.unwrap();
    invocations.after_restore().await.unwrap();
    assert_eq!(round(&world, &cache, &keys).await, ["BatchGetItem accounts"]);
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_lacks_on_one_table_leaves_the_others_their_batches() {
    for words in [Words::OfAws, Words::Few] {
        let world = world(&["closed", "open", "public"]).await;
        world.aws.forbid_batches(&["closed"], words);
        let mut builder = world.builder();
        let keys = ["closed", "open", "public"].map(|table| add(&mut builder, table, 2)).concat();
        let cache = builder.spawn().await.unwrap();
        let expected = ["BatchGetItem open, public", "GetItem closed", "GetItem closed"];
        for _ in 0..2 {
            assert_eq!(round(&world, &cache, &keys).await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_each_table_has_one_item_the_services_words_tell_which_of_them_it_is() {
    let world = world(&["closed", "open", "public"]).await;
    world.aws.forbid_batches(&["closed"], Words::OfAws);
    let mut builder = world.builder();
    let keys = ["closed", "open", "public"].map(|table| add(&mut builder, table, 1)).concat();
    let cache = builder.spawn().await.unwrap();
    let expected = ["BatchGetItem open, public", "GetItem closed"];
    assert_eq!(round(&world, &cache, &keys).await, expected);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_tells_which_table_it_is_none_is_asked_for_in_vain_again() {
    let world = world(&["closed", "open"]).await;
    world.aws.forbid_batches(&["closed"], Words::Few);
    let mut builder = world.builder();
    let keys = ["closed", "open"].map(|table| add(&mut builder, table, 1)).concat();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(round(&world, &cache, &keys).await, ["GetItem closed", "GetItem open"]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_closed_altogether_is_no_missing_batch_permission() {
    let seen = Seen::listen();
    let world = world(&["accounts"]).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, "accounts", 3);
    let cache = builder.spawn().await.unwrap();
    world.aws.fail(400, "AccessDeniedException");
    world.clock.advance(MINUTE);
    cache.snapshot().await;
    world.aws.heal();
    round(&world, &cache, &keys).await;
    assert_eq!(round(&world, &cache, &keys).await, ["BatchGetItem accounts"]);
    assert_eq!(seen.count("lacks the permission"), 0);
}
