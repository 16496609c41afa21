//! What all AWS sources share: clients that suit an environment which freezes, the places at which
//! entries ask, batches that split when they are refused, and what a client's error means.
#![cfg_attr(
    not(all(feature = "dynamodb", feature = "s3", feature = "secrets-manager", feature = "ssm")),
    allow(dead_code, unused_imports)
)]

pub(crate) mod batcher;
mod entry;
mod failure;
mod http;
mod pool;
mod role;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use tokio::sync::OnceCell;

use self::http::{Counted, Http};
use self::pool::SharedClocks;
use crate::clock::Clocks;
use crate::sources::is_retried;

pub(crate) use self::entry::{
    AtPlace, AwsSource, Declaration, arn_parts, consists_of, entry, invalid, is_account,
    place_options,
};
pub use self::entry::{AwsEntry, Place};
pub(crate) use self::failure::{CallError, failure, kind_of};
pub use self::role::Role;

/// One attempt of a request, of which the SDK makes up to three. (The SDK has no limit.)
const ATTEMPT: Duration = Duration::from_millis(1500);

/// The AWS configuration of a cache. Clones share connections and credentials.
#[derive(Debug, Clone)]
pub struct Aws {
    /// As the user gave it.
    config: SdkConfig,
    http_client: SharedHttpClient,
    clocks: SharedClocks,
    /// Keeps credentials, and asks for them again shortly before they expire. That is part of a
    /// fetch, so nothing of it is in flight when the environment freezes.
    identities: SharedIdentityCache,
    /// The roles that entries have named, so that one is assumed once for all services.
    roles: Arc<Mutex<HashMap<Role, SharedCredentialsProvider>>>,
}

impl Aws {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self::with_clocks(config, SharedClocks::default())
    }

    fn with_clocks(config: &SdkConfig, clocks: SharedClocks) -> Self {
        let identities = || IdentityCache::lazy().build();
        Self {
            config: config.clone(),
            http_client: SharedHttpClient::new(Counted(http_client(config, &clocks))),
            clocks,
            identities: config.identity_cache().unwrap_or_else(identities),
            roles: Arc::default(),
        }
    }

    /// Measures idle time of connections by these clocks, unless a request has been made already.
    pub(crate) fn use_clocks(&self, clocks: &Clocks) {
        self.clocks.get_or_init(|| clocks.clone());
    }

    /// The configuration of a client at `place`.
    fn config(&self, place: &Place) -> SdkConfig {
        let given = &self.config;
        let timeouts = given.timeout_config().map_or_else(Default::default, |it| it.to_builder());
        let timeouts = match given.timeout_config().and_then(|it| it.operation_attempt_timeout()) {
            Some(_) => timeouts,
            None => timeouts.operation_attempt_timeout(ATTEMPT),
        };
        let behavior = given.behavior_version().unwrap_or_else(BehaviorVersion::latest);
        let config = given
            .clone()
            .into_builder()
            .behavior_version(behavior)
            .timeout_config(timeouts.build())
            .http_client(self.http_client.clone())
            .identity_cache(self.identities.clone())
            .build();
        let credentials = place.role.as_ref().map(|role| self.assume(role, &config));
        let mut placed = config.into_builder();
        if let Some(region) = &place.region {
            placed.set_region(Region::new(region.clone()));
        }
        if let Some(credentials) = credentials {
            placed.set_credentials_provider(Some(credentials));
        }
        placed.build()
    }

    /// The credentials of a role, which is assumed in the configuration's own region.
    fn assume(&self, role: &Role, config: &SdkConfig) -> SharedCredentialsProvider {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let assumed = || SharedCredentialsProvider::new(AssumedRole::new(role, config));
        roles.entry(role.clone()).or_insert_with(assumed).clone()
    }

    /// The configuration's own region.
    fn region(&self) -> Option<&str> {
        self.config.region().map(|region| region.as_ref())
    }

    /// The same configuration with connections and credentials of its own.
    fn reconnected(&self) -> Self {
        Self::with_clocks(&self.config, Arc::clone(&self.clocks))
    }
}

