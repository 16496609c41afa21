//! The world outside the function: Parameter Store, served by winterbaume to the real AWS SDK over a
//! network that takes a while, can be cut, and knows what is on its way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use lambda_cache::testing::TestClock;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;

use super::function::PARAMETERS;

/// How long a call takes to Parameter Store and back.
pub const LATENCY: Duration = Duration::from_millis(20);

/// The names of the entries, as a [`Report`](super::function::Report) orders them.
pub const NAMES: [&str; 5] = ["greeting", "hosts", "password", "limits", "rates"];

pub struct World {
    clock: TestClock,
    /// Past the network, so that what the world does is not counted.
    direct: Client,
    aws: SdkConfig,
    pub network: Arc<Network>,
    /// For each entry, when each of its versions came to be; the first is version 1.
    history: Mutex<[Vec<SystemTime>; 5]>,
}

impl World {
    pub async fn new(clock: TestClock) -> Arc<Self> {
        let mock = MockAws::builder().with_service(SsmService::new()).build();
        let network = Arc::new(Network::to(mock.http_client()));
        let config = |http_client: SharedHttpClient| {
            aws_config::SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("eu-central-1"))
                .credentials_provider(mock.credentials_provider())
                .http_client(http_client)
                .build()
        };
        let world = Self {
            clock,
            direct: Client::new(&config(mock.http_client())),
            aws: config(SharedHttpClient::new(Network::clone(&network))),
            network,
            history: Mutex::default(),
        };
        for entry in 0..NAMES.len() {
            world.change(entry).await;
        }
        Arc::new(world)
    }

    /// What the function's `aws_config::load_from_env()` would give.
    pub fn aws(&self) -> &SdkConfig {
        &self.aws
    }

    /// A new version of one entry's value comes to be.
    pub async fn change(&self, entry: usize) {
        let version = self.history.lock().expect("no panic")[entry].len() + 1;
        if let Some(name) = PARAMETERS.get(entry) {
            let (kind, value) = match entry {
                1 => (ParameterType::StringList, format!("host-{version}.example,host.example")),
                2 => (ParameterType::SecureString, format!("correct horse {version}")),
                3 => (ParameterType::String, format!("{{\"requests\": {version}}}")),
                _ => (ParameterType::String, format!("hello, for the {version}. time")),
            };
            let put = self.direct.put_parameter().name(*name).r#type(kind).value(value);
            put.overwrite(true).send().await.expect("winterbaume answers");
        }
        self.history.lock().expect("no panic")[entry].push(self.clock.true_now());
    }

    /// The rates count their changes. They come over the same network.
    pub async fn rates(self: Arc<Self>) -> Result<f64, std::io::Error> {
        let version = self.history.lock().expect("no panic")[4].len();
        self.network.travel().await?;
        Ok(version as f64)
    }

    /// How long before `instant` a version was no longer the newest, if it was not.
    pub fn outdated_for(&self, entry: usize, version: &str, instant: SystemTime) -> Duration {
        let version: usize = version.parse().expect("versions are numbers");
        let history = self.history.lock().expect("no panic");
        match history[entry].get(version) {
            Some(successor) => instant.duration_since(*successor).unwrap_or_default(),
            None => Duration::ZERO,
        }
    }
}

/// The way to AWS and back.
#[derive(Debug, Clone)]
pub struct Network {
    inner: SharedHttpClient,
    state: Arc<NetworkState>,
}

#[derive(Debug, Default)]
struct NetworkState {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    cut: AtomicBool,
}

impl Network {
    fn to(inner: SharedHttpClient) -> Self {
        Self { inner, state: Arc::default() }
    }

    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::SeqCst);
    }

    /// How many calls have been made.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many are under way.
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::SeqCst)
    }

    async fn travel(&self) -> Result<(), std::io::Error> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay::new(&self.state);
        tokio::time::sleep(LATENCY).await;
        match self.state.cut.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("the network is cut")),
            false => Ok(()),
        }
    }
}

/// Counts a call as in flight until it has ended or was dropped.
struct UnderWay(Arc<NetworkState>);

impl UnderWay {
    fn new(state: &Arc<NetworkState>) -> Self {
        state.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HttpClient for Network {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, network: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    network: Network,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, network) = (self.inner.clone(), self.network.clone());
        HttpConnectorFuture::new(async move {
            // What is true when the call reaches the service is what it brings back.
            let answer = inner.call(request).await;
            network.travel().await.map_err(|error| ConnectorError::io(error.into()))?;
            answer
        })
    }
}
