//! [`Missing`]: what every call to AWS needs, and this process has not been given.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ErrorMetadata;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Region,
    Credentials,
}

impl Missing {
    /// What kept a call from being sent, if it was one of these. The SDK reports both as a failed
    /// dispatch, as it does connections that break.
    pub(crate) fn behind(error: &(dyn StdError + 'static)) -> Option<Self> {
        let causes = || std::iter::successors(Some(error), |&it| it.source());
        // STS has refused a role: nothing is missing here.
        if causes().any(|it| it.is::<ErrorMetadata>()) {
            return None;
        }
        if causes().any(|it| it.is::<CredentialsError>()) {
            return Some(Self::Credentials);
        }
        // The error itself is of a type that is not public.
        let is_unsent = |it: &(dyn StdError + 'static)| {
            it.downcast_ref::<ConnectorError>().is_some_and(|it| it.is_other())
        };
        let reason = causes().last()?.to_string().to_ascii_lowercase();
        let is_region = reason.contains("missing") && reason.contains("region");
        (causes().any(is_unsent) && is_region).then_some(Self::Region)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Region => "no region: set AWS_REGION, or `region` of what is declared",
            Self::Credentials => {
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda does"
            }
        })
    }
}
