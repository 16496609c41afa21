//! The way to AWS and back, which takes a while, can be cut, and knows what is on it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Clones are one network.
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
    cut: AtomicBool,
    answers: Mutex<Vec<Answer>>,
}

/// What a service said to a call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as `BatchGetItem`; of services that do not name it in a header, the HTTP method.
    pub operation: String,
    pub status: u16,
    /// The size of the body.
    pub bytes: usize,
}

impl Network {
    /// The way to this service; a call takes so long, there and back.
    pub fn to(service: SharedHttpClient, latency: Duration) -> Self {
        Self { service, latency, state: Arc::default() }
    }

    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::SeqCst);
    }

    /// How many calls have been made.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many are under way.
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.load(Ordering::SeqCst)
    }

    /// What came back so far.
    pub fn answers(&self) -> Vec<Answer> {
        self.state.answers.lock().expect("no panic").clone()
    }

    /// A call of whatever else is at the other end.
    pub async fn travel(&self) -> Result<(), io::Error> {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay::new(&self.state);
        tokio::time::sleep(self.latency).await;
        match self.state.cut.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the network is cut")),
            false => Ok(()),
        }
    }
}

/// Counts a call as in flight until it has ended or was dropped.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn new(state: &Arc<State>) -> Self {
        state.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Answer {
    fn of(operation: String, response: &HttpResponse) -> Self {
        let bytes = response.body().bytes().map_or(0, <[u8]>::len);
        Self { operation, status: response.status().as_u16(), bytes }
    }
}

fn operation(request: &HttpRequest) -> String {
    let target = request.headers().get("x-amz-target");
    let operation = target.and_then(|target| target.rsplit('.').next());
    operation.unwrap_or(request.method()).to_owned()
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
        let operation = operation(&request);
        HttpConnectorFuture::new(async move {
            // What is true when the call reaches the service is what it brings back.
            let response = service.call(request).await;
            network.travel().await.map_err(|error| ConnectorError::io(error.into()))?;
            if let Ok(response) = &response {
                let answer = Answer::of(operation, response);
                network.state.answers.lock().expect("no panic").push(answer);
            }
            response
        })
    }
}
