//! What the examples share: a Lambda in this process that can freeze, AWS in this process behind a
//! network that takes a while, and claims that are checked.
//!
//! A function knows nothing of it. It is given what `aws_config::load_from_env()` would give, and a
//! clock that the demonstration can freeze.
#![allow(dead_code, unused_imports, reason = "no example needs all of it")]

mod aws;
mod claims;
mod history;
mod network;

use std::time::Duration;

use lambda_cache::Clock;
use lambda_cache::testing::{Lambda, TestClock};

pub use aws::{Aws, REGION};
pub use claims::Claims;
pub use history::History;
pub use network::Network;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An environment, and the time since it began.
pub struct Stage {
    pub lambda: Lambda,
    pub clock: TestClock,
    start: Duration,
}

/// Runs a demonstration in a process whose variables are those of a Lambda function.
pub fn play(demonstration: impl AsyncFnOnce(Stage) -> Result<(), Error>) -> Result<(), Error> {
    let clock = TestClock::new();
    let bound = Lambda::builder().clock(clock.clone()).bind()?;
    let variables: Vec<_> = bound.env().into_iter().map(|(name, it)| (name, Some(it))).collect();
    // Variables are set while there is one thread only.
    temp_env::with_vars(variables, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let start = clock.now().monotonic();
            demonstration(Stage { lambda: bound.start()?, clock, start }).await
        })
    })
}

/// Runs a demonstration beside the function's `main`, which must not end before it.
pub async fn beside(
    function: impl Future<Output = Result<(), Error>>,
    demonstration: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    tokio::select! {
        ended = function => Err(format!("the function ended: {ended:?}").into()),
        result = demonstration => result,
    }
}

impl Stage {
    /// How long the environment has run, without the time it was frozen.
    pub fn time(&self) -> Duration {
        self.clock.now().monotonic() - self.start
    }

    pub fn say(&self, what: &str) {
        println!("{:>6.2} s  -- {what}", self.time().as_secs_f64());
    }

    /// Freezes the environment for a while; says how many calls were in flight at that moment.
    pub async fn freeze(&self, network: &Network, duration: Duration) -> Result<usize, Error> {
        let frozen = self.lambda.begin_freeze().await?;
        let in_flight = network.in_flight();
        self.clock.freeze(duration);
        frozen.thaw()?;
        Ok(in_flight)
    }
}
