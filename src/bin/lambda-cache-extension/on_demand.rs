//! What clients name themselves, served as AWS's Parameters and Secrets extension serves it:
//! `GET /systemsmanager/parameters/get` and `GET /secretsmanager/get`.

mod failure;
mod parameters;
mod request_limit;
mod secrets;

use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_types::SdkConfig;
use lambda_cache::{Cache, Error, Memo, Value};
use tracing::Span;

use self::failure::Failure;
use self::parameters::Parameter;
use self::request_limit::RequestLimit;
use self::secrets::Secret;
use crate::answer::{Answer, Response};
use crate::http::{Endpoint, Refusal, query};
use crate::messages;
use crate::settings::{OnDemandSettings, ServiceSettings};

/// How much later than the time-out of a call the refresher's own is.
const LATER: Duration = Duration::from_secs(1);

/// Parameters and secrets by what clients ask for.
#[derive(Debug)]
pub(crate) struct OnDemand {
    parameters: Service<Parameter>,
    secrets: Service<Secret>,
}

/// A parameter or a secret, as a client asks for it.
trait Resource: Clone + Eq + Hash + Display + Send + Sync + 'static {
    /// Names the memo in errors and in the log.
    const NAME: &'static str;
    /// The operation that fetches one.
    const OPERATION: &'static str;
    type Client: Clone + Send + Sync + 'static;

    fn fetch(self, client: &Self::Client) -> impl Future<Output = Result<Answer, Failure>> + Send;

    /// Bytes of its name and version.
    fn size(&self) -> usize;
}

/// The parameters, or the secrets.
#[derive(Debug)]
struct Service<R> {
    memo: Memo<R, Found>,
    not_found_ttl: Duration,
}

/// What is kept of a parameter or a secret.
#[derive(Debug)]
enum Found {
    Answer(Answer),
    /// The service has no such thing. Kept for `not_found_ttl`.
    Nothing(Failure),
}

impl OnDemand {
    pub(crate) fn new(cache: &Cache, aws: &SdkConfig, settings: &OnDemandSettings) -> Self {
        let (ssm, secrets) =
            (aws_sdk_ssm::Client::new(aws), aws_sdk_secretsmanager::Client::new(aws));
        Self {
            parameters: Service::new(cache, ssm, settings, &settings.parameters),
            secrets: Service::new(cache, secrets, settings, &settings.secrets),
        }
    }
}

impl<R: Resource> Service<R> {
    fn new(
        cache: &Cache,
        client: R::Client,
        all: &OnDemandSettings,
        own: &ServiceSettings,
    ) -> Self {
        let OnDemandSettings { cache_size, max_bytes, not_found_ttl, max_connections, .. } = *all;
        let ServiceSettings { max_age, timeout } = *own;
        let limit = RequestLimit::new(max_connections);
        let memo = cache.memo(R::NAME, move |wanted: R| {
            let (client, limit) = (client.clone(), limit.clone());
            async move {
                let asked = format!("{} {:?}", R::OPERATION, messages::quote(&wanted.to_string()));
                Span::current().record("key", &asked);
                let fetched = tokio::time::timeout(timeout, limit.run(wanted.fetch(&client))).await;
                let found = fetched.unwrap_or_else(|_| Err(Failure::late(timeout)));
                match found.map_err(|failure| failure.of_call(asked)) {
                    Ok(answer) => Ok(Found::Answer(answer)),
                    Err(failure) if failure.is_not_found() && !not_found_ttl.is_zero() => {
                        tracing::warn!(error = %failure.with_causes(), "not found");
                        Ok(Found::Nothing(failure))
                    }
                    Err(failure) => Err(failure),
                }
            }
        });
        let memo = match cache_size {
            0 => memo.max_entries(1).max_age(Duration::ZERO),
            most => memo.max_entries(most).max_age(max_age),
        };
        // The time-out in the function, which names the call, comes first.
        let memo = memo.timeout(timeout.saturating_add(LATER));
        let memo = match max_bytes {
            Some(most) => memo.max_bytes(most, |wanted: &R, found| wanted.size() + found.size()),
            None => memo,
        };
        let memo = memo.build().expect("the settings have been checked");
        Self { memo, not_found_ttl }
    }

    async fn respond(&self, wanted: R, refresh: Refresh) -> Response {
        match self.read(&wanted, refresh).await {
            Ok(found) => match &*found {
                Found::Answer(answer) => answer.respond_cached(&found),
                Found::Nothing(failure) => failure.respond(),
            },
            // The refresher's line in the log has the error.
            Err(error) => {
                let response = failure::respond(&error);
                let (asked, status) = (wanted.to_string(), response.status().as_u16());
                tracing::debug!(asked = messages::quote(&asked), status, "not served");
                response
            }
        }
    }

    async fn read(&self, wanted: &R, refresh: Refresh) -> Result<Value<Found>, Error> {
        if refresh == Refresh::Now {
            return self.memo.refresh(wanted).await;
        }
        let found = self.memo.get(wanted).await?;
        match &*found {
            Found::Nothing(_) if found.age() >= self.not_found_ttl => {
                self.memo.refresh(wanted).await
            }
            _ => Ok(found),
        }
    }
}

impl Found {
    fn size(&self) -> usize {
        match self {
            Self::Answer(answer) => answer.size(),
            Self::Nothing(failure) => failure.size(),
        }
    }
}

/// What AWS's extension has to say beside each answer: nothing.
#[derive(serde::Serialize)]
struct Metadata {}

/// A date as AWS's extension writes it. The services count milliseconds, which the SDK has from a float
/// with a little less.
fn written(date: &DateTime) -> Option<String> {
    let millis = (date.as_secs_f64() * 1000.0).round();
    DateTime::from_millis(millis as i64).fmt(Format::DateTime).ok()
}

/// Whether a client takes what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    WhenDue,
    Now,
}

impl Endpoint for OnDemand {
    async fn answer(&self, path: &str, query: &str) -> Result<Response, Refusal> {
        // Many clients have a slash more than it takes, before the query or at the beginning.
        match path.trim_matches('/') {
            "systemsmanager/parameters/get" => {
                let names = ["name", "version", "label", "withDecryption", "refreshNow"];
                let [name, version, label, decryption, refresh] = query::parse(query, names)?;
                let wanted = Parameter::wanted(query, [name, version, label, decryption])?;
                Ok(self.parameters.respond(wanted, refresh_now(refresh)?).await)
            }
            "secretsmanager/get" => {
                let names = ["secretId", "versionId", "versionStage", "refreshNow"];
                let [id, version_id, version_stage, refresh] = query::parse(query, names)?;
                let wanted = Secret::wanted(id, version_id, version_stage)?;
                Ok(self.secrets.respond(wanted, refresh_now(refresh)?).await)
            }
            _ => Err(Refusal::not_found()),
        }
    }
}

fn refresh_now(value: query::Value<'_>) -> Result<Refresh, Refusal> {
    match query::boolean("refreshNow", value)? {
        Some(true) => Ok(Refresh::Now),
        Some(false) | None => Ok(Refresh::WhenDue),
    }
}
