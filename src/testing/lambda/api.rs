//! The Runtime API and the Extensions API over HTTP: requests go to the
//! [state](super::state::LambdaState), its replies go out.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::serve::IncomingStream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::builder::{ACCOUNT_ID, Fault, HANDLER, VERSION};
use super::environment::Environment;
use super::report::{Outcome, Report, ReportKind};
use super::state::{Delivery, LambdaState, Refusal, Reply};

const EXTENSION_NAME: &str = "lambda-extension-name";
const EXTENSION_ID: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const ACCEPTED_FEATURES: &str = "lambda-extension-accept-feature";
const EXTENSION_ERROR_TYPE: &str = "lambda-extension-function-error-type";
const RUNTIME_ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// Serves until dropped. Connections that are open then stay until their requests are answered.
pub(super) async fn serve(environment: Arc<Environment>, listener: TcpListener) {
    let mut router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", reports(ReportKind::RuntimeInit))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(next_event))
        .route("/2020-01-01/extension/init/error", reports(ReportKind::ExtensionInit))
        .route("/2020-01-01/extension/exit/error", reports(ReportKind::ExtensionExit));
    if environment.function().has_snap_start() {
        router = router
            .route("/2018-06-01/runtime/restore/next", get(next_restore))
            .route("/2018-06-01/runtime/restore/error", reports(ReportKind::RuntimeRestore));
    }
    // Lambda's own limit is above axum's.
    let router = router.layer(DefaultBodyLimit::disable()).with_state(environment);
    let service = router.into_make_service_with_connect_info::<Peer>();
    // axum retries when it cannot accept a connection, so this never returns an error.
    axum::serve(listener, service).await.ok();
}

async fn next_invocation(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Response, Refusal> {
    let asked = environment.request(LambdaState::runtime_asks)?;
    reply(&environment, &peer, |state| state.take_invocation(asked), deliver).await
}

fn deliver(delivery: Delivery) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in delivery.headers {
        // A test may forge any trace id, even one that no header can carry.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (headers, delivery.payload).into_response()
}

async fn response(
    State(environment): State<Arc<Environment>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Accepted, Refusal> {
    environment.request(|state| state.respond(&id, Outcome::Response(body)))?;
    Ok(Accepted)
}

async fn error(
    State(environment): State<Arc<Environment>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Refusal> {
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let header = || header(&headers, RUNTIME_ERROR_TYPE).to_owned();
    let outcome = Outcome::Error {
        error_type: field("errorType").unwrap_or_else(header),
        message: field("errorMessage").unwrap_or_else(|| text(&body)),
    };
    environment.request(|state| state.respond(&id, outcome))?;
    Ok(Accepted)
}

async fn next_restore(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Response, Refusal> {
    environment.request(LambdaState::runtime_asks_for_restore)?;
    reply(&environment, &peer, LambdaState::take_restore, IntoResponse::into_response).await
}

async fn register(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    if let Some(fault) = environment.change(LambdaState::take_register_fault) {
        return Ok(fault.send(&peer).await);
    }
    let name = header(&headers, EXTENSION_NAME);
    let id = environment.request(|state| state.register(name, &body))?;
    let mut about = json!({
        "functionName": environment.function().name,
        "functionVersion": VERSION,
        "handler": HANDLER,
    });
    if header(&headers, ACCEPTED_FEATURES).split(',').any(|it| it.trim() == "accountId") {
        about["accountId"] = ACCOUNT_ID.into();
    }
    Ok(([(EXTENSION_ID, id)], json_body(200, about.to_string())).into_response())
}

async fn next_event(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = header(&headers, EXTENSION_ID.as_str());
    let asked = environment.request(|state| state.extension_asks(id))?;
    let send = |event| json_body(200, event);
    reply(&environment, &peer, |state| state.take_event(id, asked), send).await
}

fn reports(kind: ReportKind) -> MethodRouter<Arc<Environment>> {
    post(move |environment, headers, body| report(kind, environment, headers, body))
}

async fn report(
    kind: ReportKind,
    State(environment): State<Arc<Environment>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Refusal> {
    let report = |error_type| Report {
        kind,
        extension: None,
        error_type: header(&headers, error_type).to_owned(),
        body: text(&body),
        refused: false,
    };
    environment.request(|state| match kind {
        ReportKind::RuntimeInit | ReportKind::RuntimeRestore => {
            state.runtime_reports(report(RUNTIME_ERROR_TYPE))
        }
        ReportKind::ExtensionInit | ReportKind::ExtensionExit => {
            let id = header(&headers, EXTENSION_ID.as_str());
            state.extension_reports(id, report(EXTENSION_ERROR_TYPE))
        }
    })?;
    Ok(Accepted)
}

/// Waits for the reply to a request and sends it. A client that has closed its connection takes no
/// event.
async fn reply<T>(
    environment: &Environment,
    peer: &Peer,
    mut take: impl FnMut(&mut LambdaState) -> Option<Reply<T>>,
    send: impl FnOnce(T) -> Response,
) -> Result<Response, Refusal> {
    let reply = environment.until(|state| if peer.is_closed() { None } else { take(state) });
    match reply.await {
        Reply::Event(event) => Ok(send(event)),
        Reply::Fault(fault) => Ok(fault.send(peer).await),
        Reply::Refused(refusal) => Err(refusal),
    }
}

impl Fault {
    async fn send(self, peer: &Peer) -> Response {
        match self {
            Self::Status(status, body) => json_body(status, body),
            Self::Malformed(body) => json_body(200, body),
            Self::Close => peer.close().await,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "errorMessage": self.message, "errorType": self.error_type });
        json_body(self.status, body.to_string())
    }
}

/// The answer to a response or a report.
struct Accepted;

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        json_body(202, json!({ "status": "OK" }).to_string())
    }
}

fn json_body(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The value of a header; empty if there is none.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// The other end of a connection, through a second handle on the socket.
#[derive(Debug, Clone)]
struct Peer {
    /// `None` if the second handle could not be made.
    socket: Option<Arc<TcpStream>>,
}

impl Peer {
    /// The server notices a closed connection too, but perhaps only after it has taken an event for it,
    /// which would then be lost.
    fn is_closed(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        match socket.peek(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Closes the connection without an answer. Does not return: the server drops the request.
    async fn close(&self) -> Response {
        if let Some(socket) = &self.socket {
            // Fails if the client has closed it already.
            socket.shutdown(Shutdown::Both).ok();
        }
        std::future::pending().await
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        // Sends small answers at once. If it fails they are only a little slower.
        stream.io().set_nodelay(true).ok();
        Self { socket: second_handle(stream.io()).map(Arc::new) }
    }
}

/// Non-blocking like the first, because the mode belongs to the socket.
#[cfg(unix)]
fn second_handle(stream: &tokio::net::TcpStream) -> Option<TcpStream> {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().ok().map(TcpStream::from)
}

#[cfg(windows)]
fn second_handle(stream: &tokio::net::TcpStream) -> Option<TcpStream> {
    use std::os::windows::io::AsSocket;
    stream.as_socket().try_clone_to_owned().ok().map(TcpStream::from)
}
