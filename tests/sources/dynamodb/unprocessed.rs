//! Keys that a call leaves unprocessed are asked for again, after a pause, and not for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use lambda_cache::sources::dynamodb::{self, Item};
use lambda_cache::{Builder, Clock, ErrorKind, Key};
use std::error::Error as _;

use super::store::operations;
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, SECOND, World};

fn add(builder: &mut Builder, count: usize) -> Vec<Key<Item>> {
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string());
    (0..count).map(|id| builder.add(entry(id))).collect()
}

fn keys(calls: &[Call]) -> Vec<usize> {
    calls.iter().map(|call| call.keys().len()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_asked_for_again_alone_and_as_it_was() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    world.aws.script(move |call| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        let left = ["7", "8", "9"];
        Some(Answer::processing(call, |key| first && left.iter().any(|it| key["id"]["S"] == *it)))
    });
    let mut builder = world.builder();
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string());
    let read = |id| entry(id).consistent().projection(["id"]);
    let entries: Vec<_> = (0..10).map(|id| builder.add(read(id))).collect();
    let before = world.clock.now().monotonic();
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    for (id, &key) in entries.iter().enumerate() {
        let item = snapshot.get(key).unwrap();
        assert_eq!(item.get("id").unwrap().as_s().unwrap(), &id.to_string());
    }
    let calls = world.aws.calls();
    assert_eq!(keys(&calls), [10, 3]);
    for name in ["ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"] {
        assert_eq!(calls[0].asks("accounts")[name], calls[1].asks("accounts")[name], "{name}");
        assert!(!calls[1].asks("accounts")[name].is_null(), "{name}");
    }
    let took = world.clock.now().monotonic() - before;
    assert!(took > Duration::ZERO && took <= SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_full_at_each_call_is_continued_until_all_have_come() {
    let world = World::new();
    world.aws.script(|call| {
        let first = call.keys()[0].1.clone();
        Some(Answer::processing(call, |key| *key != first))
    });
    let mut builder = world.builder();
    let entries = add(&mut builder, 12);
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert!(entries.iter().all(|&key| snapshot.get(key).is_ok()));
    let expected: Vec<usize> = (1..=12).rev().collect();
    assert_eq!(keys(&world.aws.calls()), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_time_and_again_is_throttled_alone() {
    let world = World::new();
    world.aws.script(|call| Some(Answer::processing(call, |key| key["id"]["S"] == "3")));
    let mut builder = world.builder();
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string()).lazy();
    let entries: Vec<_> = (0..5).map(|id| builder.add(entry(id))).collect();
    let cache = builder.spawn().await.unwrap();
    let before = world.clock.now().monotonic();
    let readers = entries.iter().map(|&key| cache.get(key));
    let found = futures_util::future::join_all(readers).await;
    let took = world.clock.now().monotonic() - before;
    assert!(took < 4 * SECOND, "{took:?}: longer than a fetch may take");
    for (id, found) in found.into_iter().enumerate() {
        if id != 3 {
            found.unwrap();
            continue;
        }
        let error = found.unwrap_err();
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Throttled, Some("accounts-3")));
        let cause = error.source().unwrap();
        let cause = cause.downcast_ref::<ProvisionedThroughputExceededException>().unwrap();
        assert!(cause.message().unwrap().contains("unprocessed"), "{cause}");
    }
    let calls = world.aws.calls();
    assert_eq!(keys(&calls), [5, 1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn at_init_a_table_that_processes_nothing_is_asked_once_an_attempt() {
    let world = World::new();
    world.aws.script(|call| Some(Answer::processing(call, |_| true)));
    let mut builder = world.builder();
    add(&mut builder, 2);
    let error = builder.spawn().await.unwrap_err();
    let kinds: Vec<_> = error.others().iter().map(|it| it.kind()).collect();
    assert_eq!(kinds, [ErrorKind::Throttled; 2], "{error}");
    let calls = keys(&world.aws.calls());
    assert!(calls.len() > 2 && calls.iter().all(|&keys| keys == 2), "{calls:?}");
    assert!(error.to_string().contains(&format!("{} attempts", calls.len())), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_for_what_is_left_that_fails_leaves_the_others_their_answers() {
    let world = World::new();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    world.aws.script(move |call| match counter.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Answer::processing(call, |key| key["id"]["S"] == "1")),
        _ => Some(Answer::error(400, "AccessDeniedException")),
    });
    let mut builder = world.builder();
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string()).lazy();
    let entries: Vec<_> = (0..3).map(|id| builder.add(entry(id))).collect();
    let cache = builder.spawn().await.unwrap();
    let readers = entries.iter().map(|&key| cache.get(key));
    let found = futures_util::future::join_all(readers).await;
    assert!(found[0].is_ok() && found[2].is_ok());
    assert_eq!(found[1].as_ref().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_cut_short_by_the_fetchs_deadline() {
    let world = World::new();
    let mut builder = world.builder().operation_timeout(Duration::from_millis(1));
    let entry = |id: usize| dynamodb::item("accounts").key("id", id.to_string());
    let entries: Vec<_> = (0..2).map(|id| builder.add(entry(id).lazy())).collect();
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|call| Some(Answer::processing(call, |_| true)));
    let before = world.clock.now().monotonic();
    let readers = entries.iter().map(|&key| cache.get(key));
    for found in futures_util::future::join_all(readers).await {
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert!(world.clock.now().monotonic() - before <= Duration::from_millis(2));
    // Nothing of it goes on.
    world.aws.calls();
    tokio::time::sleep(MINUTE).await;
    assert!(operations(&world.aws.calls()).is_empty());
}
