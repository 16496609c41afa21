//! What all AWS sources share: client configuration that suits an environment which freezes, where
//! a service is asked, and what a client's failure means.

mod client;
mod credentials;
#[cfg(any(feature = "dynamodb", feature = "secrets-manager", feature = "ssm"))]
pub(crate) mod culprits;
mod failure;
mod http;
#[cfg(any(feature = "dynamodb", feature = "secrets-manager"))]
pub(crate) mod permission;
mod place;
mod pool;
mod role;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;
use aws_types::SdkConfig;
use aws_types::region::Region;

use self::client::Counted;
use self::credentials::AssumedRole;
use self::http::{Http, SharedClocks};
use crate::clock::Clocks;

pub(crate) use self::client::Client;
pub(crate) use self::failure::{failure, kind_of};
pub use self::place::{AwsEntry, Place};
pub use self::role::Role;

/// One attempt of a request, of which the SDK makes up to three. (The SDK has no limit.)
const ATTEMPT: Duration = Duration::from_millis(1500);

/// The AWS configuration of a cache. Clones share connections and credentials.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    given: SdkConfig,
    http_client: SharedHttpClient,
    clocks: SharedClocks,
    /// Whose credentials have been asked for, so that a role is assumed once for all services.
    identities: SharedIdentityCache,
    roles: Arc<Mutex<HashMap<Role, SharedCredentialsProvider>>>,
}

impl Aws {
    pub(crate) fn new(given: &SdkConfig) -> Self {
        Self::with_clocks(given, SharedClocks::default())
    }

    fn with_clocks(given: &SdkConfig, clocks: SharedClocks) -> Self {
        Self {
            given: given.clone(),
            http_client: SharedHttpClient::new(Counted(http_client(given, &clocks))),
            clocks,
            identities: given.identity_cache().unwrap_or_else(credentials::identity_cache),
            roles: Arc::default(),
        }
    }

    /// Measures idle time of connections by these clocks, if no request has been made yet.
    pub(crate) fn use_clocks(&self, clocks: &Clocks) {
        self.clocks.get_or_init(|| clocks.clone());
    }

    /// The configuration of a client at `place`.
    pub(crate) fn config(&self, place: &Place) -> SdkConfig {
        let given = &self.given;
        let timeouts = given.timeout_config().map_or_else(Default::default, |it| it.to_builder());
        let timeouts = match given.timeout_config().and_then(|it| it.operation_attempt_timeout()) {
            Some(_) => timeouts,
            None => timeouts.operation_attempt_timeout(ATTEMPT),
        };
        let behavior = given.behavior_version().unwrap_or_else(BehaviorVersion::latest);
        let own = given
            .clone()
            .into_builder()
            .behavior_version(behavior)
            .timeout_config(timeouts.build())
            .http_client(self.http_client.clone())
            .identity_cache(self.identities.clone())
            .build();
        let region = place.region().map(|region| Region::new(region.to_owned()));
        let credentials = place.role().map(|role| self.assume(role, &own));
        let (region, credentials) = (
            region.or_else(|| own.region().cloned()),
            credentials.or_else(|| own.credentials_provider()),
        );
        let mut placed = own.into_builder().region(region);
        placed.set_credentials_provider(credentials);
        placed.build()
    }

    /// The credentials of a role, which is assumed in the configuration's own region.
    fn assume(&self, role: &Role, own: &SdkConfig) -> SharedCredentialsProvider {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let assumed = || SharedCredentialsProvider::new(AssumedRole::new(role, own));
        roles.entry(role.clone()).or_insert_with(assumed).clone()
    }

    /// The configuration's own region.
    pub(crate) fn region(&self) -> Option<&str> {
        self.given.region().map(|region| region.as_ref())
    }

    /// The same configuration with connections and credentials of its own: none survives a snapshot.
    pub(crate) fn reconnected(&self) -> Self {
        Self::with_clocks(&self.given, Arc::clone(&self.clocks))
    }
}

/// The configuration with timeouts and an HTTP client that suit an environment which freezes: for AWS
/// clients of your own, in a [`from_fn`](crate::from_fn) or a [`memo`](crate::Cache::memo).
///
/// An attempt has 1.5 s. A connection is reused until it has been idle for 15 s by either clock of the
/// machine, so none outlives a freeze; `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. A
/// timeout or an HTTP client that the configuration has stays. [`Cache::builder`](crate::Cache::builder)
/// takes the configuration as you have it, and does this by itself.
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
    // Not the client of `Aws`, which counts: such a function is one call, whatever it does.
    let client = http_client(aws, &SharedClocks::default());
    Aws::new(aws).config(&Place::default()).into_builder().http_client(client).build()
}

/// The client that the configuration has, or one that suits an environment which freezes.
fn http_client(given: &SdkConfig, clocks: &SharedClocks) -> SharedHttpClient {
    let own = || SharedHttpClient::new(Http::new(Arc::clone(clocks)));
    given.http_client().unwrap_or_else(own)
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
        let mut place = Place::default();
        place.set_region("us-east-1".to_owned());
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
