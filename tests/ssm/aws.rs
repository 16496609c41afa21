//! Parameter Store in process: winterbaume behind the real SDK. Every call of the cache is recorded,
//! and a test may answer in its place.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value as Json, json};
use winterbaume_core::{DEFAULT_ACCOUNT_ID, MockAws};
use winterbaume_ssm::SsmService;

/// The region of the configuration.
pub(crate) const HOME: &str = "eu-west-1";

/// A call of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// As in the header: `AmazonSSM.GetParameters`.
    pub(crate) target: String,
    pub(crate) region: String,
    pub(crate) body: Json,
}

impl Call {
    fn of(request: &HttpRequest) -> Self {
        let host = request.uri().split("//").nth(1).unwrap_or_default();
        Self {
            target: request.headers().get("x-amz-target").unwrap_or_default().to_owned(),
            region: host.split('.').nth(1).unwrap_or_default().to_owned(),
            body: serde_json::from_slice(request.body().bytes().unwrap()).unwrap(),
        }
    }

    /// The names asked for, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.body["Names"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = names.iter().map(|it| it.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// What the service itself refuses and winterbaume does not.
    fn check(&self) -> Option<Answer> {
        let mut names = self.names();
        let all = names.len();
        names.dedup();
        (all > 10 || names.len() < all).then(|| Answer::error(400, "ValidationException"))
    }
}

/// What becomes of a call.
pub(crate) enum Answer {
    /// The service's answer, after so long: what was true when it was asked.
    Late(Duration),
    /// This status and body.
    Say(u16, String),
    /// The connection breaks.
    Break,
    /// No connection is made in time.
    Stall,
    /// Nothing, ever.
    Never,
}

impl Answer {
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::Say(status, json!({ "__type": code, "message": "as the test said" }).to_string())
    }

    pub(crate) fn parameters(parameters: impl IntoIterator<Item = Json>) -> Self {
        let parameters: Vec<Json> = parameters.into_iter().collect();
        Self::Say(200, json!({ "Parameters": parameters, "InvalidParameters": [] }).to_string())
    }
}

/// A parameter as the service writes it.
pub(crate) fn parameter(name: &str, value: &str) -> Json {
    json!({
        "Name": name, "Type": "String", "Value": value, "Version": 1, "DataType": "text",
        "LastModifiedDate": 1.7e9, "ARN": arn(name),
    })
}

pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:ssm:{HOME}:{DEFAULT_ACCOUNT_ID}:parameter{name}")
}

type Script = Arc<dyn Fn(&Call) -> Option<Answer> + Send + Sync>;

/// Clones share one account.
#[derive(Clone)]
pub(crate) struct Aws(Arc<Shared>);

struct Shared {
    mock: MockAws,
    /// A client of which nothing is recorded.
    direct: Client,
    service: Arc<SsmService>,
    calls: Mutex<Vec<Call>>,
    script: Mutex<Option<Script>>,
}

impl Aws {
    pub(crate) fn new() -> Self {
        let service = Arc::new(SsmService::new());
        let mock = MockAws::builder().with_service(Arc::clone(&service)).build();
        let direct = Client::new(&config(&mock, HOME, mock.http_client()));
        let (calls, script) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { mock, direct, service, calls, script }))
    }

    /// The configuration for a cache, whose calls are recorded.
    pub(crate) fn config(&self) -> SdkConfig {
        config(&self.0.mock, HOME, SharedHttpClient::new(self.clone()))
    }

    pub(crate) async fn put(&self, name: &str, value: &str) {
        self.put_as(ParameterType::String, name, value).await;
    }

    pub(crate) async fn put_as(&self, kind: ParameterType, name: &str, value: &str) {
        put(&self.0.direct, kind, name, value).await;
    }

    pub(crate) async fn put_in(&self, region: &str, kind: ParameterType, name: &str, value: &str) {
        let config = config(&self.0.mock, region, self.0.mock.http_client());
        put(&Client::new(&config), kind, name, value).await;
    }

    /// As `put`, past the client: for a test that writes very often.
    pub(crate) async fn write(&self, name: &str, value: &str) {
        let state = self.0.service.shared_state().get(DEFAULT_ACCOUNT_ID, HOME);
        let mut state = state.write().await;
        let tags = HashMap::new();
        state.put_parameter(name, value, "String", DEFAULT_ACCOUNT_ID, HOME, true, tags).unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.0.direct.delete_parameter().name(name).send().await.unwrap();
    }

    /// Moves the time of a parameter's last change, which winterbaume gives in whole seconds.
    pub(crate) async fn changed_later(&self, name: &str, by: Duration) {
        let state = self.0.service.shared_state().get(DEFAULT_ACCOUNT_ID, HOME);
        state.write().await.parameters.get_mut(name).unwrap().last_modified_date += by;
    }

    /// From now on calls are answered so; where this gives `None`, by the service.
    pub(crate) fn script(&self, script: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static) {
        *self.0.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// From now on every call fails so.
    pub(crate) fn fail(&self, status: u16, code: &'static str) {
        self.script(move |_| Some(Answer::error(status, code)));
    }

    /// From now on the service answers again.
    pub(crate) fn heal(&self) {
        *self.0.script.lock().unwrap() = None;
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    fn answer(&self, call: &Call) -> Option<Answer> {
        self.0.calls.lock().unwrap().push(call.clone());
        let script = self.0.script.lock().unwrap().clone();
        call.check().or_else(|| script.and_then(|script| script(call)))
    }
}

fn config(mock: &MockAws, region: &str, client: SharedHttpClient) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(mock.credentials_provider())
        .http_client(client)
        .build()
}

async fn put(client: &Client, kind: ParameterType, name: &str, value: &str) {
    let put = client.put_parameter().name(name).value(value).r#type(kind);
    put.overwrite(true).send().await.unwrap();
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let service = self.0.mock.http_client().http_connector(settings, components);
        SharedHttpConnector::new(Recorder { service, aws: self.clone() })
    }
}

#[derive(Debug)]
struct Recorder {
    service: SharedHttpConnector,
    aws: Aws,
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.aws.answer(&Call::of(&request));
        let service = self.service.call(request);
        HttpConnectorFuture::new(async move {
            match answer {
                None => service.await,
                Some(Answer::Late(delay)) => {
                    let answer = service.await;
                    tokio::time::sleep(delay).await;
                    answer
                }
                Some(Answer::Say(status, body)) => {
                    let status = status.try_into().expect("a status");
                    Ok(HttpResponse::new(status, SdkBody::from(body)))
                }
                Some(Answer::Break) => Err(ConnectorError::io("connection reset".into())),
                Some(Answer::Stall) => Err(ConnectorError::timeout("no connection".into())),
                Some(Answer::Never) => std::future::pending().await,
            }
        })
    }
}
