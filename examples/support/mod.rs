//! What the examples share: a Lambda in this process that can freeze, AWS in this process behind a slow
//! network, and checks of what an example claims.
//!
//! A function does not know about any of it. It gets the configuration that
//! `aws_config::load_from_env()` would give, and a clock that the scenario can freeze.
#![allow(dead_code, unused_imports, reason = "no example needs all of it")]

mod aws;
mod checks;
mod network;

use std::time::Duration;

use lambda_cache::Clock;
use lambda_cache::testing::{Lambda, TestClock};

pub use aws::{Aws, REGION};
pub use checks::{Checks, History};
pub use network::Network;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The Lambda environment of an example.
pub struct Environment {
    pub lambda: Lambda,
    pub clock: TestClock,
    start: Duration,
}

/// Runs a scenario in this process, with the environment variables of a Lambda function.
pub fn in_lambda(
    scenario: impl AsyncFnOnce(Environment) -> Result<(), Error>,
) -> Result<(), Error> {
    let clock = TestClock::new();
    let bound = Lambda::builder().clock(clock.clone()).bind()?;
    let variables: Vec<_> = bound.env().into_iter().map(|(name, it)| (name, Some(it))).collect();
    // The variables are set while there is only one thread.
    temp_env::with_vars(variables, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let start = clock.now().monotonic();
            scenario(Environment { lambda: bound.start()?, clock, start }).await
        })
    })
}

/// Runs the function's `main` until the scenario has ended. A function that ends first is an error.
pub async fn drive(
    function: impl Future<Output = Result<(), Error>>,
    scenario: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    tokio::select! {
        ended = function => Err(format!("the function ended: {ended:?}").into()),
        result = scenario => result,
    }
}

impl Environment {
    /// How long the environment has run, without the time it was frozen.
    pub fn time(&self) -> Duration {
        self.clock.now().monotonic() - self.start
    }

    pub fn log(&self, message: &str) {
        println!("{:>6.2} s  -- {message}", self.time().as_secs_f64());
    }

    /// Freezes the environment. Returns how many calls were in flight when it froze.
    pub async fn freeze(&self, network: &Network, duration: Duration) -> Result<usize, Error> {
        let frozen = self.lambda.begin_freeze().await?;
        let in_flight = network.in_flight();
        self.clock.freeze(duration);
        frozen.thaw()?;
        Ok(in_flight)
    }
}
