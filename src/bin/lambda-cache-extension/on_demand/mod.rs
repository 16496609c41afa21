//! Port 2773: the parameters and secrets that clients ask for by name, served as AWS's Parameters and
//! Secrets extension does: `GET /systemsmanager/parameters/get` and `GET /secretsmanager/get`.

mod failure;
mod operations;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use lambda_cache::{Builder, Error, Memo, Value};
use tokio::sync::Semaphore;
use tracing::Span;

use self::failure::Failure;
use self::operations::{GetParameter, GetSecretValue, Operation};
use crate::answer::{Answer, Response};
use crate::http::{Endpoint, Refusal, query};
use crate::messages;
use crate::settings::{OnDemandSettings, ServiceSettings};

/// How much longer the memo's timeout is than ours, which comes first since its error names the call.
const LONGER: Duration = Duration::from_secs(1);
/// How long a request counts. A healthy service answers sooner, and a request that hangs must not hold
/// up others.
const COUNTED_FOR: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct OnDemand {
    parameters: Service<GetParameter>,
    secrets: Service<GetSecretValue>,
}

impl OnDemand {
    /// Declares the memos of both services.
    pub(crate) fn new(builder: &mut Builder, aws: &SdkConfig, settings: &OnDemandSettings) -> Self {
        let ssm = aws_sdk_ssm::Client::new(aws);
        let secrets_manager = aws_sdk_secretsmanager::Client::new(aws);
        Self {
            parameters: Service::new(builder, ssm, settings, &settings.parameters),
            secrets: Service::new(builder, secrets_manager, settings, &settings.secrets),
        }
    }
}

impl Endpoint for OnDemand {
    async fn answer(&self, path: &str, query: &str) -> Result<Response, Refusal> {
        // Many clients send one slash too many, at the start or before the query.
        match path.trim_matches('/') {
            "systemsmanager/parameters/get" => {
                let names = ["name", "version", "label", "withDecryption", "refreshNow"];
                let [name, version, label, decryption, refresh] = query::parse(query, names)?;
                let operation = GetParameter::new(query, [name, version, label, decryption])?;
                Ok(self.parameters.respond(&operation, Refresh::parse(refresh)?).await)
            }
            "secretsmanager/get" => {
                let names = ["secretId", "versionId", "versionStage", "refreshNow"];
                let [id, version_id, version_stage, refresh] = query::parse(query, names)?;
                let operation = GetSecretValue::new([id, version_id, version_stage])?;
                Ok(self.secrets.respond(&operation, Refresh::parse(refresh)?).await)
            }
            _ => Err(Refusal::not_found()),
        }
    }
}

/// Whether a client accepts a cached answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    WhenDue,
    Now,
}

impl Refresh {
    fn parse(value: query::Value<'_>) -> Result<Self, Refusal> {
        match query::boolean("refreshNow", value)? {
            Some(true) => Ok(Self::Now),
            Some(false) | None => Ok(Self::WhenDue),
        }
    }
}

/// The cached answers of one service.
#[derive(Debug)]
struct Service<O> {
    memo: Memo<O, Cached>,
    not_found_ttl: Duration,
}

/// What is cached for an operation.
#[derive(Debug)]
enum Cached {
    Answer(Answer),
    /// For `not_found_ttl`, if that is not zero.
    NotFound(Failure),
}

impl Cached {
    fn size(&self) -> usize {
        match self {
            Self::Answer(answer) => answer.size(),
            Self::NotFound(failure) => failure.size(),
        }
    }
}

impl<O: Operation> Service<O> {
    fn new(
        builder: &mut Builder,
        client: O::Client,
        settings: &OnDemandSettings,
        service: &ServiceSettings,
    ) -> Self {
        let OnDemandSettings { cache_size, max_bytes, not_found_ttl, .. } = *settings;
        let ServiceSettings { max_age, timeout } = *service;
        let limit = RequestLimit::new(settings.max_connections);
        let memo = builder.memo(O::MEMO, move |operation: O| {
            let (client, limit) = (client.clone(), limit.clone());
            async move {
                let call = format!("{} {:?}", O::NAME, messages::quote(&operation.to_string()));
                Span::current().record("key", &call);
                let answer = tokio::time::timeout(timeout, limit.run(operation.call(&client)));
                let answer = answer.await.unwrap_or_else(|_| Err(Failure::timeout(timeout)));
                match answer.map_err(|failure| failure.of_call(call)) {
                    Ok(answer) => Ok(Cached::Answer(answer)),
                    Err(failure) if failure.is_not_found() && !not_found_ttl.is_zero() => {
                        tracing::warn!(error = %failure.with_causes(), "not found");
                        Ok(Cached::NotFound(failure))
                    }
                    Err(failure) => Err(failure),
                }
            }
        });
        let memo = match cache_size {
            0 => memo.max_entries(1).max_age(Duration::ZERO),
            max => memo.max_entries(max).max_age(max_age),
        };
        let memo = memo.timeout(timeout.saturating_add(LONGER));
        let memo = match max_bytes {
            Some(max) => memo.max_bytes(max, |operation: &O, it| operation.size() + it.size()),
            None => memo,
        };
        Self { memo: memo.build(), not_found_ttl }
    }

    async fn respond(&self, operation: &O, refresh: Refresh) -> Response {
        match self.read(operation, refresh).await {
            Ok(cached) => match &*cached {
                Cached::Answer(answer) => answer.respond_cached(&cached),
                Cached::NotFound(failure) => failure.respond(),
            },
            // The refresher has logged the error.
            Err(error) => {
                let response = failure::response(&error);
                let (asked, status) = (operation.to_string(), response.status().as_u16());
                tracing::debug!(asked = messages::quote(&asked), status, "not served");
                response
            }
        }
    }

    async fn read(&self, operation: &O, refresh: Refresh) -> Result<Value<Cached>, Error> {
        if refresh == Refresh::WhenDue {
            let cached = self.memo.get(operation).await?;
            let is_outdated =
                matches!(&*cached, Cached::NotFound(_) if cached.age() >= self.not_found_ttl);
            if !is_outdated {
                return Ok(cached);
            }
        }
        self.memo.refresh(operation).await
    }
}

/// How many requests to one service may be in flight. Clones share one limit.
#[derive(Debug, Clone)]
struct RequestLimit(Arc<Semaphore>);

impl RequestLimit {
    fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// Runs a request as soon as the limit allows.
    async fn run<T>(&self, request: impl Future<Output = T>) -> T {
        // Fails only if the semaphore is closed, which it never is.
        let permit = self.0.acquire().await;
        let mut request = pin!(request);
        match tokio::time::timeout(COUNTED_FOR, &mut request).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(permit);
                request.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_in_flight_than_the_limit() {
        let limit = RequestLimit::new(3);
        let (in_flight, max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let request = async || {
            max.fetch_max(in_flight.fetch_add(1, Relaxed) + 1, Relaxed);
            sleep(Duration::from_millis(100)).await;
            in_flight.fetch_sub(1, Relaxed);
        };
        let all = join_all((0..9).map(|_| limit.run(request())));
        timeout(Duration::from_millis(301), all).await.expect("three at a time");
        assert_eq!(max.into_inner(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hang_do_not_hold_up_others() {
        let limit = RequestLimit::new(3);
        let hang = || timeout(Duration::from_secs(5), limit.run(pending::<()>()));
        let quick = Duration::from_millis(10);
        let another = timeout(COUNTED_FOR + 2 * quick, limit.run(sleep(quick)));
        let (.., another) = tokio::join!(hang(), hang(), hang(), another);
        another.expect("an answer");
    }
}
