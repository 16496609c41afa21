//! Why a call to AWS was not even sent: something that it needs is missing or invalid here.
//!
//! The SDK reports most of this as a failed dispatch, as it does broken connections.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ErrorMetadata;

pub(crate) const NO_REGION: &str =
    "no region, or an invalid one: set AWS_REGION, or `region` in config.yaml";
const NO_CREDENTIALS: &str =
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda does";
const NO_ENDPOINT: &str = "an invalid endpoint: check AWS_ENDPOINT_URL";
/// The text of an `SdkError` for a request that it could not build. Its type depends on the operation.
const NO_REQUEST: &str = "failed to construct request";

/// What kept a call from being sent; `None` if `error` is about a call that was sent.
pub(crate) fn why_unsent(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = || std::iter::successors(Some(error), |&it| it.source());
    // STS has answered: it refuses the role.
    if causes().any(|it| it.is::<ErrorMetadata>()) {
        return None;
    }
    let reason = causes().last()?.to_string();
    if causes().any(|it| it.is::<CredentialsError>()) {
        return Some(format!("{NO_CREDENTIALS}: {reason}"));
    }
    if !causes().any(|it| is_before_sending(it) || it.to_string() == NO_REQUEST)
        || causes().any(|it| it.is::<hyper::Error>())
    {
        return None;
    }
    // The types of these errors are private to the SDK, so only their texts tell them apart.
    let mentions = |word| reason.to_ascii_lowercase().contains(word);
    Some(if mentions("region") {
        format!("{NO_REGION}: {reason}")
    } else if mentions("uri") {
        format!("{NO_ENDPOINT}: {reason}")
    } else {
        reason
    })
}

/// Whether a dispatch failed for another reason than its connection.
fn is_before_sending(error: &(dyn StdError + 'static)) -> bool {
    let failure = error.downcast_ref::<ConnectorError>();
    failure.is_some_and(|it| it.is_other() && it.as_other().is_none())
}
