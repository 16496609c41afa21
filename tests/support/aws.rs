//! AWS in process: winterbaume behind the real SDKs. Every call of the cache is recorded, and a test
//! may answer in its place.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value as Json, json};
use winterbaume_appconfigdata::AppConfigDataService;
use winterbaume_core::MockAws;
use winterbaume_dynamodb::DynamoDbService;
use winterbaume_s3::S3Service;
use winterbaume_secretsmanager::SecretsManagerService;
use winterbaume_ssm::SsmService;
use winterbaume_sts::StsService;

/// The region of the configuration.
pub(crate) const HOME: &str = "eu-west-1";

/// A call of the cache.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// As the signature has it: `ssm`, `s3`.
    pub(crate) service: String,
    pub(crate) region: String,
    /// Whose credentials signed it.
    pub(crate) access_key: String,
    /// As in the header of the JSON protocols: `AmazonSSM.GetParameters`. Empty for others.
    pub(crate) target: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// Null if it is not JSON.
    pub(crate) body: Json,
}

impl Call {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
        let authorization = header("authorization");
        // `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, ...`
        let scope = authorization.split("Credential=").nth(1).unwrap_or_default();
        let mut scope = scope.split(['/', ',']).map(str::to_owned);
        let (access_key, _, region, service) =
            (scope.next(), scope.next(), scope.next(), scope.next());
        let headers = request.headers().iter();
        let body = request.body().bytes().unwrap_or_default();
        Self {
            service: service.unwrap_or_default(),
            region: region.unwrap_or_default(),
            access_key: access_key.unwrap_or_default(),
            target: header("x-amz-target"),
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            text: String::from_utf8_lossy(body).into_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    /// The operation of a JSON protocol: `GetParameters`.
    pub(crate) fn operation(&self) -> &str {
        self.target.rsplit('.').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a call.
pub(crate) enum Answer {
    /// The service's answer, after so long: what was true when it was asked.
    Late(Duration),
    /// This status and body.
    Say(u16, String),
    /// This answer.
    Http(Box<HttpResponse>),
    /// The connection breaks.
    Break,
    /// No connection is made in time.
    Stall,
    /// Nothing, ever.
    Never,
}

impl Answer {
    /// An error of a JSON protocol.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::Say(status, json!({ "__type": code, "message": "as the test said" }).to_string())
    }
}

type Script = Arc<dyn Fn(&Call) -> Option<Answer> + Send + Sync>;

/// Clones share one account.
#[derive(Clone)]
pub(crate) struct Aws(Arc<Shared>);

struct Shared {
    mock: MockAws,
    services: Services,
    calls: Mutex<Vec<Call>>,
    script: Mutex<Option<Script>>,
}

/// The services themselves, for what no call can bring about.
pub(crate) struct Services {
    pub(crate) appconfig: Arc<AppConfigDataService>,
    pub(crate) dynamodb: Arc<DynamoDbService>,
    pub(crate) s3: Arc<S3Service>,
    pub(crate) secrets_manager: Arc<SecretsManagerService>,
    pub(crate) ssm: Arc<SsmService>,
    pub(crate) sts: Arc<StsService>,
}

impl Aws {
    pub(crate) fn new() -> Self {
        let services = Services {
            appconfig: Arc::new(AppConfigDataService::new()),
            dynamodb: Arc::new(DynamoDbService::new()),
            s3: Arc::new(S3Service::new()),
            secrets_manager: Arc::new(SecretsManagerService::new()),
            ssm: Arc::new(SsmService::new()),
            sts: Arc::new(StsService::new()),
        };
        let mock = MockAws::builder()
            .with_service(Arc::clone(&services.appconfig))
            .with_service(Arc::clone(&services.dynamodb))
            .with_service(Arc::clone(&services.s3))
            .with_service(Arc::clone(&services.secrets_manager))
            .with_service(Arc::clone(&services.ssm))
            .with_service(Arc::clone(&services.sts))
            .build();
        let (calls, script) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { mock, services, calls, script }))
    }

    /// The configuration for a cache, whose calls are recorded.
    pub(crate) fn config(&self) -> SdkConfig {
        self.configure(HOME, SharedHttpClient::new(self.clone()))
    }

    /// The configuration for a client of a test, of whose calls nothing is recorded.
    pub(crate) fn direct(&self, region: &str) -> SdkConfig {
        self.configure(region, self.0.mock.http_client())
    }

    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    /// From now on calls are answered so; where this gives `None`, by the service.
    pub(crate) fn script(&self, script: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static) {
        *self.0.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// From now on every call fails so, in the manner of a JSON protocol.
    pub(crate) fn fail(&self, status: u16, code: &'static str) {
        self.script(move |_| Some(Answer::error(status, code)));
    }

    /// From now on the services answer again.
    pub(crate) fn heal(&self) {
        *self.0.script.lock().unwrap() = None;
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    /// Records a call, and gives what a test wants in place of the service's answer.
    pub(crate) fn answer(&self, call: &Call) -> Option<Answer> {
        self.0.calls.lock().unwrap().push(call.clone());
        let script = self.0.script.lock().unwrap().clone();
        refused(call).or_else(|| script.and_then(|script| script(call)))
    }

    fn configure(&self, region: &str, client: SharedHttpClient) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(self.0.mock.credentials_provider())
            .http_client(client)
            .build()
    }
}

/// What a service itself refuses and winterbaume does not.
fn refused(call: &Call) -> Option<Answer> {
    let too_many = match call.operation() {
        "GetParameters" => beyond(&call.body["Names"], 10),
        "BatchGetSecretValue" => beyond(&call.body["SecretIdList"], 20),
        "BatchGetItem" => {
            let tables = call.body["RequestItems"].as_object().into_iter().flatten();
            let keys: Vec<&Json> = tables.map(|(_, asked)| &asked["Keys"]).collect();
            let all = keys.iter().filter_map(|keys| keys.as_array()).map(Vec::len).sum::<usize>();
            all > 100 || keys.iter().any(|keys| beyond(keys, 100))
        }
        _ => false,
    };
    too_many.then(|| Answer::error(400, "ValidationException"))
}

/// Whether a list is longer than it may be, or names something twice.
fn beyond(list: &Json, most: usize) -> bool {
    let mut list: Vec<String> =
        list.as_array().into_iter().flatten().map(Json::to_string).collect();
    let all = list.len();
    list.sort();
    list.dedup();
    all > most || list.len() < all
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
                Some(Answer::Http(response)) => Ok(*response),
                Some(Answer::Break) => Err(ConnectorError::io("connection reset".into())),
                Some(Answer::Stall) => Err(ConnectorError::timeout("no connection".into())),
                Some(Answer::Never) => std::future::pending().await,
            }
        })
    }
}
