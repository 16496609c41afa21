//! Why a call to AWS could not even be sent: something is missing here, or cannot be.
//!
//! The SDK reports most of this as a failed dispatch, as it does connections that break.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ErrorMetadata;

pub(crate) const NO_REGION: &str =
    "no region, or none that can be: set AWS_REGION, or `region` of what is declared";
const NO_CREDENTIALS: &str =
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda does";
const NO_ENDPOINT: &str = "no endpoint that can be: check AWS_ENDPOINT_URL";
/// What an `SdkError` says of a request that it could not make. Its type depends on the operation.
const NO_REQUEST: &str = "failed to construct request";

/// What kept the call from being sent, if `error` is of one that was not.
pub(crate) fn unsent(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = || std::iter::successors(Some(error), |&it| it.source());
    // STS has refused a role.
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
    // The errors themselves are of types that are not public.
    let mentions = |word| reason.to_ascii_lowercase().contains(word);
    Some(if mentions("region") {
        format!("{NO_REGION}: {reason}")
    } else if mentions("uri") {
        format!("{NO_ENDPOINT}: {reason}")
    } else {
        reason
    })
}

/// Whether it is a failed dispatch, and not for want of a connection.
fn is_before_sending(error: &(dyn StdError + 'static)) -> bool {
    let failure = error.downcast_ref::<ConnectorError>();
    failure.is_some_and(|it| it.is_other() && it.as_other().is_none())
}
