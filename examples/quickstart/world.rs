//! What is outside the function: Parameter Store, the rates, and the history of both.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use lambda_cache::testing::TestClock;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;

use super::function::PARAMETERS;
use super::support::{Aws, History};

/// How long a call to Parameter Store takes.
pub const LATENCY: Duration = Duration::from_millis(20);

/// The names of the entries, in the order of a [`Report`](super::function::Report).
pub const NAMES: [&str; 5] = ["greeting", "hosts", "password", "limits", "rates"];

pub struct World {
    clock: TestClock,
    ssm: Client,
    pub aws: Aws,
    /// One for each entry.
    histories: [History; 5],
}

impl World {
    pub async fn new(clock: TestClock) -> Arc<Self> {
        let mock = MockAws::builder().with_service(SsmService::new()).build();
        let aws = Aws::new(&mock, &clock, LATENCY);
        let world =
            Self { clock, ssm: Client::new(aws.direct()), aws, histories: Default::default() };
        for entry in 0..NAMES.len() {
            world.change(entry).await;
        }
        Arc::new(world)
    }

    /// Gives an entry's value a new version.
    pub async fn change(&self, entry: usize) {
        let version = self.histories[entry].newest() + 1;
        if let Some(name) = PARAMETERS.get(entry) {
            let (kind, value) = match entry {
                1 => (ParameterType::StringList, format!("host-{version}.example,host.example")),
                2 => (ParameterType::SecureString, format!("correct horse {version}")),
                3 => (ParameterType::String, format!("{{\"requests\": {version}}}")),
                _ => (ParameterType::String, format!("hello, for the {version}. time")),
            };
            let put = self.ssm.put_parameter().name(*name).r#type(kind).value(value);
            put.overwrite(true).send().await.expect("winterbaume answers");
        }
        self.histories[entry].record(self.clock.true_now());
    }

    /// The rates, which are the number of their changes. They come over the same network.
    pub async fn rates(self: Arc<Self>) -> Result<f64, std::io::Error> {
        let version = self.histories[4].newest();
        self.aws.network.round_trip().await?;
        Ok(version as f64)
    }

    /// How long a version had been replaced at `instant`; zero if it was the newest.
    pub fn outdated_for(&self, entry: usize, version: &str, instant: SystemTime) -> Duration {
        let version = version.parse().expect("versions are numbers");
        self.histories[entry].outdated_for(version, instant)
    }
}
