//! What clients name themselves, served as AWS's Parameters and Secrets extension serves it:
//! `GET /systemsmanager/parameters/get` and `GET /secretsmanager/get`.

mod failure;
mod parameters;
mod secrets;

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_types::SdkConfig;
use lambda_cache::{Cache, Memo};
use tokio::sync::Semaphore;

use self::failure::Failure;
use self::parameters::Parameter;
use self::secrets::Secret;
use crate::answer::{self, Answer, Response};
use crate::http::{Endpoint, Refusal, query};
use crate::settings::{OnDemandSettings, ServiceSettings};

/// Parameters and secrets by what clients ask for.
#[derive(Debug)]
pub(crate) struct OnDemand {
    parameters: Memo<Parameter, Answer>,
    secrets: Memo<Secret, Answer>,
}

impl OnDemand {
    pub(crate) fn new(cache: &Cache, aws: &SdkConfig, settings: &OnDemandSettings) -> Self {
        let lines = || Lines(Arc::new(Semaphore::new(settings.max_connections)));
        let client = aws_sdk_ssm::Client::new(aws);
        let (line, timeout) = (lines(), settings.parameters.timeout);
        let parameters = cache.memo("systemsmanager/parameters", move |wanted: Parameter| {
            let (client, line) = (client.clone(), line.clone());
            async move { line.within(timeout, wanted.fetch(&client)).await }
        });
        let client = aws_sdk_secretsmanager::Client::new(aws);
        let (line, timeout) = (lines(), settings.secrets.timeout);
        let secrets = cache.memo("secretsmanager", move |wanted: Secret| {
            let (client, line) = (client.clone(), line.clone());
            async move { line.within(timeout, wanted.fetch(&client)).await }
        });
        let OnDemandSettings { cache_size, .. } = *settings;
        Self {
            parameters: bounded(parameters, &settings.parameters, cache_size),
            secrets: bounded(secrets, &settings.secrets, cache_size),
        }
    }
}

fn bounded<K>(
    memo: Memo<K, Answer>,
    settings: &ServiceSettings,
    cache_size: usize,
) -> Memo<K, Answer>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    match cache_size {
        0 => memo.max_entries(1).max_age(Duration::ZERO),
        most => memo.max_entries(most).max_age(settings.max_age),
    }
}

/// How many requests may be under way to one service.
#[derive(Clone)]
struct Lines(Arc<Semaphore>);

impl Lines {
    async fn within(
        &self,
        timeout: Option<Duration>,
        fetch: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, Failure> {
        let fetch = async {
            // Nobody closes it.
            let _line = self.0.acquire().await;
            fetch.await
        };
        match timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, fetch).await.unwrap_or_else(|_| Err(Failure::late()))
            }
            None => fetch.await,
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

async fn read<K>(memo: &Memo<K, Answer>, wanted: K, refresh: Refresh) -> Response
where
    K: Clone + Eq + Hash + std::fmt::Display + Send + Sync + 'static,
{
    let found = match refresh {
        Refresh::WhenDue => memo.get(&wanted).await,
        Refresh::Now => memo.refresh(&wanted).await,
    };
    match found {
        Ok(value) => answer::kept(&value),
        Err(error) => {
            tracing::warn!(%error, wanted = ?wanted.to_string(), "not served");
            failure::respond(&error)
        }
    }
}

impl Endpoint for OnDemand {
    async fn answer(&self, path: &str, query: &str) -> Result<Response, Refusal> {
        // Many clients have a slash more than it takes, before the query or at the beginning.
        match path.trim_matches('/') {
            "systemsmanager/parameters/get" => {
                let names = ["name", "version", "label", "withDecryption", "refreshNow"];
                let [name, version, label, decryption, refresh] = query::parse(query, names)?;
                let wanted = Parameter::wanted(query, [name, version, label, decryption])?;
                Ok(read(&self.parameters, wanted, refresh_now(refresh)?).await)
            }
            "secretsmanager/get" => {
                let names = ["secretId", "versionId", "versionStage", "refreshNow"];
                let [id, version_id, version_stage, refresh] = query::parse(query, names)?;
                let wanted = Secret::wanted(id, version_id, version_stage)?;
                Ok(read(&self.secrets, wanted, refresh_now(refresh)?).await)
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
