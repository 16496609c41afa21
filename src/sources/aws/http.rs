//! The HTTP client of AWS clients: TLS, the environment's proxies, a [`Pool`] for each pair of
//! timeouts, and a count of the requests.

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
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;

use super::pool::{IDLE, Pool, SharedClocks};
use crate::sources::count_call;

/// An HTTP client. The clients of services that share it share its connections.
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

    /// Makes connectors, each with connections of its own.
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

    /// Loads the certificates when the first client is made, since that takes too long for a fetch.
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

/// Over HTTP/2, which the client takes where a service offers it.
#[cfg(all(test, feature = "ssm"))]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_sdk_ssm::Client;
    use aws_smithy_http_client::tls::TrustStore;
    use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
    use aws_smithy_runtime_api::client::http::SharedHttpClient;
    use aws_smithy_types::timeout::TimeoutConfig;
    use aws_types::SdkConfig;
    use aws_types::region::Region;
    use hyper::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// A service that speaks HTTP/2 alone.
    struct Service {
        endpoint: String,
        /// Its certificate.
        pem: String,
        connected: AtomicUsize,
        /// Connections that are older than this many answer no more.
        dead: AtomicUsize,
    }

    impl Service {
        async fn start() -> Arc<Self> {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key");
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
            let config = ServerConfig::builder().with_no_client_auth();
            let mut config =
                config.with_single_cert(vec![made.cert.der().clone()], key).expect("both");
            config.alpn_protocols = vec![b"h2".to_vec()];
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("it is bound").port();
            let service = Arc::new(Self {
                endpoint: format!("https://localhost:{port}"),
                pem: made.cert.pem(),
                connected: AtomicUsize::new(0),
                dead: AtomicUsize::new(0),
            });
            tokio::spawn(
                Arc::clone(&service).listen(listener, TlsAcceptor::from(Arc::new(config))),
            );
            service
        }

        async fn listen(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor) {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let number = self.connected.fetch_add(1, SeqCst);
                let (service, acceptor) = (Arc::clone(&self), acceptor.clone());
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.expect("a handshake"));
                    let answer = service_fn(move |_| {
                        let is_dead = number < service.dead.load(SeqCst);
                        async move {
                            if is_dead {
                                std::future::pending::<()>().await;
                            }
                            Ok::<_, Infallible>(Response::new(r#"{"Parameters": []}"#.to_owned()))
                        }
                    });
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(stream, answer).await.ok();
                });
            }
        }

        fn client(&self) -> Client {
            let store = TrustStore::empty().with_pem_certificate(self.pem.as_bytes());
            let tls = TlsContext::builder().with_trust_store(store).build().expect("a context");
            let credentials = Credentials::new("key", "secret", None, None, "test");
            let timeouts =
                TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1));
            let config = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static("eu-west-1"))
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .timeout_config(timeouts.build())
                .endpoint_url(&self.endpoint)
                .http_client(SharedHttpClient::new(Http { tls, ..Http::default() }))
                .build();
            Client::new(&config)
        }
    }

    #[tokio::test]
    async fn a_connection_that_hangs_is_not_used_for_the_next_attempt() {
        let service = Service::start().await;
        let client = service.client();
        for _ in 0..2 {
            client.get_parameters().names("a").send().await.expect("an answer");
        }
        assert_eq!(service.connected.load(SeqCst), 1, "it is HTTP/2, and shared");
        service.dead.store(1, SeqCst);
        client.get_parameters().names("a").send().await.expect("an answer to the second attempt");
        assert_eq!(service.connected.load(SeqCst), 2);
    }
}
