//! Init: as few calls as there can be, about one round trip.

use std::time::Duration;

use lambda_cache::Clock;
use lambda_cache::sources::{secrets_manager, ssm};

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
