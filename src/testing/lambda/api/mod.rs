//! The two APIs over HTTP: questions are put to the [`State`](super::state::State), its answers sent.

mod extensions;
mod peer;
mod runtime;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;

use super::Fault;
use super::environment::Environment;
use super::state::{Answer, Refusal};
use peer::Peer;

/// Serves until dropped. Connections go on until their questions are answered.
pub(super) async fn serve(environment: Arc<Environment>, listener: TcpListener) {
    let router = Router::new()
        .merge(runtime::routes(environment.function()))
        .merge(extensions::routes())
        // Lambda's own limit is above axum's.
        .layer(DefaultBodyLimit::disable())
        .with_state(environment);
    let service = router.into_make_service_with_connect_info::<Peer>();
    // Goes on after failures to accept by itself, so there is no error to hand on.
    axum::serve(listener, service).await.ok();
}

impl<T> Answer<T> {
    async fn send(self, peer: &Peer, event: impl FnOnce(T) -> Response) -> Response {
        match self {
            Self::Event(it) => event(it),
            Self::Fault(fault) => fault.send(peer).await,
            Self::Refused(refusal) => refusal.into_response(),
        }
    }
}

impl Fault {
    async fn send(self, peer: &Peer) -> Response {
        match self {
            Self::Status(status, body) => json_with(status, body),
            Self::Malformed(body) => json_with(200, body),
            Self::Close => peer.close().await,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "errorMessage": self.message, "errorType": self.error_type });
        json_with(self.status, body.to_string())
    }
}

/// What a report or a response is answered with.
fn verdict(verdict: Result<(), Refusal>) -> Response {
    match verdict {
        Ok(()) => json_with(202, json!({ "status": "OK" }).to_string()),
        Err(refusal) => refusal.into_response(),
    }
}

fn json_with(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The value of a header, or nothing.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
