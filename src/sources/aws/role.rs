//! The credentials of a role that is assumed.
//!
//! The SDK's own provider asks STS. The SDK's identity cache, shared by all clients of a cache, keeps
//! what it gives and asks again shortly before it expires; both happen within a fetch, so that
//! nothing of it is in flight when the environment freezes.

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, Result};
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_types::SdkConfig;
use tokio::sync::OnceCell;

/// What CloudTrail shows as the session's name.
const SESSION: &str = "lambda-cache";

pub(super) fn identity_cache() -> SharedIdentityCache {
    IdentityCache::lazy().build()
}

/// A role; what asks for it is made at the first use, since that is async and a declaration is not.
#[derive(Debug)]
pub(super) struct Role {
    arn: String,
    config: SdkConfig,
    provider: OnceCell<AssumeRoleProvider>,
}

impl Role {
    /// A role that is assumed with the credentials of `config`.
    pub(super) fn new(arn: &str, config: &SdkConfig) -> Self {
        let clock = config.time_source().unwrap_or_default();
        let config = config.clone().into_builder().time_source(clock).build();
        Self { arn: arn.to_owned(), config, provider: OnceCell::new() }
    }

    async fn credentials(&self) -> Result {
        let make = || {
            let role = AssumeRoleProvider::builder(&self.arn);
            role.session_name(SESSION).configure(&self.config).build()
        };
        self.provider.get_or_init(make).await.provide_credentials().await
    }
}

impl ProvideCredentials for Role {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.credentials())
    }
}
