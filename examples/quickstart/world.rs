//! The world outside the function: Parameter Store, the rates, and when each of them changed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use lambda_cache::testing::TestClock;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;

use super::function::PARAMETERS;
use super::stage::{Aws, History};

/// How long a call takes to Parameter Store and back.
pub const LATENCY: Duration = Duration::from_millis(20);

/// The names of the entries, as a [`Report`](super::function::Report) orders them.
pub const NAMES: [&str; 5] = ["greeting", "hosts", "password", "limits", "rates"];

pub struct World {
    clock: TestClock,
    ssm: Client,
    pub aws: Aws,
    /// Of each entry.
    history: [History; 5],
}

impl World {
    pub async fn new(clock: TestClock) -> Arc<Self> {
        let mock = MockAws::builder().with_service(SsmService::new()).build();
        let aws = Aws::new(&mock, &clock, LATENCY);
        let world =
            Self { clock, ssm: Client::new(aws.direct()), aws, history: Default::default() };
        for entry in 0..NAMES.len() {
            world.change(entry).await;
        }
        Arc::new(world)
    }

    /// A new version of one entry's value comes to be.
    pub async fn change(&self, entry: usize) {
        let version = self.history[entry].newest() + 1;
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
        self.history[entry].record(self.clock.true_now());
    }

    /// The rates count their changes. They come over the same network.
    pub async fn rates(self: Arc<Self>) -> Result<f64, std::io::Error> {
        let version = self.history[4].newest();
        self.aws.network.travel().await?;
        Ok(version as f64)
    }

    /// How long before `instant` a version was no longer the newest, if it was not.
    pub fn outdated_for(&self, entry: usize, version: &str, instant: SystemTime) -> Duration {
        let version = version.parse().expect("versions are numbers");
        self.history[entry].outdated_for(version, instant)
    }
}
