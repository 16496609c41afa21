//! A source that is away, slow, or asks for fewer requests.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::aws::Answer;
use crate::client::Reply;
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, setup};

const MAX_AGE: Duration = Duration::from_secs(1);
const SECRET: &str = "/secretsmanager/get?secretId=s";
const PARAMETER: &str = "/parameters?name=p";

async fn start(cloud: &Cloud, options: &str) -> Sidecar {
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    let setup = setup(&format!("parameters: [{{names: [p], max_age: 1s{options}}}]"));
    setup.variable("SECRETS_MANAGER_TTL", 1).start(cloud).await
}

async fn both(sidecar: &Sidecar) -> [Reply; 2] {
    [sidecar.get(PARAMETER).await, sidecar.named(SECRET).await]
}

#[tokio::test]
async fn what_is_fresh_is_served_while_its_source_is_away_and_nothing_older() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, "").await;
    assert_eq!(both(&sidecar).await.map(|it| it.status), [200, 200]);
    cloud.aws.script(|_| Some(Answer::Break));
    assert_eq!(both(&sidecar).await.map(|it| it.status), [200, 200]);
    tokio::time::sleep(MAX_AGE).await;
    let [parameter, secret] = both(&sidecar).await;
    assert_eq!((parameter.status, parameter.text()), (502, "No data found"));
    assert!(parameter.header("x-lambda-cache-error").unwrap().contains("max age 1s"));
    assert_eq!((secret.status, &secret.json()["__type"]), (502, &"ConnectionError".into()));
    cloud.aws.heal();
    assert_eq!(sidecar.named(SECRET).await.status, 200);
    // A declared one backs off first.
    let healed = async {
        while sidecar.get(PARAMETER).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), healed).await.expect("it tries again");
}

#[tokio::test]
async fn what_may_be_served_stale_says_so_and_how_old_it_is() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, ", stale_if_error: 1h").await;
    assert_eq!(sidecar.get(PARAMETER).await.header("x-lambda-cache-stale"), None);
    cloud.aws.script(|_| Some(Answer::Break));
    tokio::time::sleep(MAX_AGE).await;
    let reply = sidecar.get(PARAMETER).await;
    assert_eq!((reply.status, reply.text()), (200, "hush"));
    let age: u64 = reply.header("x-lambda-cache-stale").unwrap().parse().unwrap();
    assert!((1..20).contains(&age), "{age}");
}

#[tokio::test]
async fn while_a_source_is_slow_requests_for_one_thing_share_a_call_and_hits_do_not_wait() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, "").await;
    cloud.put_secret("other", "hush").await;
    let other = "/secretsmanager/get?secretId=other&versionStage=AWSCURRENT";
    sidecar.named(other).await;
    cloud.aws.calls();
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(400))));
    let parameters = join_all((0..30).map(|_| sidecar.get(PARAMETER)));
    let secrets = join_all((0..30).map(|_| sidecar.named(SECRET)));
    let hit = async {
        cloud.called(2).await;
        let reply = sidecar.named(other).await;
        (reply, cloud.in_flight())
    };
    let (parameters, secrets, (hit, in_flight)) = tokio::join!(parameters, secrets, hit);
    assert!(parameters.iter().chain(&secrets).all(|it| it.status == 200));
    assert_eq!((hit.status, in_flight), (200, 2), "it was answered while both were under way");
    assert_eq!(cloud.operations(), [""; 0], "those two, and no more");
}

#[tokio::test]
async fn a_service_that_asks_for_fewer_requests_is_heard() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, "").await;
    cloud.aws.fail(400, "ThrottlingException");
    let [parameter, secret] = both(&sidecar).await;
    assert_eq!((parameter.status, parameter.text()), (503, "No data found"));
    assert_eq!((secret.status, &secret.json()["__type"]), (400, &"ThrottlingException".into()));
    cloud.aws.calls();
    let again = join_all((0..20).map(|_| sidecar.get(PARAMETER))).await;
    assert!(again.iter().all(|it| it.status == 503));
    let calls = cloud.aws.calls().len();
    assert!(calls < 20, "{calls} calls for 20 requests: it backs off");
}

