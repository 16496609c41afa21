//! BatchGetSecretValue: many secrets in one call.

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

use super::batching::Batching;
use super::content::Found;
use super::one;
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::culprits::{BatchCall, CallError};
use crate::sources::aws::{failure, kind_of};

/// How many secrets a call takes.
pub(super) const LIMIT: usize = 20;

/// The current values of secrets: BatchGetSecretValue for several, where that is possible, and
/// GetSecretValue for one.
pub(super) struct CurrentValues<'a> {
    pub(super) client: &'a Client,
    pub(super) batching: &'a Batching,
}

impl BatchCall<String> for CurrentValues<'_> {
    type Answer = Found;

    const LIMIT: usize = LIMIT;

    async fn call(&self, secrets: &[String]) -> Result<Vec<Result<Found, FetchError>>, CallError> {
        if let [secret] = secrets {
            let found = one(self.client, secret, None, None).await.map_err(CallError::new)?;
            return Ok(vec![Ok(found)]);
        }
        if self.batching.is_on() {
            match together(self.client, secrets).await {
                Ok(found) => {
                    self.batching.succeeded();
                    return Ok(found);
                }
                Err(error) if error.code().map(kind_of) == Some(ErrorKind::Throttled) => {
                    self.batching.throttled();
                }
                Err(error) => return Err(CallError::new(error)),
            }
        }
        let found = secrets.iter().map(|secret| one(self.client, secret, None, None));
        Ok(join_all(found).await.into_iter().map(|it| it.map_err(failure)).collect())
    }

    /// One by one: a refusal is hardly ever about a secret, since the answer has errors for those.
    fn split(&self, secrets: Vec<String>) -> Vec<Vec<String>> {
        secrets.into_iter().map(|secret| vec![secret]).collect()
    }

    /// GetSecretValue is allowed where BatchGetSecretValue is not.
    fn refused_without_culprit(&self, failure: &FetchError, _: &[&String]) {
        let error = failure.cause.downcast_ref::<SdkError<BatchGetSecretValueError>>();
        if let Some(error) = error.filter(|it| it.code() == Some("AccessDeniedException")) {
            self.batching.denied(error.message());
        }
    }
}

/// Several secrets in one call. What is wrong with one of them is its own failure.
async fn together(
    client: &Client,
    secrets: &[String],
) -> Result<Vec<Result<Found, FetchError>>, SdkError<BatchGetSecretValueError>> {
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

/// What the service said of one secret, and its names.
struct Answer {
    names: [Option<String>; 2],
    said: Result<Found, FetchError>,
}

impl Answer {
    fn value(value: SecretValueEntry) -> Self {
        let names = [value.name, value.arn];
        let found = Found::new(value.version_id, value.secret_string, value.secret_binary);
        Self { names, said: Ok(found) }
    }

    fn error(error: ApiErrorType) -> Self {
        Self { names: [error.secret_id.clone(), None], said: Err(refused(error)) }
    }

    fn has_name(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.names.iter().flatten().any(|name| matches(name))
    }
}

/// By name, by ARN, or by an ARN without the six characters at its end.
fn find(answers: &[Answer], secret: &str) -> Result<Found, FetchError> {
    let is_partial = secret.starts_with("arn:");
    let partial = |name: &str| {
        let rest = name.strip_prefix(secret).filter(|_| is_partial);
        rest.is_some_and(|rest| rest.len() == 7 && rest.starts_with('-'))
    };
    let exact = answers.iter().find(|it| it.has_name(|name| name == secret));
    match exact.or_else(|| answers.iter().find(|it| it.has_name(partial))) {
        Some(answer) => answer.said.clone(),
        None => {
            let cause = format!("the answer does not mention {secret}");
            Err(FetchError::new(ErrorKind::Source, cause))
        }
    }
}

/// The failure of one secret of a batch: what a call for it alone would have said.
fn refused(error: ApiErrorType) -> FetchError {
    use GetSecretValueError as Said;
    let (code, message) = (error.error_code.unwrap_or_default(), error.message);
    let meta = ErrorMetadata::builder().code(&code);
    let meta = message.iter().fold(meta, |meta, message| meta.message(message)).build();
    macro_rules! said {
        ($error:ident) => {
            Said::$error($error::builder().set_message(message).meta(meta).build())
        };
    }
    let cause = match &*code {
        "ResourceNotFoundException" => said!(ResourceNotFoundException),
        "InvalidRequestException" => said!(InvalidRequestException),
        "InvalidParameterException" => said!(InvalidParameterException),
        "DecryptionFailure" => said!(DecryptionFailure),
        "InternalServiceError" => said!(InternalServiceError),
        _ => Said::generic(meta),
    };
    FetchError::new(kind_of(&code), cause)
}

/// A throttled batch is not tried again, which would take seconds: single calls are at hand.
#[derive(Debug)]
struct NoRetryOfThrottled;

fn no_retry_of_throttled() -> Builder {
    Config::builder().retry_classifier(NoRetryOfThrottled)
}

impl ClassifyRetry for NoRetryOfThrottled {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(|result| result.err());
        let said = error.and_then(|error| error.as_operation_error());
        let said = said.and_then(|said| said.downcast_ref::<BatchGetSecretValueError>());
        match said.and_then(|said| said.code()).map(kind_of) {
            Some(ErrorKind::Throttled) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no retry of throttled batches"
    }
}
