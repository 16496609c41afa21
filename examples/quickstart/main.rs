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
mod world;

use std::sync::Arc;
use std::time::Duration;

use lambda_cache::testing::{BoundLambda, Lambda, TestClock};
use lambda_cache::{Cache, Clock};
use lambda_runtime::LambdaEvent;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use function::Function;
use journal::{Journal, Refreshes};
use world::{NAMES, World};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// From the start of one invocation to the start of the next.
const PACE: Duration = Duration::from_millis(150);

fn main() -> Result<(), Error> {
    let refreshes = Refreshes::default();
    tracing_subscriber::registry().with(refreshes.clone()).init();
    let clock = TestClock::new();
    let bound = Lambda::builder().clock(clock.clone()).bind()?;
    let variables: Vec<_> = bound.env().into_iter().map(|(name, it)| (name, Some(it))).collect();
    // Variables are set while there is one thread only.
    temp_env::with_vars(variables, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(demonstrate(bound, clock, refreshes))
    })
}

/// What a function's `main` does.
async fn function_main(world: Arc<World>, clock: TestClock) -> Result<(), Error> {
    let mut builder = Cache::builder(world.aws()).clock(clock);
    let function = Function::declare(&mut builder, move || Arc::clone(&world).rates());
    let cache = builder.spawn().await?;
    cache
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot| async move {
            function.handle(snapshot).await
        })
        .await
}

async fn demonstrate(
    bound: BoundLambda,
    clock: TestClock,
    refreshes: Refreshes,
) -> Result<(), Error> {
    let lambda = bound.start()?;
    let world = World::new(clock.clone()).await;
    let main = tokio::spawn(function_main(Arc::clone(&world), clock.clone()));
    let demonstration = Demonstration {
        start: clock.now().monotonic(),
        lambda,
        world,
        clock,
        refreshes,
        journal: Journal::default(),
    };
    tokio::select! {
        ended = main => Err(format!("the function ended: {ended:?}").into()),
        result = demonstration.run() => result,
    }
}

struct Demonstration {
    lambda: Lambda,
    world: Arc<World>,
    clock: TestClock,
    refreshes: Refreshes,
    journal: Journal,
    start: Duration,
}

impl Demonstration {
    async fn run(mut self) -> Result<(), Error> {
        self.lambda.ready().await?;
        println!(
            "ages of what each invocation saw; * the value had changed, ~ stale, by permission\n"
        );
        self.journal.heading();
        self.say(&format!("init: {}", self.refreshes.take().join(", ")));

        self.say("steady traffic, while values change at the source");
        for n in 0..32 {
            if n % 4 == 1 {
                self.change(n / 4 % NAMES.len()).await;
            }
            self.invoke().await?;
        }

        self.say("values change, and the environment is frozen for 10 minutes");
        for entry in 0..NAMES.len() {
            self.world.change(entry).await;
        }
        let (world, seen) =
            (Arc::clone(&self.world), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let in_flight = Arc::clone(&seen);
        self.lambda.on_freeze(move || {
            in_flight.store(world.network.in_flight(), std::sync::atomic::Ordering::SeqCst);
        });
        self.lambda.freeze(Duration::from_secs(600)).await?;
        self.journal.in_flight_at_a_freeze += seen.load(std::sync::atomic::Ordering::SeqCst);
        self.say("thawed");
        for _ in 0..6 {
            self.invoke().await?;
        }

        self.say("the source is away");
        self.world.network.cut(true);
        for _ in 0..20 {
            self.invoke().await?;
        }

        self.say("the source is back");
        self.world.network.cut(false);
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
        let (time, sent) = (self.clock.now().monotonic() - self.start, self.clock.true_now());
        let invocation = self.lambda.invoke(serde_json::json!({})).await?;
        let refreshes = self.refreshes.take();
        self.journal.record(&self.world, time, sent, &invocation, &refreshes);
        pace.await;
        Ok(())
    }

    async fn change(&self, entry: usize) {
        self.world.change(entry).await;
        self.say(&format!("{} changes at the source", NAMES[entry]));
    }

    fn say(&self, what: &str) {
        println!("{:>6.2} s  -- {what}", (self.clock.now().monotonic() - self.start).as_secs_f64());
    }
}
