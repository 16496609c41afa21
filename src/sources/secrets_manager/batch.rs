//! BatchGetSecretValue: many secrets in one call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, Config};
use aws_sdk_secretsmanager::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::batch_get_secret_value::BatchGetSecretValueError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::types::error::{
    DecryptionFailure, InternalServiceError, InvalidParameterException, InvalidRequestException,
    ResourceNotFoundException,
};
use aws_sdk_secretsmanager::types::{ApiErrorType, SecretValueEntry};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use futures_util::future::join_all;

use super::secret::{self, SecretVersion};
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::batcher::{BatchCall, Batcher, CallResult};
use crate::sources::aws::{CallError, failure, kind_of};

/// How many secrets a call takes.
pub(super) const LIMIT: usize = 20;
/// The only resource on which the batch operation can be allowed.
const ANY: &str = "*";
/// The most batches that are asked for one by one before the batch operation is tried again.
const MAX_PAUSE: u32 = 64;

/// The current values of secrets: BatchGetSecretValue for several, where that is possible, and
/// GetSecretValue for one.
pub(super) struct CurrentValues<'a> {
    pub(super) client: &'a Client,
    pub(super) batcher: &'a Batcher<String>,
    pub(super) throttle: &'a Throttle,
}

impl BatchCall<String> for CurrentValues<'_> {
    type Answer = SecretVersion;

    const LIMIT: usize = LIMIT;

    async fn call(&self, secrets: &[String]) -> CallResult<SecretVersion> {
        if let [secret] = secrets {
            let version = secret::get_current(self.client, secret).await.map_err(CallError::new)?;
            return Ok(vec![Ok(version)]);
        }
        if self.throttle.allows() && self.batcher.may_batch_on(ANY) {
            match together(self.client, secrets).await {
                Ok(versions) => {
                    self.throttle.succeeded();
                    return Ok(versions);
                }
                Err(error) if error.code().map(kind_of) == Some(ErrorKind::Throttled) => {
                    self.throttle.throttled();
                }
                Err(error) => return Err(CallError::new(error)),
            }
        }
        let versions = secrets.iter().map(|secret| secret::get_current(self.client, secret));
        let versions = join_all(versions).await;
        Ok(versions.into_iter().map(|it| it.map_err(failure)).collect())
    }

    /// One by one: a whole call is hardly ever refused for a secret, since the answer has errors for
    /// single secrets.
    fn split(&self, secrets: Vec<String>) -> Vec<Vec<String>> {
        secrets.into_iter().map(|secret| vec![secret]).collect()
    }

    fn batch_denied(&self, message: Option<&str>, _: &[&String]) {
        self.batcher.deny_batches_on(ANY, "secretsmanager:BatchGetSecretValue", message);
    }
}

/// Whether several secrets can be had in one call at present.
pub(super) fn is_possible(batcher: &Batcher<String>, throttle: &Throttle) -> bool {
    throttle.pause().left == 0 && batcher.may_batch_on(ANY)
}

/// Several secrets in one call. What is wrong with one of them is its own failure.
async fn together(
    client: &Client,
    secrets: &[String],
) -> Result<Vec<Result<SecretVersion, FetchError>>, SdkError<BatchGetSecretValueError>> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut token = None;
    loop {
        let call = client.batch_get_secret_value().set_secret_id_list(Some(secrets.to_vec()));
        let call = call.set_next_token(token).customize().config_override(no_retry_of_throttled());
        let page = call.send().await?;
        answers.extend(page.secret_values.unwrap_or_default().into_iter().map(Answer::value));
        answers.extend(page.errors.unwrap_or_default().into_iter().map(Answer::error));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    Ok(secrets.iter().map(|secret| find(&answers, secret)).collect())
}

/// The part of an answer that is about one secret.
struct Answer {
    names: [Option<String>; 2],
    version: Result<SecretVersion, FetchError>,
}

impl Answer {
    fn value(value: SecretValueEntry) -> Self {
        let names = [value.name, value.arn];
        let version =
            SecretVersion::new(value.version_id, value.secret_string, value.secret_binary);
        Self { names, version: Ok(version) }
    }

    fn error(error: ApiErrorType) -> Self {
        Self { names: [error.secret_id.clone(), None], version: Err(refused(error)) }
    }

    fn has_name(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.names.iter().flatten().any(|name| matches(name))
    }
}

