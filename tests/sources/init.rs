//! Init: as few calls as there can be, about one round trip.

use std::time::Duration;

use lambda_cache::sources::{secrets_manager, ssm};
use lambda_cache::{Clock, ErrorKind};

use crate::aws::Answer;
use crate::fixture::World;

#[tokio::test(start_paused = true)]
async fn fifty_parameters_and_twenty_secrets_start_with_five_calls_and_one_in_one_round_trip() {
    let world = World::new();
    let names = |n: usize| (format!("/app/p{n}"), format!("s{n}"));
    for n in 0..50 {
        world.aws.put(&names(n).0, "text").await;
    }
    for n in 0..20 {
        world.aws.put_secret(&names(n).1, "text").await;
    }
    let latency = Duration::from_millis(80);
    world.aws.script(move |_| Some(Answer::Late(latency)));
    let mut builder = world.builder();
    for n in 0..50 {
        builder.add(ssm::parameter(names(n).0));
    }
    for n in 0..20 {
        builder.add(secrets_manager::secret(names(n).1));
    }
    let before = world.clock.now().monotonic();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.clock.now().monotonic() - before, latency);
    let calls = world.aws.calls();
    let of = |operation| calls.iter().filter(|call| call.operation() == operation).count();
    assert_eq!((of("GetParameters"), of("BatchGetSecretValue"), calls.len()), (5, 1, 6));
    assert_eq!(cache.status().api_calls(), 6);
}

/// How many calls there were, and how many attempts the error counts.
async fn calls_and_error(status: u16, code: &'static str) -> (usize, lambda_cache::Error) {
    let world = World::new();
    world.aws.put("/app/x", "1").await;
    world.aws.script(move |_| Some(Answer::error(status, code)));
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/x"));
    let error = builder.spawn().await.unwrap_err();
    (world.aws.calls().len(), error)
}

#[tokio::test(start_paused = true)]
async fn the_sdk_does_not_retry_at_init_where_the_refresher_does() {
    for (status, code) in [(400, "ThrottlingException"), (500, "InternalServerError")] {
        let (calls, error) = calls_and_error(status, code).await;
        let text = error.to_string();
        assert!(calls > 2 && text.contains(&format!("{calls} attempts")), "{calls} calls: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_does_not_accept_is_asked_for_once_at_init() {
    let (calls, error) = calls_and_error(400, "ValidationException").await;
    assert_eq!((calls, error.others()[0].kind()), (1, ErrorKind::Source));
}

#[tokio::test(start_paused = true)]
async fn after_init_the_sdk_retries_what_is_throttled_within_one_fetch() {
    let world = World::new();
    world.aws.put("/app/x", "1").await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|_| Some(Answer::error(400, "ThrottlingException")));
    assert_eq!(cache.refresh(x).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(world.aws.calls().len(), 1 + 3);
}
