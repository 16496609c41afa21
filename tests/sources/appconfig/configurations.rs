//! What a configuration is decoded to, and when a change of it is seen.

use std::sync::Arc;

use lambda_cache::ErrorKind;
use lambda_cache::sources::appconfig;
use serde::Deserialize;

use super::store::{Deployed, operations};
use crate::fixture::{First, MINUTE, World};
use crate::steps::{Reading, Steps};

#[derive(Debug, Deserialize)]
struct Settings {
    limit: u32,
}

const FLAGS: &str = r#"{"checkout": {"enabled": true, "limit": 7}, "search": {"enabled": false}}"#;

fn configuration() -> lambda_cache::sources::Entry<appconfig::OneConfiguration, bytes::Bytes> {
    appconfig::configuration("shop", "production", "settings")
}

#[tokio::test(start_paused = true)]
async fn a_configuration_changes_at_exactly_its_max_age() {
    for reading in [Reading::Snapshot, Reading::Get, Reading::Invocation(First::Handler)] {
        let world = World::new();
        let deployed = Deployed::in_world(&world, "old");
        let change = async |n: usize| deployed.deploy(["old", "new"][n]);
        let entry = configuration().text();
        let values = ["old".to_owned(), "new".to_owned()];
        Steps { age: MINUTE, reading }.run(&world, entry, change, String::clone, values).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_session_serves_all_entries_of_a_configuration() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, r#"{"limit": 7}"#);
    let mut builder = world.builder();
    let bytes = builder.add(configuration());
    let text = builder.add(configuration().text().name("text"));
    let json = builder.add(configuration().json::<Settings>().name("json"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(&snapshot.get(bytes).unwrap()[..], br#"{"limit": 7}"#);
    assert_eq!(snapshot.get(text).unwrap(), r#"{"limit": 7}"#);
    assert_eq!(snapshot.get(json).unwrap().limit, 7);
    assert_eq!(operations(&world.aws.calls()), "SG");
    for n in 0..3 {
        deployed.deploy(format!(r#"{{"limit": {n}}}"#));
        world.clock.advance(MINUTE);
        assert_eq!(cache.snapshot().await.get(json).unwrap().limit, n);
    }
    assert_eq!(operations(&world.aws.calls()), "GGG");
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_a_revalidation() {
    let world = World::new();
    Deployed::in_world(&world, r#"{"limit": 7}"#);
    let mut builder = world.builder();
    let json = builder.add(configuration().json::<Settings>());
    let cache = builder.spawn().await.unwrap();
    let first = cache.get(json).await.unwrap();
    world.clock.advance(MINUTE);
    let second = cache.get(json).await.unwrap();
    assert!(second.age() < MINUTE);
    assert!(Arc::ptr_eq(&first.into_inner(), &second.into_inner()));
    assert_eq!(operations(&world.aws.calls()), "SGG");
}

#[tokio::test(start_paused = true)]
async fn flags_are_found_by_name_and_a_missing_one_is_an_error() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, FLAGS);
    let mut builder = world.builder();
    let checkout = builder.add(configuration().flag("checkout").name("checkout"));
    let search = builder.add(configuration().flag("search").name("search"));
    let all = builder.add(configuration().flags().name("all"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    let flag = snapshot.get(checkout).unwrap();
    assert!(flag.is_enabled() && flag.attribute::<u32>("limit") == Ok(Some(7)));
    assert!(!snapshot.get(search).unwrap().is_enabled());
    assert!(snapshot.get(all).unwrap().names().eq(["checkout", "search"]));
    deployed.deploy(r#"{"search": {"enabled": true}}"#);
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert!(snapshot.get(search).unwrap().is_enabled());
    let error = snapshot.get(checkout).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("no flag `checkout`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_version_is_the_contents_and_shows_its_label() {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "a");
    deployed.label("v1");
    let mut builder = world.builder();
    let text = builder.add(configuration().text());
    let cache = builder.spawn().await.unwrap();
    let first = cache.get(text).await.unwrap().version().clone();
    assert!(first.as_str().starts_with("v1 "), "{first}");
    deployed.deploy("b");
    world.clock.advance(MINUTE);
    assert_ne!(*cache.get(text).await.unwrap().version(), first);
    deployed.deploy("a");
    world.clock.advance(MINUTE);
    assert_eq!(*cache.get(text).await.unwrap().version(), first);
}

/// In the format that AppConfig sends, binary or text, and in the one that it is given.
#[tokio::test(start_paused = true)]
async fn flags_with_variants_are_an_error_that_says_what_they_are_and_what_to_do() {
    let text = br#"checkout::[
        US::[(eq $country "US"), '''{"_variant":"US","enabled":true,"limit":7}'''],
        '''{"_variant":"default","enabled":false}'''
    ]
    search::'''{"enabled":true}'''"#;
    let json = br#"{
        "checkout": {"_variants": [{"name": "default", "enabled": true, "limit": 7}]},
        "search": {"enabled": true}
    }"#;
    for content in [&b"\xE0\x01\x00\xEA\xEE\x87\x81\x83\xDE\x83\x87\xB1\x81a"[..], text, json] {
        let world = World::new();
        let deployed = Deployed::in_world(&world, FLAGS);
        let mut builder = world.builder();
        let checkout = builder.add(configuration().flag("checkout").name("checkout"));
        let search = builder.add(configuration().flag("search").name("search"));
        let all = builder.add(configuration().flags().name("all"));
        let bytes = builder.add(configuration().name("bytes"));
        let cache = builder.spawn().await.unwrap();
        deployed.deploy(content);
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        let errors = [
            snapshot.get(checkout).unwrap_err(),
            snapshot.get(search).unwrap_err(),
            snapshot.get(all).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Decode);
            let text = error.to_string();
            for part in ["has variants", "Amazon Ion", "AppConfig Agent", "profile of their own"] {
                assert!(text.contains(part), "{text} lacks {part}");
            }
            assert!(!text.contains('7'), "{text}");
        }
        assert_eq!(snapshot.get(bytes).unwrap(), content, "as bytes it can be had");
        deployed.deploy(FLAGS);
        world.clock.advance(MINUTE);
        assert!(cache.snapshot().await.get(checkout).unwrap().is_enabled());
    }
}
