//! A service's client, which is made anew after a SnapStart restore, and whose calls are counted.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::SdkConfig;

use super::{Aws, Place};
use crate::sources::count_call;

/// The client of a service at one place.
pub(crate) struct Client<C> {
    aws: Aws,
    place: Place,
    make: fn(&SdkConfig) -> C,
    present: ArcSwap<C>,
}

impl<C> Client<C> {
    pub(crate) fn new(aws: Aws, place: Place, make: fn(&SdkConfig) -> C) -> Self {
        let present = ArcSwap::from_pointee(make(&aws.config(&place)));
        Self { aws, place, make, present }
    }

    pub(crate) fn get(&self) -> Arc<C> {
        self.present.load_full()
    }

    /// Makes it anew, with connections and credentials of its own.
    pub(crate) fn reset(&self) {
        let config = self.aws.reconnected().config(&self.place);
        self.present.store(Arc::new((self.make)(&config)));
    }
}

impl<C> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An HTTP client whose requests, retries included, are counted by the fetch they belong to.
#[derive(Debug)]
pub(super) struct Counted(pub(super) SharedHttpClient);

impl HttpClient for Counted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(CountedConnector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct CountedConnector(SharedHttpConnector);

impl HttpConnector for CountedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        count_call();
        self.0.call(request)
    }
}
