//! The main job in one command, with nothing installed: `cargo run --example quickstart`.
//!
//! A function holds four parameters and the result of an async function. It runs in a Lambda that can
//! freeze: the real lambda_runtime and lambda-extension talk to its Runtime API and Extensions API.
//! Parameter Store is winterbaume's, the client is the real AWS SDK. Values change at the source, the
//! environment is frozen for longer than every max age, and the source fails for a while. The timeline
//! shows the age of every value that each invocation saw.
//!
//! It ends with an error if a value was served past its max age, or if anything was in flight when the
//! environment could freeze.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
mod journal;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::LambdaEvent;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use function::Function;
use journal::{Journal, Refreshes};
use support::{Environment, Error};
use world::{NAMES, World};

/// From the start of one invocation to the start of the next.
const PACE: Duration = Duration::from_millis(150);

fn main() -> Result<(), Error> {
    let refreshes = Refreshes::default();
    tracing_subscriber::registry().with(refreshes.clone()).init();
    support::in_lambda(async |environment| {
        let world = World::new(environment.clock.clone()).await;
        let function = function_main(Arc::clone(&world));
        let scenario = Scenario { environment, world, refreshes, journal: Journal::default() };
        support::drive(function, scenario.run()).await
    })
}

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`.
async fn function_main(world: Arc<World>) -> Result<(), Error> {
    let mut builder = world.aws.builder();
    let function = Function::declare(&mut builder, move || Arc::clone(&world).rates());
    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot| async move {
            function.handle(snapshot).await
        })
        .await
}

struct Scenario {
    environment: Environment,
    world: Arc<World>,
    refreshes: Refreshes,
    journal: Journal,
}

impl Scenario {
    async fn run(mut self) -> Result<(), Error> {
        self.environment.lambda.ready().await?;
        println!(
            "the age of each value that an invocation saw; * it had changed, ~ stale, as stale_if_error allows\n"
        );
        self.journal.heading();
        self.environment.log(&format!("init: {}", self.refreshes.take().join(", ")));

        self.environment.log("steady traffic, while values change at the source");
        for n in 0..32 {
            if n % 4 == 1 {
                self.change(n / 4 % NAMES.len()).await;
            }
            self.invoke().await?;
        }

        self.environment.log("values change, and the environment is frozen for 10 minutes");
        for entry in 0..NAMES.len() {
            self.world.change(entry).await;
        }
        self.journal.in_flight_at_a_freeze +=
            self.environment.freeze(&self.world.aws.network, Duration::from_secs(600)).await?;
        self.environment.log("thawed");
        for _ in 0..6 {
            self.invoke().await?;
        }

        self.environment.log("the source fails");
        self.world.aws.network.cut();
        for _ in 0..20 {
            self.invoke().await?;
        }

        self.environment.log("the source answers again");
        self.world.aws.network.repair();
        for entry in 0..NAMES.len() {
            self.change(entry).await;
        }
        for _ in 0..14 {
            self.invoke().await?;
        }

        self.journal.summary(&self.world);
        match self.journal.kept_the_promise() {
            true => Ok(()),
            false => Err("the promise was broken".into()),
        }
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let pace = tokio::time::sleep(PACE);
        let (time, sent) = (self.environment.time(), self.environment.clock.true_now());
        let invocation = self.environment.lambda.invoke(serde_json::json!({})).await?;
        let refreshes = self.refreshes.take();
        self.journal.record(&self.world, time, sent, &invocation, &refreshes);
        pace.await;
        Ok(())
    }

    async fn change(&self, entry: usize) {
        self.world.change(entry).await;
        self.environment.log(&format!("{} changes at the source", NAMES[entry]));
    }
}
