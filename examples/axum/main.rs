//! An axum router behind API Gateway, kept fresh: `cargo run --example axum`.
//!
//! `lambda_http` makes a function of the router, with the cache's layer around it; the extension runs
//! beside it, and the handlers take their snapshots from the router's state. Parameters change while requests come in, the environment is
//! frozen for ten minutes, and a parameter is deleted.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use lambda_cache::Cache;
use lambda_cache::testing::Invocation;
use serde::Deserialize;
use serde_json::json;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;

use function::{Limits, MAX_AGE};
use stage::{Aws, Claims, Error, History, Stage};

/// How long a call takes to Parameter Store and back. A request that waits for one is told by that.
const LATENCY: Duration = Duration::from_millis(100);

fn main() -> Result<(), Error> {
    stage::play(async |stage| {
        let mock = MockAws::builder().with_service(SsmService::new()).build();
        let aws = Aws::new(&mock, &stage.clock, LATENCY);
        let world =
            World { ssm: Client::new(aws.direct()), history: History::default(), aws, stage };
        world.put("/app/greeting", "hello").await?;
        world.put("/app/banner", "all is well").await?;
        world.change_limits().await?;
        let builder = Cache::builder(world.aws.config()).clock(world.stage.clock.clone());
        stage::beside(function::run(builder), demonstrate(&world)).await
    })
}

async fn demonstrate(world: &World) -> Result<(), Error> {
    let World { stage, .. } = world;
    stage.lambda.ready().await?;
    stage.say("requests, while the limits change at their source");
    let (mut outdated, mut waited) = (0, 0);
    for n in 0..24 {
        if n % 4 == 2 {
            world.change_limits().await?;
        }
        let sent = stage.clock.true_now();
        let (response, took) = world.get("/limits").await?;
        let limits: Limits = serde_json::from_str(&response.body)?;
        outdated += usize::from(world.history.outdated_for(limits.requests, sent) >= MAX_AGE);
        waited += usize::from(took > LATENCY / 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.say(&format!("answered 24; {waited} waited, {outdated} saw limits past their max age"));

    stage.say("all parameters change, and the environment is frozen for 10 minutes");
    world.put("/app/greeting", "good morning").await?;
    world.change_limits().await?;
    let in_flight = stage.freeze(&world.aws.network, Duration::from_secs(600)).await?;
    let calls = world.aws.network.calls();
    let (thawed, took) = world.get("/greet/Ada").await?;
    let calls = world.aws.network.calls() - calls;
    let promised = format!("good morning, Ada! At most {} requests.", world.history.newest());
    stage.say(&format!("{} after {} ms, {calls} calls", thawed.body, took.as_millis()));

    stage.say("the banner is deleted");
    world.ssm.delete_parameter().name("/app/banner").send().await?;
    stage.freeze(&world.aws.network, Duration::from_secs(600)).await?;
    let (banner, _) = world.get("/banner").await?;
    let (greeting, _) = world.get("/greet/Ada").await?;
    stage.say(&format!("banner: {}, greeting: {}", banner.status, greeting.status));

    let mut claims = Claims::begin();
    claims.check("no answer was made of a value past its max age", outdated == 0);
    claims.check("no request waited while traffic was steady", waited == 0);
    claims.check("after the freeze the first answer was of new values", thawed.body == promised);
    claims.check("they came in one call", calls == 1);
    claims.check("nothing was in flight at the freeze", in_flight == 0);
    claims.check("what is deleted is unavailable", banner.status == 503);
    claims.check("and nothing else is", greeting.status == 200);
    claims.verdict()
}

/// Parameter Store, and API Gateway.
struct World {
    stage: Stage,
    aws: Aws,
    ssm: Client,
    /// Of the limits, whose number is their version.
    history: History,
}

impl World {
    async fn put(&self, name: &str, value: &str) -> Result<(), Error> {
        let put = self.ssm.put_parameter().name(name).value(value).r#type(ParameterType::String);
        put.overwrite(true).send().await?;
        Ok(())
    }

    async fn change_limits(&self) -> Result<(), Error> {
        let limits = json!({ "requests": self.history.newest() + 1 });
        self.put("/app/limits", &limits.to_string()).await?;
        self.history.record(self.stage.clock.true_now());
        Ok(())
    }

    /// A request, as API Gateway passes it on, and how long the function took to answer it.
    async fn get(&self, path: &str) -> Result<(GatewayResponse, Duration), Error> {
        let request = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": { "host": "api.example.com", "accept": "*/*" },
            "requestContext": {
                "stage": "$default",
                "http": {
                    "method": "GET",
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                },
            },
            "isBase64Encoded": false,
        });
        let invocation = self.stage.lambda.invoke(request).await?;
        Ok((invocation.json()?, handled_in(&invocation)))
    }
}

fn handled_in(Invocation { timings, .. }: &Invocation) -> Duration {
    let handled = timings.responded.zip(timings.handed_over).map(|(end, start)| end - start);
    handled.unwrap_or_default()
}

/// The function's answer, as API Gateway reads it.
#[derive(Debug, Deserialize)]
struct GatewayResponse {
    #[serde(rename = "statusCode")]
    status: u16,
    #[serde(default)]
    body: String,
}
