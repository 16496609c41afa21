//! Accounts behind one network, and the sessions in which one reads the others.
//!
//! winterbaume answers for each account, and its STS gives sessions. What it leaves out is here: that
//! a session opens its own account only, ends, and is refused where there is no trust.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

/// The accounts by their ids; the first is the function's own.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

struct Shared {
    clock: TestClock,
    accounts: Vec<(&'static str, MockAws)>,
    sessions: Mutex<Vec<Session>>,
    /// The accounts whose trust is withdrawn.
    distrusting: Mutex<Vec<&'static str>>,
    expired_calls: AtomicUsize,
}

/// A role, assumed once.
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

    /// From now on an account's roles trust this function, or do not.
    pub fn trust(&self, id: &'static str, trusts: bool) {
        let mut distrusting = self.0.distrusting.lock().expect("no panic");
        distrusting.retain(|it| *it != id);
        distrusting.extend((!trusts).then_some(id));
    }

    /// The sessions so far, in their order.
    pub fn sessions(&self) -> Vec<Session> {
        self.0.sessions.lock().expect("no panic").clone()
    }

    /// How many calls were signed with a session that had expired.
    pub fn expired_calls(&self) -> usize {
        self.0.expired_calls.load(Ordering::SeqCst)
    }

    /// Which account a key opens now.
    fn opened_by(&self, access_key: &str) -> Result<usize, &'static str> {
        let sessions = self.sessions();
        match sessions.iter().find(|session| session.access_key == access_key) {
            // A key that is no session's is the function's own.
            None => Ok(0),
            Some(session) if session.expires > self.0.clock.true_now() => {
                Ok(self.place(session.account))
            }
            Some(_) => {
                self.0.expired_calls.fetch_add(1, Ordering::SeqCst);
                Err("ExpiredTokenException")
            }
        }
    }

    fn place(&self, id: &str) -> usize {
        self.0.accounts.iter().position(|(it, _)| *it == id).expect("an account")
    }

    /// The account of the role that is to be assumed, if that trusts the function.
    fn trusting(&self, request: &HttpRequest) -> Option<&'static str> {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let role_of = |id: &&str| body.contains(&format!("iam%3A%3A{id}%3Arole"));
        let id = self.0.accounts.iter().map(|(id, _)| *id).find(role_of)?;
        let trusted = !self.0.distrusting.lock().expect("no panic").contains(&id);
        trusted.then_some(id)
    }

    /// The session that STS gives, by the clock of this world and not the machine's.
    fn open(&self, account: &'static str, answer: &HttpResponse) -> HttpResponse {
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

/// Whose key has signed a request.
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
    /// Of each account.
    services: Vec<SharedHttpConnector>,
    accounts: Accounts,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let place = match self.accounts.opened_by(access_key(&request)) {
            Ok(place) => place,
            Err(code) => {
                let body = format!(r#"{{"__type":"{code}"}}"#);
                return HttpConnectorFuture::ready(Ok(response(400, body)));
            }
        };
        if !request.uri().contains("//sts.") {
            return self.services[place].call(request);
        }
        let Some(account) = self.accounts.trusting(&request) else {
            let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                        <Message>not authorized to perform sts:AssumeRole</Message></Error>\
                        </ErrorResponse>";
            return HttpConnectorFuture::ready(Ok(response(403, body.to_owned())));
        };
        let (answer, accounts) = (self.services[place].call(request), self.accounts.clone());
        HttpConnectorFuture::new(async move { Ok(accounts.open(account, &answer.await?)) })
    }
}
