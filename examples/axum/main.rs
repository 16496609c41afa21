//! An axum router behind API Gateway, kept fresh: `cargo run --example axum`.
//!
//! `lambda_http` turns the router into a function, with the cache's layer around it and the extension
//! beside it. The handlers find the cache in the router's state. Parameters change while requests come
//! in, the environment is frozen for ten minutes, and a parameter is deleted.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use lambda_cache::testing::Invocation;
use serde::Deserialize;
use serde_json::json;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;

use function::{Limits, MAX_AGE};
use support::{Aws, Checks, Environment, Error, History};

/// How long a call to Parameter Store takes. A request that takes about as long has waited for one.
const LATENCY: Duration = Duration::from_millis(100);

fn main() -> Result<(), Error> {
    support::in_lambda(async |environment| {
        let mock = MockAws::builder().with_service(SsmService::new()).build();
        let aws = Aws::new(&mock, &environment.clock, LATENCY);
        let world =
            World { ssm: Client::new(aws.direct()), history: History::default(), aws, environment };
        world.put("/app/greeting", "hello").await?;
        world.put("/app/banner", "all is well").await?;
        world.change_limits().await?;
        support::drive(function::run(world.aws.builder()), scenario(&world)).await
    })
}

async fn scenario(world: &World) -> Result<(), Error> {
    let World { environment, .. } = world;
    environment.lambda.ready().await?;
    environment.log("requests, while the limits change at their source");
    let (mut outdated, mut waited) = (0, 0);
    for n in 0..24 {
        if n % 4 == 2 {
            world.change_limits().await?;
        }
        let sent = environment.clock.true_now();
        let (response, took) = world.get("/limits").await?;
        let limits: Limits = serde_json::from_str(&response.body)?;
        outdated += usize::from(world.history.outdated_for(limits.requests, sent) >= MAX_AGE);
        waited += usize::from(took > LATENCY / 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    environment
        .log(&format!("answered 24; {waited} waited, {outdated} saw limits past their max age"));

    environment.log("all parameters change, and the environment is frozen for 10 minutes");
    world.put("/app/greeting", "good morning").await?;
    world.change_limits().await?;
    let in_flight = environment.freeze(&world.aws.network, Duration::from_secs(600)).await?;
    let calls = world.aws.network.calls();
    let (thawed, took) = world.get("/greet/Ada").await?;
    let calls = world.aws.network.calls() - calls;
    let promised = format!("good morning, Ada! At most {} requests.", world.history.newest());
    environment.log(&format!("{} after {} ms, {calls} calls", thawed.body, took.as_millis()));

    environment.log("the banner is deleted");
    world.ssm.delete_parameter().name("/app/banner").send().await?;
    environment.freeze(&world.aws.network, Duration::from_secs(600)).await?;
    let (banner, _) = world.get("/banner").await?;
    let (greeting, _) = world.get("/greet/Ada").await?;
    environment.log(&format!("banner: {}, greeting: {}", banner.status, greeting.status));

    let mut checks = Checks::begin();
    checks.check("no answer used a value past its max age", outdated == 0);
    checks.check("no request waited for a fetch while traffic was steady", waited == 0);
    checks.check("the first answer after the freeze used the new values", thawed.body == promised);
    checks.check("the new values were fetched in one call", calls == 1);
    checks.check("nothing was in flight at the freeze", in_flight == 0);
    checks.check("the deleted parameter is unavailable", banner.status == 503);
    checks.check("the others are still available", greeting.status == 200);
    checks.finish()
}

/// The function's callers, and Parameter Store.
struct World {
    environment: Environment,
    aws: Aws,
    ssm: Client,
    /// The history of the limits, whose number is their version.
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
        self.history.record(self.environment.clock.true_now());
        Ok(())
    }

    /// Sends a request as API Gateway does. Returns the answer, and how long the function took for it.
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
        let invocation = self.environment.lambda.invoke(request).await?;
        Ok((invocation.json()?, handling_time(&invocation)))
    }
}

fn handling_time(Invocation { timings, .. }: &Invocation) -> Duration {
    let handled = timings.responded.zip(timings.handed_over).map(|(end, start)| end - start);
    handled.unwrap_or_default()
}

/// The function's answer, in API Gateway's format.
#[derive(Debug, Deserialize)]
struct GatewayResponse {
    #[serde(rename = "statusCode")]
    status: u16,
    #[serde(default)]
    body: String,
}