/// Finds a secret by name, by ARN, or by an ARN without the six characters at its end. By that, values
/// come first: their ARNs are whole, while that of an error may be as it was asked for.
fn find(answers: &[Answer], secret: &str) -> Result<SecretVersion, FetchError> {
    let is_arn = secret.starts_with("arn:");
    let is_partial = |name: &str| {
        let rest = name.strip_prefix(secret).filter(|_| is_arn);
        rest.is_some_and(|rest| rest.len() == 7 && rest.starts_with('-'))
    };
    let exact = answers.iter().find(|it| it.has_name(|name| name == secret));
    let (values, errors): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|it| it.version.is_ok());
    let mut partial = values.into_iter().chain(errors).filter(|it| it.has_name(is_partial));
    match exact.or_else(|| partial.next()) {
        Some(answer) => answer.version.clone(),
        None => {
            let cause = format!("the answer does not mention {secret}");
            Err(FetchError::new(ErrorKind::Source, cause).lasting())
        }
    }
}

/// The failure of one secret of a batch: the error that a call for it alone would have given.
fn refused(error: ApiErrorType) -> FetchError {
    use GetSecretValueError as Single;
    let (code, message) = (error.error_code.unwrap_or_default(), error.message);
    let metadata = ErrorMetadata::builder().code(&code);
    let metadata = message.iter().fold(metadata, |it, message| it.message(message)).build();
    macro_rules! single {
        ($error:ident) => {
            Single::$error($error::builder().set_message(message).meta(metadata).build())
        };
    }
    let cause = match &*code {
        "ResourceNotFoundException" => single!(ResourceNotFoundException),
        "InvalidRequestException" => single!(InvalidRequestException),
        "InvalidParameterException" => single!(InvalidParameterException),
        "DecryptionFailure" => single!(DecryptionFailure),
        "InternalServiceError" => single!(InternalServiceError),
        _ => Single::generic(metadata),
    };
    let failure = FetchError::new(kind_of(&code), cause);
    if code == "InternalServiceError" { failure } else { failure.lasting() }
}

/// Forbids the SDK to retry a throttled batch, which would take seconds: single calls are faster.
#[derive(Debug)]
struct NoRetryOfThrottled;

fn no_retry_of_throttled() -> Builder {
    Config::builder().retry_classifier(NoRetryOfThrottled)
}

impl ClassifyRetry for NoRetryOfThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(|result| result.err());
        let error = error.and_then(|error| error.as_operation_error());
        let error = error.and_then(|error| error.downcast_ref::<BatchGetSecretValueError>());
        match error.and_then(|error| error.code()).map(kind_of) {
            Some(ErrorKind::Throttled) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no retry of throttled batches"
    }
}

/// Pauses batch calls after the service has throttled one, which it does at a hundred calls a second
/// for a whole account. (It allows a hundred times as many single calls.)
///
/// A pause is counted in batches, not in time, so that it depends on no clock: a cache that seldom
/// asks is no burden to the service.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Pause>);

#[derive(Debug, Default)]
struct Pause {
    /// How many more batches are asked for one by one.
    left: u32,
    /// The length of the last pause; it doubles until a batch call succeeds.
    length: u32,
}

impl Throttle {
    /// Whether the next batch may be one call.
    fn allows(&self) -> bool {
        let mut pause = self.pause();
        let is_over = pause.left == 0;
        pause.left = pause.left.saturating_sub(1);
        is_over
    }

    fn succeeded(&self) {
        self.pause().length = 0;
    }

    fn throttled(&self) {
        let mut pause = self.pause();
        pause.length = pause.length.saturating_mul(2).clamp(1, MAX_PAUSE);
        pause.left = pause.length;
    }

    pub(super) fn reset(&self) {
        *self.pause() = Pause::default();
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "../../../tests/parsers/secrets_batch.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches are asked for one by one before a batch call is tried.
    fn pause(throttle: &Throttle) -> u32 {
        std::iter::repeat_with(|| throttle.allows()).take_while(|allows| !allows).map(|_| 1).sum()
    }

    #[test]
    fn the_pause_after_a_throttling_doubles_until_a_batch_succeeds() {
        let throttle = Throttle::default();
        assert_eq!(pause(&throttle), 0);
        for expected in [1, 2, 4, 8, 16, 32, 64, 64] {
            throttle.throttled();
            assert_eq!(pause(&throttle), expected);
        }
        throttle.succeeded();
        throttle.throttled();
        assert_eq!(pause(&throttle), 1);
    }
}
