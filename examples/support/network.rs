//! The network between a function and AWS: it is slow, it counts its calls, and it can be cut.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Clones share one network.
#[derive(Debug, Clone)]
pub struct Network {
    service: SharedHttpClient,
    latency: Duration,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    is_cut: AtomicBool,
    responses: Mutex<Vec<Response>>,
}

/// What came back from a call.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// The size of the body.
    pub bytes: usize,
}

impl Network {
    /// A network to this service, on which every call takes `latency`.
    pub fn new(service: SharedHttpClient, latency: Duration) -> Self {
        Self { service, latency, state: Arc::default() }
    }

    /// Calls fail from now on.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
    }

    /// Calls succeed again.
    pub fn repair(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// How many calls have been made.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many calls have not ended.
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::SeqCst)
    }

    /// What came back so far.
    pub fn responses(&self) -> Vec<Response> {
        self.state.responses.lock().expect("no panic").clone()
    }

    /// A call to something that is not behind the HTTP client.
    pub async fn round_trip(&self) -> Result<(), io::Error> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let _in_flight = InFlight::new(&self.state);
        tokio::time::sleep(self.latency).await;
        match self.state.is_cut.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the network is cut")),
            false => Ok(()),
        }
    }
}

/// Counts a call as in flight until it is dropped.
struct InFlight(Arc<State>);

impl InFlight {
    fn new(state: &Arc<State>) -> Self {
        state.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl HttpClient for Network {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let service = self.service.http_connector(settings, components);
        SharedHttpConnector::new(Connector { service, network: self.clone() })
    }
}

#[derive(Debug)]
struct Connector {
    service: SharedHttpConnector,
    network: Network,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (service, network) = (self.service.clone(), self.network.clone());
        HttpConnectorFuture::new(async move {
            // The call returns what was true when it reached the service, before the latency.
            let result = service.call(request).await;
            network.round_trip().await.map_err(|error| ConnectorError::io(error.into()))?;
            if let Ok(response) = &result {
                let bytes = response.body().bytes().map_or(0, <[u8]>::len);
                let response = Response { status: response.status().as_u16(), bytes };
                network.state.responses.lock().expect("no panic").push(response);
            }
            result
        })
    }
}
