//! All parameters under a path as one entry.

use lambda_cache::ErrorKind;
use lambda_cache::sources::ssm;
use serde_json::json;

use super::store::parameter;
use crate::aws::Answer;
use crate::fixture::{MINUTE, World};

const TREE: [(&str, &str); 5] = [
    ("/app/mode", "fast"),
    ("/app/db/host", "h"),
    ("/app/db/port", "1"),
    ("/apple", "no child"),
    ("/other/mode", "slow"),
];

#[tokio::test(start_paused = true)]
async fn a_path_holds_its_direct_children() {
    for path in ["/app", "/app/"] {
        let world = World::with(TREE).await;
        let mut builder = world.builder();
        let children = builder.add(ssm::path(path).name("children"));
        let snapshot = builder.spawn().await.unwrap().snapshot().await;
        let children = snapshot.get(children).unwrap();
        assert!(children.names().eq(["/app/mode"]), "{children:?}");
        assert_eq!(children.get("mode"), Some("fast"));
        assert_eq!(children.get("/app/mode"), Some("fast"));
        let [call] = &*world.aws.calls() else { panic!("not one call") };
        assert_eq!(call.target, "AmazonSSM.GetParametersByPath");
        assert_eq!(call.body["WithDecryption"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recursive_path_holds_what_is_further_below_as_well() {
    for path in ["/app", "/app/"] {
        let world = World::with(TREE).await;
        let mut builder = world.builder();
        let tree = builder.add(ssm::path(path).recursive().name("tree"));
        let all = builder.add(ssm::path("/").recursive().name("all"));
        let snapshot = builder.spawn().await.unwrap().snapshot().await;
        let tree = snapshot.get(tree).unwrap();
        assert!(tree.names().eq(["/app/db/host", "/app/db/port", "/app/mode"]), "{tree:?}");
        for name in ["/app/db/host", "db/host", "host"] {
            assert_eq!(tree.get(name), Some("h"), "{name}");
        }
        assert_eq!(tree.get("app/db/host"), None);
        let all = snapshot.get(all).unwrap();
        assert_eq!((all.len(), all.get("app/db/host")), (5, Some("h")));
        assert_eq!((all.get("mode"), all.get("other/mode")), (None, Some("slow")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_and_the_same_path_recursive_are_not_one_entry() {
    let world = World::with(TREE).await;
    let mut builder = world.builder();
    let children = builder.add(ssm::path("/app/").name("children"));
    let tree = builder.add(ssm::path("/app/").recursive().name("tree"));
    let again = builder.add(ssm::path("/app/").recursive().name("again"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(children).unwrap().len(), 1);
    assert_eq!(snapshot.get(tree).unwrap().len(), 3);
    assert_eq!(snapshot.get(again).unwrap().len(), 3);
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_path_without_parameters_is_empty() {
    let world = World::with(TREE).await;
    let mut builder = world.builder();
    let none = builder.add(ssm::path("/none/").recursive().name("none"));
    let cache = builder.spawn().await.unwrap();
    assert!(cache.get(none).await.unwrap().is_empty());
    world.aws.put("/none/one", "1").await;
    world.clock.advance(MINUTE);
    assert_eq!(cache.get(none).await.unwrap().get("one"), Some("1"));
}

/// The page that a token stands for: two parameters each, none on the third.
fn page(token: Option<&str>) -> Answer {
    let (parameters, next) = match token {
        None => (vec![parameter("/app/d", "4"), parameter("/app/b", "2")], Some("second")),
        Some("second") => (vec![parameter("/app/a", "1")], Some("third")),
        Some("third") => (vec![], Some("last")),
        Some("last") => (vec![parameter("/app/c", "3")], None),
        Some(other) => panic!("nobody gave the token {other}"),
    };
    Answer::Say(200, json!({ "Parameters": parameters, "NextToken": next }).to_string())
}

#[tokio::test(start_paused = true)]
async fn all_pages_of_a_path_are_read() {
    let world = World::new();
    world.aws.script(|call| Some(page(call.body["NextToken"].as_str())));
    let mut builder = world.builder();
    let tree = builder.add(ssm::path("/app/").recursive().name("tree"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let tree = snapshot.get(tree).unwrap();
    assert!(tree.names().eq(["/app/a", "/app/b", "/app/c", "/app/d"]), "{tree:?}");
    assert_eq!(["a", "b", "c", "d"].map(|name| tree.get(name).unwrap()), ["1", "2", "3", "4"]);
    let calls = world.aws.calls();
    assert_eq!(calls.len(), 4);
    for call in calls {
        assert_eq!(call.body["Path"], "/app/");
        assert_eq!(call.body["Recursive"], true);
        assert_eq!(call.body["WithDecryption"], true);
        assert!(call.body["MaxResults"].as_i64().is_none_or(|most| most <= 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_of_which_one_page_fails_is_not_half_a_value() {
    let world = World::new();
    world.aws.script(|call| Some(page(call.body["NextToken"].as_str())));
    let mut builder = world.builder();
    let tree = builder.add(ssm::path("/app/").name("tree"));
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|call| match call.body["NextToken"].as_str() {
        Some("last") => Some(Answer::error(400, "AccessDeniedException")),
        token => Some(page(token)),
    });
    world.clock.advance(MINUTE);
    let error = cache.snapshot().await.get(tree).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Denied, Some("tree")));
    assert!(error.to_string().contains("ssm:GetParametersByPath /app/"), "{error}");
    assert_eq!(cache.peek(tree).unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_come_and_go_below_a_path_are_seen_at_its_max_age() {
    let world = World::with(TREE).await;
    let mut builder = world.builder();
    let tree = builder.add(ssm::path("/app/").recursive().name("tree"));
    let cache = builder.spawn().await.unwrap();
    world.aws.put("/app/new", "new").await;
    world.aws.delete("/app/mode").await;
    world.aws.put("/app/db/port", "2").await;
    assert_eq!(cache.snapshot().await.get(tree).unwrap().get("mode"), Some("fast"));
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    let tree = snapshot.get(tree).unwrap();
    assert!(tree.names().eq(["/app/db/host", "/app/db/port", "/app/new"]), "{tree:?}");
    assert_eq!((tree.get("port"), tree.get("new")), (Some("2"), Some("new")));
}
