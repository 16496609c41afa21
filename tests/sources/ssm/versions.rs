//! What counts as a change: the value is replaced when, and only when, its version is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::sources::ssm;
use serde_json::{Value as Json, json};

use super::store::parameter;
use crate::aws::{Answer, Aws};
use crate::fixture::{MINUTE, SECOND, World};

/// Answers to successive fetches; the last one to all that follow.
fn answers(aws: &Aws, answers: Vec<Vec<Json>>) {
    let count = AtomicUsize::new(0);
    aws.script(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        Some(Answer::parameters(answers[n].clone()))
    });
}

fn version(name: &str, value: &str, version: i64, changed: f64) -> Json {
    let mut parameter = parameter(name, value);
    parameter["Version"] = version.into();
    parameter["LastModifiedDate"] = json!(changed);
    parameter
}

#[tokio::test(start_paused = true)]
async fn the_version_is_the_parameters_number() {
    let world = World::with([("/app/x", "one")]).await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    for (number, value) in [("1", "one"), ("2", "two"), ("3", "three")] {
        let snapshot = cache.snapshot().await;
        assert_eq!(snapshot.get(x).unwrap(), value);
        assert_eq!(snapshot.version(x).unwrap().as_str(), number);
        world.aws.put("/app/x", if number == "1" { "two" } else { "three" }).await;
        world.clock.advance(MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_deleted_and_made_again_with_the_same_version_number_is_a_change() {
    let world = World::with([("/app/x", "old"), ("/app/y", "y")]).await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let group = builder.add(ssm::parameters(["/app/x", "/app/y"]).name("group"));
    let tree = builder.add(ssm::path("/app/").name("tree"));
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(x).await.unwrap();
    world.aws.delete("/app/x").await;
    world.aws.put("/app/x", "new").await;
    world.aws.changed_later("/app/x", 5 * SECOND).await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(x).unwrap(), "new");
    let after = snapshot.version(x).unwrap();
    assert_eq!(after.as_str(), before.version().as_str(), "the numbers are the same");
    assert_ne!(after, before.version());
    assert_eq!(snapshot.get(group).unwrap().get("x"), Some("new"));
    assert_eq!(snapshot.get(tree).unwrap().get("x"), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_version_of_the_same_number_and_time_is_no_change() {
    let world = World::new();
    let one = |value| vec![version("/app/x", value, 1, 100.5)];
    answers(&world.aws, vec![one("first"), one("what a version never does")]);
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    let before = cache.get(x).await.unwrap();
    world.clock.advance(MINUTE);
    let after = cache.get(x).await.unwrap();
    assert_eq!(after.age(), std::time::Duration::ZERO);
    assert!(Arc::ptr_eq(&before.into_inner(), &after.into_inner()));
}

#[tokio::test(start_paused = true)]
async fn a_millisecond_between_deletion_and_creation_is_enough() {
    let world = World::new();
    let old = vec![version("/app/x", "old", 1, 1_700_000_000.001)];
    let new = vec![version("/app/x", "new", 1, 1_700_000_000.002)];
    answers(&world.aws, vec![old, new]);
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(*cache.get(x).await.unwrap(), "new");
}

/// All parameters are deleted and made again while several are read, one call after the other: the
/// first fetch sees the old `a` and the new `b`, which is the younger of the two.
#[tokio::test(start_paused = true)]
async fn a_parameter_made_again_is_a_change_even_if_another_of_its_group_is_newer() {
    let world = World::new();
    let torn = vec![version("/app/a", "old", 1, 100.0), version("/app/b", "new", 1, 209.0)];
    let whole = vec![version("/app/a", "new", 1, 208.0), version("/app/b", "new", 1, 209.0)];
    answers(&world.aws, vec![torn, whole]);
    let mut builder = world.builder();
    let group = builder.add(ssm::parameters(["/app/a", "/app/b"]).name("group"));
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    let group = cache.get(group).await.unwrap();
    assert_eq!((group.get("a"), group.get("b")), (Some("new"), Some("new")));
}

/// As one deployment does: what it makes has one version number and one time.
#[tokio::test(start_paused = true)]
async fn a_paths_only_parameter_replaced_by_another_is_a_change() {
    let world = World::new();
    let old = vec![version("/app/a", "1", 1, 100.0)];
    let new = vec![version("/app/b", "2", 1, 100.0)];
    answers(&world.aws, vec![old, new]);
    let mut builder = world.builder();
    let tree = builder.add(ssm::path("/app/").name("tree"));
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    let tree = cache.get(tree).await.unwrap();
    assert_eq!((tree.get("a"), tree.get("b")), (None, Some("2")));
}

/// References to secrets (`/aws/reference/secretsmanager/..`) have version 0, whatever the secret's
/// version is.
#[tokio::test(start_paused = true)]
async fn what_has_no_version_number_is_a_change_with_each_answer() {
    let world = World::new();
    let name = "/aws/reference/secretsmanager/password";
    let answer = |value| vec![version(name, value, 0, 100.0)];
    answers(&world.aws, vec![answer("old"), answer("new")]);
    let mut builder = world.builder();
    let password = builder.add(ssm::parameter(name));
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(*cache.get(password).await.unwrap(), "new");
}
