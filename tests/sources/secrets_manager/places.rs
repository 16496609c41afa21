//! Secrets of other regions and accounts.

use lambda_cache::sources::secrets_manager;
use lambda_cache::{Clock, ErrorKind};
use secrecy::ExposeSecret;
use serde_json::json;

use super::store::{say, value};
use crate::aws::{Answer, Call, HOME};
use crate::fixture::{HOUR, MINUTE, World};
use crate::roles::{READER, assume_role};

/// As the service answers: each secret's text says who read it where.
fn secrets(call: &Call) -> Answer {
    let text = format!("{} in {}", call.access_key, call.region);
    let mut all: Vec<_> = call.secrets().iter().map(|name| value(name, &text, 1)).collect();
    match call.operation() {
        "BatchGetSecretValue" => say(json!({ "SecretValues": all })),
        _ => say(all.remove(0)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_and_a_role_reach_every_operation() {
    let world = World::new();
    let clock = world.clock.clone();
    world.aws.script(move |call| match &*call.service {
        "sts" => Some(assume_role(call, clock.now().wall() + 24 * HOUR)),
        _ => Some(secrets(call)),
    });
    let mut builder = world.builder();
    let secret = |name: &str| secrets_manager::secret(name);
    let there = |name: &str| secret(name).region("us-east-1").assume_role(READER);
    let home = builder.add(secret("a"));
    let away = builder.add(secret("a").region("us-east-1").name("away"));
    let theirs = [builder.add(there("b")), builder.add(there("c"))];
    let pair = builder.add(there("d").version_stage("AWSPENDING").follow_rotation());
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert!(snapshot.get(home).unwrap().expose_secret().ends_with(&format!("in {HOME}")));
    assert!(!snapshot.get(home).unwrap().expose_secret().contains("reader"));
    assert!(snapshot.get(away).unwrap().expose_secret().ends_with("in us-east-1"));
    for key in [theirs[0], theirs[1], pair] {
        assert_eq!(snapshot.get(key).unwrap().expose_secret(), "reader in us-east-1");
    }
    let calls = world.aws.calls();
    let theirs = calls.iter().filter(|call| call.access_key == "reader");
    let mut theirs: Vec<_> = theirs.map(|call| (call.operation(), &*call.region)).collect();
    theirs.sort();
    let operations = ["BatchGetSecretValue", "DescribeSecret", "GetSecretValue"];
    assert_eq!(theirs, operations.map(|operation| (operation, "us-east-1")));
}

/// STS refused the role; the batch operation was never asked.
#[tokio::test(start_paused = true)]
async fn a_role_that_is_refused_does_not_end_batching() {
    let world = World::new();
    let clock = world.clock.clone();
    world.aws.script(|call| match &*call.service {
        "sts" => Some(Answer::Say(
            403,
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
             <Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>"
                .to_owned(),
        )),
        _ => Some(secrets(call)),
    });
    let mut builder = world.builder();
    let secret = |name: &str| secrets_manager::secret(name).assume_role(READER).lazy();
    let keys = [builder.add(secret("a")), builder.add(secret("b"))];
    let cache = builder.spawn().await.unwrap();
    let (a, b) = tokio::join!(cache.get(keys[0]), cache.get(keys[1]));
    let kinds = [a, b].map(|it| it.map(|_| ()).unwrap_err().kind());
    assert_eq!(kinds, [ErrorKind::Denied; 2]);
    world.aws.script(move |call| match &*call.service {
        "sts" => Some(assume_role(call, clock.now().wall() + 24 * HOUR)),
        _ => Some(secrets(call)),
    });
    world.clock.advance(MINUTE);
    world.aws.calls();
    let (a, b) = tokio::join!(cache.get(keys[0]), cache.get(keys[1]));
    assert_eq!(a.unwrap().expose_secret(), b.unwrap().expose_secret());
    let calls = world.aws.calls();
    let batch = calls.iter().filter(|call| call.operation() == "BatchGetSecretValue");
    assert_eq!(batch.count(), 1, "{calls:?}");
}
