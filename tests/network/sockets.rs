//! Real sockets that die while the environment is frozen, and what is read after the thaw.

use std::time::Duration;

use aws_sdk_s3::types::CreateBucketConfiguration;
use futures_util::future::join_all;
use lambda_cache::sources::{freeze_safe, s3};
use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Cache, Key, Mode};

use crate::aws::HOME;
use crate::cloud::Cloud;
use crate::config;
use crate::relay::{Death, Relay};

const SECOND: Duration = Duration::from_secs(1);

/// How many sockets are in use at once before the freeze.
const SOCKETS: [usize; 3] = [1, 3, 20];

struct World {
    cloud: Cloud,
    relay: Relay,
    clock: TestClock,
}

impl World {
    async fn new() -> Self {
        let cloud = Cloud::start().await;
        let relay = Relay::to(&cloud.endpoint).await;
        Self { cloud, relay, clock: TestClock::new() }
    }

    fn builder(&self) -> Builder {
        Cache::builder(&config(&self.relay.endpoint))
            .clock(self.clock.clone())
            .mode(Mode::OnDemand)
            .seed(1)
    }

    /// A cache of so many objects, each of which has come over a socket of its own.
    async fn objects(&self, sockets: usize) -> (Cache, Vec<Key<String>>) {
        let s3 = aws_sdk_s3::Client::new(&self.cloud.aws.direct(HOME));
        let here = CreateBucketConfiguration::builder().location_constraint(HOME.into()).build();
        let bucket = s3.create_bucket().bucket("conf").create_bucket_configuration(here);
        bucket.send().await.unwrap();
        for n in 0..sockets {
            let object = s3.put_object().bucket("conf").key(n.to_string());
            object.body(Vec::from("text").into()).send().await.unwrap();
        }
        let mut builder = self.builder();
        let object = |n| s3::object(format!("s3://conf/{n}")).text();
        let keys = (0..sockets).map(|n| builder.add(object(n))).collect();
        self.relay.together(sockets);
        let cache = builder.spawn().await.unwrap();
        self.relay.together(0);
        assert_eq!(self.relay.opened(), sockets);
        (cache, keys)
    }
}

/// Runs a test for every number of sockets and every way in which they die.
async fn each<F: Future<Output = ()>>(test: impl Fn(usize, Death) -> F) {
    let cases = SOCKETS.into_iter().flat_map(|it| Death::ALL.map(|death| (it, death)));
    join_all(cases.map(|(sockets, death)| test(sockets, death))).await;
}

#[tokio::test]
async fn after_a_freeze_no_request_goes_to_a_socket_from_before_it() {
    each(async |sockets, death| {
        let world = World::new().await;
        let (cache, keys) = world.objects(sockets).await;
        world.relay.die(death);
        world.clock.freeze(600 * SECOND);
        let snapshot = cache.snapshot().await;
        for key in keys {
            snapshot.get(key).unwrap();
        }
        assert_eq!(world.relay.lost(), 0, "{sockets} sockets, {death:?}");
    })
    .await;
}

#[tokio::test]
async fn after_a_freeze_that_no_clock_saw_one_request_at_most_is_lost() {
    each(async |sockets, death| {
        let world = World::new().await;
        let (cache, keys) = world.objects(sockets).await;
        world.relay.die(death);
        for key in keys {
            cache.refresh(key).await.unwrap();
        }
        assert!(world.relay.lost() <= 1, "{} of {sockets}, {death:?}", world.relay.lost());
    })
    .await;
}

#[tokio::test]
async fn what_is_read_at_once_after_such_a_freeze_loses_one_request_at_most() {
    each(async |sockets, death| {
        let world = World::new().await;
        let (cache, keys) = world.objects(sockets).await;
        world.relay.die(death);
        for refreshed in join_all(keys.iter().map(|&key| cache.refresh(key))).await {
            refreshed.unwrap();
        }
        assert!(world.relay.lost() <= 1, "{} of {sockets}, {death:?}", world.relay.lost());
    })
    .await;
}

#[tokio::test]
async fn a_client_in_a_memos_function_loses_one_request_at_most() {
    each(async |sockets, death| {
        let world = World::new().await;
        let client =
            aws_sdk_secretsmanager::Client::new(&freeze_safe(&config(&world.relay.endpoint)));
        let cache = world.builder().spawn().await.unwrap();
        let secrets = cache
            .memo("secrets", move |id: String| {
                let secret = client.get_secret_value().secret_id(id).send();
                async move { secret.await.map(|it| it.secret_string.unwrap_or_default()) }
            })
            .build()
            .unwrap();
        let names: Vec<_> = (0..sockets).map(|n| n.to_string()).collect();
        let direct = aws_sdk_secretsmanager::Client::new(&world.cloud.aws.direct(HOME));
        for name in &names {
            direct.create_secret().name(name).secret_string("text").send().await.unwrap();
        }
        world.relay.together(sockets);
        for read in join_all(names.iter().map(|name| secrets.get(name))).await {
            read.unwrap();
        }
        assert_eq!(world.relay.opened(), sockets);
        world.relay.together(0);
        world.relay.die(death);
        for name in &names {
            secrets.refresh(name).await.unwrap();
        }
        assert!(world.relay.lost() <= 1, "{} of {sockets}, {death:?}", world.relay.lost());
    })
    .await;
}

#[tokio::test]
async fn a_socket_is_used_again_until_either_clock_calls_it_idle_for_too_long() {
    let world = World::new().await;
    let (cache, keys) = world.objects(1).await;
    let refresh = async |opened: usize, what| {
        cache.refresh(keys[0]).await.unwrap();
        assert_eq!(world.relay.opened(), opened, "{what}");
    };
    world.clock.advance(14 * SECOND);
    refresh(1, "14 s without a freeze").await;
    world.clock.advance(15 * SECOND);
    refresh(2, "15 s by both clocks").await;
    world.clock.freeze(Duration::from_millis(900));
    refresh(2, "a freeze of less than a second").await;
    world.clock.freeze(2 * SECOND);
    refresh(3, "a freeze").await;
    world.clock.step_back(2 * SECOND);
    refresh(4, "a wall clock that was set back proves nothing").await;
}
