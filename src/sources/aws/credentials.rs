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

use super::Role;

pub(super) fn identity_cache() -> SharedIdentityCache {
    IdentityCache::lazy().build()
}

/// Assumes a role. The SDK's provider is made at the first use, since that is async and a declaration
/// is not.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Role,
    session_name: String,
    config: SdkConfig,
    provider: OnceCell<AssumeRoleProvider>,
}

impl AssumedRole {
    /// A role that is assumed with the credentials of `config`.
    pub(super) fn new(role: &Role, config: &SdkConfig) -> Self {
        let clock = config.time_source().unwrap_or_default();
        let config = config.clone().into_builder().time_source(clock).build();
        let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").ok();
        let session_name = role.session_name_in(function).into_owned();
        Self { role: role.clone(), session_name, config, provider: OnceCell::new() }
    }

    async fn make_provider(&self) -> AssumeRoleProvider {
        let Role { arn, external_id, session_duration, session_tags, .. } = &self.role;
        let mut provider = AssumeRoleProvider::builder(arn)
            .session_name(&self.session_name)
            .configure(&self.config);
        if let Some(id) = external_id {
            provider = provider.external_id(id);
        }
        if let Some(duration) = *session_duration {
            provider = provider.session_length(duration);
        }
        if !session_tags.is_empty() {
            provider = provider.tags(session_tags.clone());
        }
        provider.build().await
    }

    async fn credentials(&self) -> Result {
        let provider = self.provider.get_or_init(|| self.make_provider()).await;
        provider.provide_credentials().await
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.credentials())
    }
}
