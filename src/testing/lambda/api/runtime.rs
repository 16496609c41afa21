//! The Runtime API, version 2018-06-01.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::peer::Peer;
use super::{header, text, verdict};
use crate::testing::lambda::Outcome;
use crate::testing::lambda::environment::Environment;
use crate::testing::lambda::function::{Function, InitializationType};
use crate::testing::lambda::state::Delivery;

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

pub(super) fn routes(function: &Function) -> Router<Arc<Environment>> {
    let routes = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error));
    match function.initialization_type {
        InitializationType::SnapStart => routes
            .route("/2018-06-01/runtime/restore/next", get(restore_next))
            .route("/2018-06-01/runtime/restore/error", post(restore_error)),
        InitializationType::OnDemand | InitializationType::Managed(_) => routes,
    }
}

async fn next(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    let asked = match environment.change(|state| state.runtime_asks()) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let answer = environment
        .until(|state| if peer.has_hung_up() { None } else { state.take_invocation(asked) });
    answer.await.send(&peer, deliver).await
}

fn deliver(delivery: Delivery) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in delivery.headers {
        // A forged trace id may be anything, but not what HTTP cannot carry.
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
) -> Response {
    verdict(environment.change(|state| state.respond(&id, Outcome::Response(body))))
}

async fn error(
    State(environment): State<Arc<Environment>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let diagnostic: Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |name: &str| diagnostic.get(name).and_then(Value::as_str).map(str::to_owned);
    let outcome = Outcome::Error {
        error_type: field("errorType").unwrap_or_else(|| header(&headers, ERROR_TYPE).to_owned()),
        message: field("errorMessage").unwrap_or_else(|| text(&body)),
    };
    verdict(environment.change(|state| state.respond(&id, outcome)))
}

async fn init_error(
    State(environment): State<Arc<Environment>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let error_type = header(&headers, ERROR_TYPE).to_owned();
    verdict(environment.change(|state| state.init_failed(error_type, text(&body))))
}

async fn restore_next(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    if let Err(refusal) = environment.change(|state| state.runtime_asks_for_restore()) {
        return refusal.into_response();
    }
    let answer = environment.until(|state| state.take_restore()).await;
    answer.send(&peer, IntoResponse::into_response).await
}

async fn restore_error(
    State(environment): State<Arc<Environment>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let error_type = header(&headers, ERROR_TYPE).to_owned();
    verdict(environment.change(|state| state.restore_failed(error_type, text(&body))))
}