/// The configuration with timeouts and an HTTP client that suit an environment which freezes: for AWS
/// clients of your own, in a [`from_fn`](crate::from_fn) or a [`memo`](crate::Cache::memo).
///
/// An attempt has 1.5 s. A connection is reused until it has been idle for 15 s by either clock of the
/// machine, so none outlives a freeze; `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. A
/// timeout or an HTTP client that the configuration has stays. [`Cache::builder`](crate::Cache::builder)
/// does this itself.
///
/// ```no_run
/// # async fn example() {
/// use lambda_cache::sources::freeze_safe;
///
/// let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
/// let config = freeze_safe(&aws); // for `aws_sdk_kms::Client::new(&config)`, say
/// # }
/// ```
pub fn freeze_safe(aws: &SdkConfig) -> SdkConfig {
    // Not the counting client of `Aws`: a function counts as one call, whatever it does.
    let client = http_client(aws, &SharedClocks::default());
    Aws::new(aws).config(&Place::default()).into_builder().http_client(client).build()
}

/// The client that the configuration has, or one that suits an environment which freezes.
fn http_client(config: &SdkConfig, clocks: &SharedClocks) -> SharedHttpClient {
    let own = || SharedHttpClient::new(Http::new(Arc::clone(clocks)));
    config.http_client().unwrap_or_else(own)
}

/// A digest of a content, as its version: half of a SHA-256 is unique enough, and short in traces.
pub(crate) fn short_digest(sha256: &[u8]) -> String {
    sha256.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The client of a service at one place.
pub(crate) struct Client<C> {
    aws: Aws,
    place: Place,
    make: fn(&SdkConfig) -> C,
    current: ArcSwap<C>,
    /// The same without the SDK's retries, for fetches that the refresher retries.
    current_without_retries: ArcSwap<C>,
}

impl<C> Client<C> {
    pub(crate) fn new(aws: Aws, place: Place, make: fn(&SdkConfig) -> C) -> Self {
        let config = aws.config(&place);
        let current = ArcSwap::from_pointee(make(&config));
        let current_without_retries = ArcSwap::from_pointee(make(&without_retries(config)));
        Self { aws, place, make, current, current_without_retries }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The client for the fetch that runs in this task.
    pub(crate) fn get(&self) -> Arc<C> {
        let current = if is_retried() { &self.current_without_retries } else { &self.current };
        current.load_full()
    }

    /// Replaces it by one with new connections and credentials: none may outlive a SnapStart snapshot.
    pub(crate) fn reset(&self) {
        let config = self.aws.reconnected().config(&self.place);
        self.current.store(Arc::new((self.make)(&config)));
        self.current_without_retries.store(Arc::new((self.make)(&without_retries(config))));
    }
}

fn without_retries(config: SdkConfig) -> SdkConfig {
    config.into_builder().retry_config(RetryConfig::disabled()).build()
}

impl<C> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Gives the credentials of a role.
#[derive(Debug)]
struct AssumedRole {
    role: Role,
    session_name: String,
    config: SdkConfig,
    /// Made at the first use: the SDK makes it in an async function, and a declaration is not async.
    provider: OnceCell<AssumeRoleProvider>,
}

impl AssumedRole {
    /// A role that is assumed with the credentials of `config`.
    fn new(role: &Role, config: &SdkConfig) -> Self {
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
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(async {
            let provider = self.provider.get_or_init(|| self.make_provider()).await;
            provider.provide_credentials().await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_an_attempt_timeout_unless_the_user_gave_one() {
        let given = SdkConfig::builder().region(Region::new("eu-west-1")).build();
        let config = Aws::new(&given).config(&Place::default());
        let timeouts = config.timeout_config().expect("timeouts");
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT));
        assert_eq!(config.region().map(|it| it.as_ref()), Some("eu-west-1"));

        let own = Duration::from_secs(9);
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder();
        let timeouts = timeouts.operation_attempt_timeout(own).build();
        let given = given.into_builder().timeout_config(timeouts).build();
        let place = Place { region: Some("us-east-1".to_owned()), role: None };
        let config = Aws::new(&given).config(&place);
        let timeouts = config.timeout_config().expect("timeouts");
        assert_eq!(timeouts.operation_attempt_timeout(), Some(own));
        assert_eq!(config.region().map(|it| it.as_ref()), Some("us-east-1"));
    }

    #[test]
    fn a_client_of_ones_own_has_them_too() {
        let config = freeze_safe(&SdkConfig::builder().build());
        let timeouts = config.timeout_config().expect("timeouts");
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT));
        assert!(config.http_client().is_some());
    }
}
