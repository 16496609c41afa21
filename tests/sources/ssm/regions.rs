//! Entries of another region have a client and calls of their own.

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::sources::ssm;

use crate::aws::{Answer, Call, HOME};
use crate::fixture::{MINUTE, World};

const REGIONS: [&str; 3] = [HOME, "us-east-1", "ap-southeast-2"];

/// A world in which each parameter's value says where it is.
async fn world() -> World {
    let world = World::new();
    put(&world, "").await;
    world
}

async fn put(world: &World, suffix: &str) {
    for region in REGIONS {
        for name in ["/app/x", "/app/y"] {
            let value = format!("{name} of {region}{suffix}");
            world.aws.put_in(region, ParameterType::String, name, &value).await;
        }
    }
}

fn regions(calls: &[Call]) -> Vec<&str> {
    let mut regions: Vec<&str> = calls.iter().map(|call| &*call.region).collect();
    regions.sort();
    regions
}

#[tokio::test(start_paused = true)]
async fn two_regions_are_two_calls_and_each_entry_has_its_own_regions_value() {
    let world = world().await;
    let mut builder = world.builder();
    let home = builder.add(ssm::parameter("/app/x"));
    let away = builder.add(ssm::parameter("/app/x").region("us-east-1").name("away"));
    let other = builder.add(ssm::parameter("/app/y").region("us-east-1"));
    let cache = builder.spawn().await.unwrap();
    for suffix in ["", " anew"] {
        put(&world, suffix).await;
        world.clock.advance(MINUTE);
        world.aws.calls();
        let snapshot = cache.snapshot().await;
        assert_eq!(*snapshot.get(home).unwrap(), format!("/app/x of {HOME}{suffix}"));
        assert_eq!(*snapshot.get(away).unwrap(), format!("/app/x of us-east-1{suffix}"));
        assert_eq!(*snapshot.get(other).unwrap(), format!("/app/y of us-east-1{suffix}"));
        assert_eq!(regions(&world.aws.calls()), [HOME, "us-east-1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn groups_and_paths_have_regions_too() {
    let world = world().await;
    let mut builder = world.builder();
    let group = ssm::parameters(["/app/x", "/app/y"]).name("group").region("us-east-1");
    let group = builder.add(group);
    let tree = builder.add(ssm::path("/app/").region("ap-southeast-2").name("tree"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(group).unwrap().get("y"), Some("/app/y of us-east-1"));
    assert_eq!(snapshot.get(tree).unwrap().get("y"), Some("/app/y of ap-southeast-2"));
    assert_eq!(regions(&world.aws.calls()), ["ap-southeast-2", "us-east-1"]);
}

#[tokio::test(start_paused = true)]
async fn one_region_that_fails_takes_no_other_down() {
    let world = world().await;
    let mut builder = world.builder();
    let home = builder.add(ssm::parameter("/app/x"));
    let away = builder.add(ssm::parameter("/app/y").region("us-east-1"));
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    world.aws.script(|call| {
        (call.region == "us-east-1").then(|| Answer::error(400, "AccessDeniedException"))
    });
    let snapshot = cache.snapshot().await;
    assert!(snapshot.get(home).is_ok());
    assert_eq!(snapshot.get(away).unwrap_err().entry(), Some("y"));
}

#[tokio::test(start_paused = true)]
async fn the_configurations_own_region_by_name_is_no_other_region() {
    let world = world().await;
    let mut builder = world.builder();
    let unsaid = builder.add(ssm::parameter("/app/x"));
    let said = builder.add(ssm::parameter("/app/y").region(HOME));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(*snapshot.get(unsaid).unwrap(), format!("/app/x of {HOME}"));
    assert_eq!(*snapshot.get(said).unwrap(), format!("/app/y of {HOME}"));
    let calls = world.aws.calls();
    assert_eq!(regions(&calls), [HOME], "entries of one region share a client and batches");
}