#[tokio::test]
async fn no_more_requests_are_under_way_to_a_service_than_there_may_be() {
    let cloud = Cloud::start().await;
    let setup = setup("").variable("PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS", 2);
    let sidecar = setup.start(&cloud).await;
    for n in 0..6 {
        cloud.put_secret(&format!("s{n}"), "hush").await;
    }
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(50))));
    let asked = (0..6).map(|n| {
        let sidecar = &sidecar;
        async move { sidecar.named(&format!("/secretsmanager/get?secretId=s{n}")).await }
    });
    let watch = async {
        let mut most = 0;
        loop {
            most = most.max(cloud.in_flight());
            assert!(most <= 2, "{most} at once");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let replies = tokio::select! {
        replies = join_all(asked) => replies,
        never = watch => never,
    };
    assert!(replies.iter().all(|it| it.status == 200));
}

#[tokio::test]
async fn what_hangs_does_not_delay_what_does_not() {
    let cloud = Cloud::start().await;
    // As many at once as there are by default.
    let sidecar = setup("").start(&cloud).await;
    cloud.put_secret("well", "hush").await;
    cloud.aws.script(|call| call.text.contains("hangs").then_some(Answer::Never));
    let hanging = (0..3).map(|n| {
        let sidecar = &sidecar;
        async move { sidecar.named(&format!("/secretsmanager/get?secretId=hangs{n}")).await }
    });
    let well = async {
        cloud.called(3).await;
        let asked = Instant::now();
        let reply = sidecar.named("/secretsmanager/get?secretId=well").await;
        (reply, asked.elapsed())
    };
    let (reply, took) = tokio::select! {
        found = well => found,
        hung = join_all(hanging) => panic!("those were first: {hung:?}"),
    };
    assert_eq!(reply.json()["SecretString"], "hush");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn each_declared_thing_has_its_own_time_out() {
    let cloud = Cloud::start().await;
    let config = "
parameters: [{names: [p], timeout: 300ms}]
secrets: [{names: [s], timeout: 8s}]
";
    let sidecar = setup(config).start(&cloud).await;
    cloud.aws.script(|_| Some(Answer::Never));
    let ask = async |path: &str| {
        let asked = Instant::now();
        let reply = sidecar.get(path).await;
        assert_eq!((reply.status, reply.text()), (504, "No data found"), "{path}");
        let reason = reply.header("x-lambda-cache-error").unwrap().to_owned();
        (reason, asked.elapsed())
    };
    let (reason, took) = ask(PARAMETER).await;
    assert!(reason.contains("300") && took < Duration::from_secs(2), "{took:?}: {reason}");
    // Its attempts, which have a time-out each, come to no more than about five seconds.
    let (_, took) = ask("/secrets?name=s").await;
    assert!(took > Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn no_more_bytes_are_kept_than_there_may_be() {
    let cloud = Cloud::start().await;
    let setup = setup("").variable("LAMBDA_CACHE_MAX_BYTES", 10_000);
    let sidecar = setup.start(&cloud).await;
    let get = async |name: &str| {
        let reply = sidecar.named(&format!("/secretsmanager/get?secretId={name}")).await;
        assert_eq!(reply.status, 200, "{name}");
        cloud.operations().len()
    };
    cloud.put_secret("large", &"hush".repeat(3000)).await;
    assert_eq!([get("large").await, get("large").await], [1, 1], "served, and not kept");
    for n in 0..4 {
        cloud.put_secret(&format!("s{n}"), &"hush".repeat(1000)).await;
    }
    assert_eq!([get("s0").await, get("s0").await], [1, 0], "what fits is kept");
    let mut calls = 0;
    for _ in 0..3 {
        for n in 0..4 {
            calls += get(&format!("s{n}")).await;
        }
    }
    assert!(calls >= 6, "{calls} calls for 12 requests of 17 kB, where 10 kB may be kept");
}

#[tokio::test]
async fn no_more_is_kept_than_there_may_be() {
    let cloud = Cloud::start().await;
    let setup = setup("").variable("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", 5);
    let sidecar = setup.start(&cloud).await;
    for n in 0..20 {
        cloud.put_secret(&format!("s{n}"), "hush").await;
    }
    for _ in 0..2 {
        for n in 0..20 {
            sidecar.named(&format!("/secretsmanager/get?secretId=s{n}")).await;
        }
    }
    let calls = cloud.aws.calls().len();
    assert!((35..=40).contains(&calls), "{calls} calls for 40 requests of 20 things");
}
