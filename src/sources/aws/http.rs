//! The HTTP client of AWS clients: TLS, the proxies that the environment names, and a [`Pool`] for each
//! pair of timeouts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;

use super::pool::{IDLE, Pool};
use crate::clock::Clocks;

/// The clocks that measure idle time: the cache's, once it is spawned.
pub(super) type SharedClocks = Arc<OnceLock<Clocks>>;

/// An HTTP client. Services' clients that share it share its connections.
#[derive(Debug, Default)]
pub(super) struct Http {
    clocks: SharedClocks,
    tls: TlsContext,
    certificates_loaded: OnceLock<()>,
    /// One for each pair of timeouts, of connecting and reading.
    pools: Mutex<HashMap<[Option<Duration>; 2], SharedHttpConnector>>,
}

impl Http {
    pub(super) fn new(clocks: SharedClocks) -> Self {
        Self { clocks, ..Self::default() }
    }

    /// Makes connectors, each of which has connections of its own.
    fn connectors(
        &self,
        settings: &HttpConnectorSettings,
        components: Option<&RuntimeComponents>,
    ) -> impl Fn() -> SharedHttpConnector + Send + Sync + use<> {
        let mut builder = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(self.tls.clone())
            .connector_settings(settings.clone())
            .proxy_config(ProxyConfig::from_env())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1);
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        move || SharedHttpConnector::new(builder.clone().build())
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeouts = [settings.connect_timeout(), settings.read_timeout()];
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || self.connectors(settings, Some(components));
        let pool = || SharedHttpConnector::new(Pool::new(Arc::clone(&self.clocks), make()));
        pools.entry(timeouts).or_insert_with(pool).clone()
    }

    /// Loads the certificates, which takes a while, when the first client is made rather than in a
    /// fetch.
    fn validate_base_client_config(
        &self,
        _: &RuntimeComponentsBuilder,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        let settings = HttpConnectorSettings::builder().build();
        self.certificates_loaded.get_or_init(|| drop(self.connectors(&settings, None)()));
        Ok(())
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

#[cfg(all(test, feature = "ssm"))]
mod tests;
