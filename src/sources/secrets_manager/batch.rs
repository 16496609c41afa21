//! BatchGetSecretValue: many secrets in one call, for as long as the service lets us.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::ApiErrorType;
use aws_sdk_secretsmanager::types::error::ResourceNotFoundException;

use super::content::Found;
use crate::error::ErrorKind;
use crate::sources::FetchError;
use crate::sources::aws::{failure, kind_of};

/// How many secrets a call takes.
pub(super) const LIMIT: usize = 20;
/// The most batches that go one by one before the batch operation is tried again.
const LONGEST_REST: u32 = 64;

/// Whether secrets are fetched in batches: not where the role lacks the permission, and not for a
/// while after the service has throttled it, which it does at a hundred calls a second for a whole
/// account. (Single calls have a hundred times that.)
#[derive(Debug, Default)]
pub(super) struct Batching {
    /// How many more batches go one by one; [`NEVER`] if all do.
    resting: AtomicU32,
    /// How many did after the last throttling.
    rest: AtomicU32,
}

const NEVER: u32 = u32::MAX;

impl Batching {
    /// Whether the next batch may be one call.
    pub(super) fn is_on(&self) -> bool {
        let rest = |left: u32| match left {
            0 => None,
            NEVER => Some(NEVER),
            left => Some(left - 1),
        };
        self.resting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_err()
    }

    pub(super) fn succeeded(&self) {
        self.rest.store(0, Ordering::Relaxed);
    }

    /// Whether single calls may succeed where the batch operation has failed so.
    pub(super) fn falls_back(&self, error: &FetchError) -> bool {
        match error.kind {
            ErrorKind::Denied => {
                if self.resting.swap(NEVER, Ordering::Relaxed) != NEVER {
                    tracing::warn!(
                        error = %error.cause,
                        "secrets are fetched one by one: the role lacks the permission \
                         secretsmanager:BatchGetSecretValue"
                    );
                }
                true
            }
            ErrorKind::Throttled => {
                let rest = self.rest.load(Ordering::Relaxed);
                let rest = rest.saturating_mul(2).clamp(1, LONGEST_REST);
                self.rest.store(rest, Ordering::Relaxed);
                self.resting.store(rest, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    pub(super) fn reset(&self) {
        self.resting.store(0, Ordering::Relaxed);
        self.rest.store(0, Ordering::Relaxed);
    }
}

/// The current values of secrets, in their order. What is wrong with one of them is its own failure.
pub(super) async fn current(
    client: &Client,
    secrets: &[&str],
) -> Result<Vec<Result<Found, FetchError>>, FetchError> {
    let ids: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
    let mut found: HashMap<String, Found> = HashMap::new();
    let mut failed: HashMap<String, FetchError> = HashMap::new();
    let mut token = None;
    loop {
        let call = client.batch_get_secret_value().set_secret_id_list(Some(ids.clone()));
        let page = call.set_next_token(token).send().await.map_err(failure)?;
        for value in page.secret_values.unwrap_or_default() {
            let names = [value.name, value.arn];
            let one = Found::new(
                value.version_id,
                value.created_date,
                value.secret_string,
                value.secret_binary,
            );
            for name in names.into_iter().flatten() {
                found.insert(name, one.clone());
            }
        }
        for error in page.errors.unwrap_or_default() {
            failed.insert(error.secret_id.clone().unwrap_or_default(), refused(error));
        }
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    let result = |&secret: &&str| match (lookup(&found, secret), lookup(&failed, secret)) {
        (Some(found), _) => Ok(found.clone()),
        (None, Some(error)) => Err(error.clone()),
        (None, None) => {
            let cause = format!("the answer does not mention {secret}");
            Err(FetchError::new(ErrorKind::Source, cause))
        }
    };
    Ok(secrets.iter().map(result).collect())
}

/// By name, by ARN, or by an ARN without the six characters at its end.
fn lookup<'a, T>(answers: &'a HashMap<String, T>, secret: &str) -> Option<&'a T> {
    let partial = |name: &str| {
        name.strip_prefix(secret).is_some_and(|rest| rest.len() == 7 && rest.starts_with('-'))
    };
    let arn = || answers.iter().find(|(name, _)| partial(name)).map(|(_, answer)| answer);
    answers.get(secret).or_else(|| secret.starts_with("arn:").then(arn).flatten())
}

/// What the batch operation says of one secret.
#[derive(Debug)]
struct Refused {
    code: String,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl StdError for Refused {}

/// The failure of one secret of a batch; where the SDK has a type for it, that is the cause, as it
/// is of a single call.
fn refused(error: ApiErrorType) -> FetchError {
    let (code, message) = (error.error_code.unwrap_or_default(), error.message.unwrap_or_default());
    let kind = kind_of(&code);
    match kind {
        ErrorKind::NotFound => {
            let error = ResourceNotFoundException::builder().message(message).build();
            FetchError::new(kind, error)
        }
        _ => FetchError::new(kind, Refused { code: code.clone(), message }),
    }
}
