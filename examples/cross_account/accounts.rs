//! Several AWS accounts, and the sessions in which the function's account reads the others.
//!
//! winterbaume answers for each account, and its STS issues sessions. What it does not do is here: a
//! session gives access to its own account only, it expires, and it is refused where there is no trust.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use aws_sdk_ssm::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use lambda_cache::testing::TestClock;
use winterbaume_core::MockAws;
use winterbaume_ssm::SsmService;
use winterbaume_sts::StsService;

/// How long a session lasts.
pub const HOUR: Duration = Duration::from_secs(3600);

/// The accounts. The first is the function's own. Clones share them.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

struct Shared {
    clock: TestClock,
    accounts: Vec<(&'static str, MockAws)>,
    sessions: Mutex<Vec<Session>>,
    /// The accounts that have withdrawn their trust.
    distrusting: Mutex<Vec<&'static str>>,
    expired_calls: AtomicUsize,
}

/// A session of an assumed role.
#[derive(Debug, Clone)]
pub struct Session {
    pub account: &'static str,
    pub expires: SystemTime,
    access_key: String,
}

impl Accounts {
    pub fn new(ids: &[&'static str], clock: &TestClock) -> Self {
        let account = |id: &&'static str| {
            let mock = MockAws::builder().with_service(SsmService::new());
            (*id, mock.with_service(StsService::new()).build())
        };
        Self(Arc::new(Shared {
            clock: clock.clone(),
            accounts: ids.iter().map(account).collect(),
            sessions: Mutex::default(),
            distrusting: Mutex::default(),
            expired_calls: AtomicUsize::default(),
        }))
    }

    /// The function's own account.
    pub fn own(&self) -> &MockAws {
        &self.0.accounts[0].1
    }

    /// A client of an account's administrator.
    pub fn administrator(&self, id: &str, region: &'static str) -> aws_sdk_ssm::Client {
        let (_, mock) = self.0.accounts.iter().find(|(it, _)| *it == id).expect("an account");
        let config = aws_sdk_ssm::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(mock.credentials_provider())
            .http_client(mock.http_client());
        aws_sdk_ssm::Client::from_conf(config.build())
    }

    /// An account's roles do not trust the function from now on.
    pub fn withdraw_trust(&self, id: &'static str) {
        self.distrusting().push(id);
    }

    /// An account's roles trust the function again.
    pub fn trust(&self, id: &str) {
        self.distrusting().retain(|it| *it != id);
    }

    fn distrusting(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.0.distrusting.lock().expect("no panic")
    }

    /// All sessions so far, oldest first.
    pub fn sessions(&self) -> Vec<Session> {
        self.0.sessions.lock().expect("no panic").clone()
    }

    /// How many calls used a session that had expired.
    pub fn expired_calls(&self) -> usize {
        self.0.expired_calls.load(Ordering::SeqCst)
    }

    /// The index of the account that an access key belongs to now.
    fn account_of(&self, access_key: &str) -> Result<usize, &'static str> {
        let sessions = self.sessions();
        match sessions.iter().find(|session| session.access_key == access_key) {
            // A key without a session is the function's own.
            None => Ok(0),
            Some(session) if session.expires > self.0.clock.true_now() => {
                Ok(self.index(session.account))
            }
            Some(_) => {
                self.0.expired_calls.fetch_add(1, Ordering::SeqCst);
                Err("ExpiredTokenException")
            }
        }
    }

    fn index(&self, id: &str) -> usize {
        self.0.accounts.iter().position(|(it, _)| *it == id).expect("an account")
    }

    /// The account of the role to be assumed, if it trusts the function.
    fn trusting_account(&self, request: &HttpRequest) -> Option<&'static str> {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let role_of = |id: &&str| body.contains(&format!("iam%3A%3A{id}%3Arole"));
        let id = self.0.accounts.iter().map(|(id, _)| *id).find(role_of)?;
        let trusted = !self.distrusting().contains(&id);
        trusted.then_some(id)
    }

    /// Keeps the session that STS has issued, and dates its end by this clock instead of the machine's.
    fn keep_session(&self, account: &'static str, answer: &HttpResponse) -> HttpResponse {
        let answer = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default());
        let (access_key, expiration) =
            (element(&answer, "AccessKeyId"), element(&answer, "Expiration"));
        let expires = self.0.clock.true_now() + HOUR;
        let date = DateTime::from(expires).fmt(Format::DateTime).expect("a date");
        let answer = answer.replace(expiration, &date);
        let session = Session { account, expires, access_key: access_key.to_owned() };
        self.0.sessions.lock().expect("no panic").push(session);
        response(200, answer)
    }
}

/// The text of an XML element.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let inner = xml.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    inner.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body))
}

/// The access key that signed a request.
fn access_key(request: &HttpRequest) -> &str {
    let signature = request.headers().get("authorization").unwrap_or_default();
    let scope = signature.split_once("Credential=").map_or("", |(_, scope)| scope);
    scope.split('/').next().unwrap_or_default()
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}

impl HttpClient for Accounts {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let of = |(_, mock): &(_, MockAws)| mock.http_client().http_connector(settings, components);
        let services = self.0.accounts.iter().map(of).collect();
        SharedHttpConnector::new(Connector { services, accounts: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    /// One for each account.
    services: Vec<SharedHttpConnector>,
    accounts: Accounts,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let index = match self.accounts.account_of(access_key(&request)) {
            Ok(index) => index,
            Err(code) => {
                let body = format!(r#"{{"__type":"{code}"}}"#);
                return HttpConnectorFuture::ready(Ok(response(400, body)));
            }
        };
        if !request.uri().contains("//sts.") {
            return self.services[index].call(request);
        }
        let Some(account) = self.accounts.trusting_account(&request) else {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                        <Message>not authorized to perform sts:AssumeRole</Message></Error>\
                        </ErrorResponse>";
            return HttpConnectorFuture::ready(Ok(response(403, body.to_owned())));
        };
        let (answer, accounts) = (self.services[index].call(request), self.accounts.clone());
        HttpConnectorFuture::new(async move { Ok(accounts.keep_session(account, &answer.await?)) })
    }
}
