//! A version or a label instead of the newest. (winterbaume knows no selectors, so the answers are
//! made here, in the form of the service's.)

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lambda_cache::ErrorKind;
use lambda_cache::sources::ssm;
use serde_json::{Value as Json, json};

use super::store::parameter;
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

/// Answers with a value that says what was asked for; there are three versions, and a label.
fn world() -> World {
    let world = World::new();
    world.aws.script(|call| {
        let (found, absent): (Vec<String>, Vec<String>) =
            call.names().into_iter().partition(|asked| !asked.ends_with(":9"));
        let found: Vec<Json> = found.iter().map(|asked| selected(asked)).collect();
        let body = json!({ "Parameters": found, "InvalidParameters": absent });
        Some(Answer::Say(200, body.to_string()))
    });
    world
}

fn selected(asked: &str) -> Json {
    let (name, selector) = asked.split_once(':').unwrap_or((asked, ""));
    let mut parameter = parameter(name, asked);
    parameter["Version"] = selector.parse().unwrap_or(3).into();
    if !selector.is_empty() {
        parameter["Selector"] = format!(":{selector}").into();
    }
    parameter
}

#[tokio::test(start_paused = true)]
async fn a_version_is_asked_for_by_number() {
    let world = world();
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x").version(2));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.aws.calls()[0].names(), ["/app/x:2"]);
    assert!(cache.key::<String>("x").is_ok(), "the entry's name has no selector");
    let value = cache.get(x).await.unwrap();
    assert_eq!((&**value, value.version().as_str()), ("/app/x:2", "2"));
}

#[tokio::test(start_paused = true)]
async fn a_label_is_asked_for_by_name() {
    let world = world();
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x").label("live"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.aws.calls()[0].names(), ["/app/x:live"]);
    assert!(cache.key::<String>("x").is_ok(), "the entry's name has no selector");
    assert_eq!(*cache.get(x).await.unwrap(), "/app/x:live");
}

#[tokio::test(start_paused = true)]
async fn versions_labels_and_the_newest_of_one_parameter_are_told_apart() {
    let world = world();
    let mut builder = world.builder();
    let newest = builder.add(ssm::parameter("/app/x"));
    let first = builder.add(ssm::parameter("/app/x").version(1).name("first"));
    let second = builder.add(ssm::parameter("/app/x").version(2).name("second"));
    let live = builder.add(ssm::parameter("/app/x").label("live").name("live"));
    let other = builder.add(ssm::parameter("/app/y").label("live"));
    let cache = builder.spawn().await.unwrap();
    for _ in 0..2 {
        let snapshot = cache.snapshot().await;
        let values =
            [newest, first, second, live, other].map(|it| snapshot.get(it).unwrap().clone());
        assert_eq!(values, ["/app/x", "/app/x:1", "/app/x:2", "/app/x:live", "/app/y:live"]);
        world.clock.advance(MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_exist_fails_alone_and_is_named() {
    let world = world();
    let mut builder = world.builder();
    let second = builder.add(ssm::parameter("/app/x").version(2));
    let ninth = builder.add(ssm::parameter("/app/x").version(9).name("ninth").lazy());
    let cache = builder.spawn().await.unwrap();
    let error = cache.get(ninth).await.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::NotFound, Some("ninth")));
    assert!(error.to_string().contains("/app/x:9"), "{error}");
    assert!(cache.snapshot().await.get(second).is_ok());
}

/// Refused or asked for: but two entries must not both be called `live`, or one `3`.
#[tokio::test(start_paused = true)]
async fn a_selector_in_a_parameters_name_is_not_the_entrys_name() {
    for (name, selector) in [("/app/x:3", "3"), ("/app/x:live", "live"), ("x:live", "live")] {
        let world = world();
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter(name));
        match builder.spawn().await {
            Ok(cache) => {
                assert_eq!(*cache.get(x).await.unwrap(), name);
                assert_eq!(cache.key::<String>(selector).unwrap_err().kind(), ErrorKind::Key);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Declaration, "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_that_is_moved_is_a_change() {
    let world = World::new();
    let moved = Arc::new(AtomicI64::new(1));
    let version = Arc::clone(&moved);
    world.aws.script(move |call| {
        let version = version.load(Ordering::Relaxed);
        let mut parameter = selected(&call.names()[0]);
        parameter["Version"] = version.into();
        parameter["Value"] = format!("version {version}").into();
        Some(Answer::parameters([parameter]))
    });
    let mut builder = world.builder();
    let live = builder.add(ssm::parameter("/app/x").label("live"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(live).await.unwrap(), "version 1");
    // Back as well as forth.
    for version in [3, 2] {
        moved.store(version, Ordering::Relaxed);
        world.clock.advance(MINUTE);
        let value = cache.get(live).await.unwrap();
        assert_eq!(*value, format!("version {version}"));
        assert_eq!(value.version().as_str(), version.to_string());
    }
}

/// As an emulator answers: with no word of the selector that a parameter was found by. Labels `live`
/// and `newest` are on versions 2 and 3; all others are on none.
fn without_selectors(call: &Call) -> Option<Answer> {
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for asked in call.names() {
        let (name, selector) = asked.split_once(':').unwrap_or((&asked, "newest"));
        let version = match selector {
            "live" => Some(2),
            "newest" => Some(3),
            number => number.parse().ok().filter(|it| (1..=3).contains(it)),
        };
        match version {
            Some(version) => {
                let mut parameter = parameter(name, &format!("version {version}"));
                parameter["Version"] = version.into();
                found.push(parameter);
            }
            None => invalid.push(asked),
        }
    }
    let body = json!({ "Parameters": found, "InvalidParameters": invalid });
    Some(Answer::Say(200, body.to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_is_reported_as_invalid_does_not_get_another_versions_value() {
    for gone in ["gone", "9"] {
        let world = World::new();
        world.aws.script(without_selectors);
        let mut builder = world.builder();
        let live = builder.add(ssm::parameter("/app/x").label("live"));
        let gone = builder.add(ssm::parameter("/app/x").label(gone).name("gone").in_background());
        let cache = builder.spawn().await.unwrap();
        assert_eq!(*cache.get(live).await.unwrap(), "version 2");
        let error = cache.get(gone).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn versions_are_told_apart_where_the_answer_does_not_name_their_selectors() {
    let world = World::new();
    world.aws.script(without_selectors);
    let mut builder = world.builder();
    let plain = builder.add(ssm::parameter("/app/x"));
    let first = builder.add(ssm::parameter("/app/x").version(1).name("first"));
    let live = builder.add(ssm::parameter("/app/x").label("live").name("live"));
    let third = builder.add(ssm::parameter("/app/x").version(3).name("third"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let values = [plain, first, live, third].map(|key| snapshot.get(key).unwrap().clone());
    assert_eq!(values, ["version 3", "version 1", "version 2", "version 3"]);
}

/// Rather than a value that may be the other one's.
#[tokio::test(start_paused = true)]
async fn versions_that_cannot_be_told_apart_are_an_error() {
    let world = World::new();
    world.aws.script(without_selectors);
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/x").label("live").name("live"));
    builder.add(ssm::parameter("/app/x").label("newest").name("newest"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others().len(), 2, "{error}");
    assert!(error.to_string().contains("the answer has no value for /app/x:live"), "{error}");
}
