//! Freezes of the real process, by SIGSTOP, for longer than anything may be kept: a stopped process's
//! timers fire late and all at once, and what it had in flight comes in when it goes on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, setup};

const CONFIG: &str = "parameters: [{names: [p]}]";
/// For everything here.
const MAX_AGE: Duration = Duration::from_secs(1);
const CLIENTS: usize = 20;

impl Sidecar {
    async fn parameter(&self) -> String {
        self.get("/parameters?name=p").await.text().to_owned()
    }

    async fn secret(&self) -> String {
        let reply = self.named("/secretsmanager/get?secretId=s").await;
        reply.json()["SecretString"].as_str().map_or_else(|| reply.text().to_owned(), str::to_owned)
    }
}

async fn put(cloud: &Cloud, value: &str) {
    cloud.put_parameter("p", value).await;
    cloud.put_secret("s", value).await;
}

async fn start(cloud: &Cloud) -> Sidecar {
    put(cloud, "hush 1").await;
    let setup = setup(CONFIG).variable("CACHE_EXTENSION_TTL", "1s");
    setup.variable("SECRETS_MANAGER_TTL", 1).start(cloud).await
}

#[tokio::test]
async fn after_a_freeze_longer_than_the_ttl_the_first_answers_are_fresh_on_both_ports() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    for round in 2..4 {
        sidecar.parameter().await;
        sidecar.secret().await;
        sidecar.stop();
        let value = format!("hush {round}");
        put(&cloud, &value).await;
        tokio::time::sleep(MAX_AGE * 3 / 2).await;
        cloud.aws.calls();
        sidecar.go_on();
        let parameters = join_all((0..CLIENTS).map(|_| sidecar.parameter()));
        let secrets = join_all((0..CLIENTS).map(|_| sidecar.secret()));
        let (parameters, secrets) = tokio::join!(parameters, secrets);
        assert_eq!(parameters, vec![value.clone(); CLIENTS]);
        assert_eq!(secrets, vec![value; CLIENTS]);
        let mut operations = cloud.operations();
        operations.sort();
        assert_eq!(operations, ["GetParameters", "GetSecretValue"], "one call for all who wait");
    }
}

#[tokio::test]
async fn an_answer_that_was_frozen_on_its_way_is_for_those_alone_who_wait_for_it() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    // They know what was true when they were asked, and say it when the process is stopped.
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(300))));
    let waiting = async { tokio::join!(sidecar.parameter(), sidecar.secret()) };
    let freeze = async {
        cloud.called(2).await;
        sidecar.stop();
        tokio::time::sleep(MAX_AGE * 3 / 2).await;
        put(&cloud, "hush 2").await;
        cloud.aws.heal();
        sidecar.go_on();
    };
    let (answers, ()) = tokio::join!(waiting, freeze);
    // Nobody was asked before they asked, so either will do.
    for answer in <[String; 2]>::from(answers) {
        assert!(["hush 1", "hush 2"].contains(&&*answer), "{answer}");
    }
    assert_eq!(
        (sidecar.parameter().await, sidecar.secret().await),
        ("hush 2".into(), "hush 2".into())
    );
}

#[tokio::test]
async fn no_answer_is_older_than_its_ttl_while_values_change() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let number = |value: &str| value.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    // When each value came to be, at the latest; the first is that of "hush 1".
    let history = std::sync::Mutex::new(vec![Instant::now()]);
    let change = async {
        for n in 2..30 {
            put(&cloud, &format!("hush {n}")).await;
            history.lock().unwrap().push(Instant::now());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let read = async {
        let mut seen = [0; 2];
        loop {
            let asked = Instant::now();
            for (at, value) in
                [sidecar.parameter().await, sidecar.secret().await].iter().enumerate()
            {
                let n = number(value);
                assert!(n >= seen[at], "{value} after {}", seen[at]);
                seen[at] = n;
                let successor = history.lock().unwrap().get(n).copied();
                let outdated = successor.map(|since| asked.saturating_duration_since(since));
                assert!(outdated.unwrap_or_default() < MAX_AGE, "{value} for {outdated:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = change => {}
        never = read => never,
    }
    let calls = cloud.aws.calls().len();
    assert!((4..40).contains(&calls), "{calls} calls in three seconds");
}

#[tokio::test]
async fn what_is_due_is_refreshed_ahead_so_that_no_request_waits_for_a_source() {
    let latency = Duration::from_millis(250);
    let cloud = Cloud::start().await;
    put(&cloud, "hush 1").await;
    let setup = setup(CONFIG).variable("CACHE_EXTENSION_TTL", "2s");
    let sidecar = setup.variable("SECRETS_MANAGER_TTL", 2).start(&cloud).await;
    sidecar.parameter().await;
    sidecar.secret().await;
    cloud.aws.script(move |_| Some(Answer::Late(latency)));
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < 2 * MAX_AGE * 2 {
        let asked = Instant::now();
        let values = (sidecar.parameter().await, sidecar.secret().await);
        longest = longest.max(asked.elapsed());
        assert_eq!(values, ("hush 1".to_owned(), "hush 1".to_owned()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(longest < latency, "{longest:?}");
    let operations = cloud.operations();
    for operation in ["GetParameters", "GetSecretValue"] {
        assert!(operations.iter().filter(|it| *it == operation).count() >= 2, "{operations:?}");
    }
}
