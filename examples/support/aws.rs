//! AWS in this process: winterbaume, which answers the real SDK.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::sdk_config::TimeSource;
use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Cache, Clock};
use winterbaume_core::MockAws;

use super::Network;

/// The region of everything, unless an example names another.
pub const REGION: &str = "eu-central-1";

/// AWS, and the network to it.
pub struct Aws {
    clock: TestClock,
    config: SdkConfig,
    direct: SdkConfig,
    pub network: Network,
}

impl Aws {
    pub fn new(mock: &MockAws, clock: &TestClock, latency: Duration) -> Self {
        Self::behind(mock.http_client(), mock.credentials_provider(), clock, latency)
    }

    /// AWS behind this client.
    pub fn behind(
        client: SharedHttpClient,
        credentials: SharedCredentialsProvider,
        clock: &TestClock,
        latency: Duration,
    ) -> Self {
        let network = Network::new(client.clone(), latency);
        let config = |client| {
            SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(REGION))
                .credentials_provider(credentials.clone())
                .http_client(client)
                .time_source(WallClock(clock.clone()))
                .build()
        };
        let slow = SharedHttpClient::new(network.clone());
        Self { clock: clock.clone(), config: config(slow), direct: config(client), network }
    }

    /// What `Cache::builder(&aws_config::load_from_env().await)` would give a function in Lambda.
    pub fn builder(&self) -> Builder {
        Cache::builder(&self.config).clock(self.clock.clone())
    }

    /// The configuration without the network: for the scenario's own calls, which take no time and are
    /// not counted.
    pub fn direct(&self) -> &SdkConfig {
        &self.direct
    }
}

/// The environment's wall clock, for the SDK.
#[derive(Debug)]
struct WallClock(TestClock);

impl TimeSource for WallClock {
    fn now(&self) -> SystemTime {
        self.0.now().wall()
    }
}
