//! The main job in one command, with nothing installed: `cargo run --example quickstart`.
//!
//! A function holds four parameters and the result of an async function. A Lambda that can freeze
//! runs it: the real lambda_runtime and lambda-extension talk to its Runtime API and Extensions API.
//! Parameter Store is winterbaume's, the client is the real AWS SDK. Values change at the source; the
//! environment is frozen for longer than every max age; the source is away for a while. The timeline
//! shows the age of every value each invocation saw.
//!
//! It ends with an error if a value was served past its max age, or anything was in flight when the
//! environment could have been frozen.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod function;
mod journal;
#[path = "../stage/mod.rs"]
mod stage;
mod world;

use std::sync::Arc;
use std::time::Duration;

use lambda_cache::Cache;
use lambda_cache::testing::TestClock;
use lambda_runtime::LambdaEvent;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use function::Function;
use journal::{Journal, Refreshes};
use stage::{Error, Stage};
use world::{NAMES, World};

/// From the start of one invocation to the start of the next.
const PACE: Duration = Duration::from_millis(150);

fn main() -> Result<(), Error> {
    let refreshes = Refreshes::default();
    tracing_subscriber::registry().with(refreshes.clone()).init();
    stage::play(async |stage| {
        let world = World::new(stage.clock.clone()).await;
        let function = function_main(Arc::clone(&world), stage.clock.clone());
        let demonstration = Demonstration { stage, world, refreshes, journal: Journal::default() };
        stage::beside(function, demonstration.run()).await
    })
}

/// What a function's `main` does.
async fn function_main(world: Arc<World>, clock: TestClock) -> Result<(), Error> {
    let mut builder = Cache::builder(world.aws.config()).clock(clock);
    let function = Function::declare(&mut builder, move || Arc::clone(&world).rates());
    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot| async move {
            function.handle(snapshot).await
        })
        .await
}

struct Demonstration {
    stage: Stage,
    world: Arc<World>,
    refreshes: Refreshes,
    journal: Journal,
}

impl Demonstration {
    async fn run(mut self) -> Result<(), Error> {
        self.stage.lambda.ready().await?;
        println!(
            "ages of what each invocation saw; * the value had changed, ~ stale, by permission\n"
        );
        self.journal.heading();
        self.stage.say(&format!("init: {}", self.refreshes.take().join(", ")));

        self.stage.say("steady traffic, while values change at the source");
        for n in 0..32 {
            if n % 4 == 1 {
                self.change(n / 4 % NAMES.len()).await;
            }
            self.invoke().await?;
        }

        self.stage.say("values change, and the environment is frozen for 10 minutes");
        for entry in 0..NAMES.len() {
            self.world.change(entry).await;
        }
        self.journal.in_flight_at_a_freeze +=
            self.stage.freeze(&self.world.aws.network, Duration::from_secs(600)).await?;
        self.stage.say("thawed");
        for _ in 0..6 {
            self.invoke().await?;
        }

        self.stage.say("the source is away");
        self.world.aws.network.cut(true);
        for _ in 0..20 {
            self.invoke().await?;
        }

        self.stage.say("the source is back");
        self.world.aws.network.cut(false);
        for entry in 0..NAMES.len() {
            self.change(entry).await;
        }
        for _ in 0..14 {
            self.invoke().await?;
        }

        self.journal.summary(&self.world);
        match self.journal.promise_held() {
            true => Ok(()),
            false => Err("the promise was broken".into()),
        }
    }

    async fn invoke(&mut self) -> Result<(), Error> {
        let pace = tokio::time::sleep(PACE);
        let (time, sent) = (self.stage.time(), self.stage.clock.true_now());
        let invocation = self.stage.lambda.invoke(serde_json::json!({})).await?;
        let refreshes = self.refreshes.take();
        self.journal.record(&self.world, time, sent, &invocation, &refreshes);
        pace.await;
        Ok(())
    }

    async fn change(&self, entry: usize) {
        self.world.change(entry).await;
        self.stage.say(&format!("{} changes at the source", NAMES[entry]));
    }
}
