//! The Extensions API, version 2020-01-01.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::peer::Peer;
use super::{header, text, verdict};
use crate::testing::lambda::ReportKind;
use crate::testing::lambda::environment::Environment;
use crate::testing::lambda::function::{ACCOUNT_ID, HANDLER, VERSION};

const NAME: &str = "lambda-extension-name";
const IDENTIFIER: HeaderName = HeaderName::from_static("lambda-extension-identifier");
const FEATURES: &str = "lambda-extension-accept-feature";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";

pub(super) fn routes() -> Router<Arc<Environment>> {
    Router::new()
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(next))
        .route("/2020-01-01/extension/init/error", post(init_error))
        .route("/2020-01-01/extension/exit/error", post(exit_error))
}

async fn register(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(fault) = environment.change(|state| state.take_register_fault()) {
        return fault.send(&peer).await;
    }
    let name = header(&headers, NAME);
    let id = match environment.change(|state| state.register(name, &body)) {
        Ok(id) => id,
        Err(refusal) => return refusal.into_response(),
    };
    let mut about = json!({
        "functionName": environment.function().name,
        "functionVersion": VERSION,
        "handler": HANDLER,
    });
    if header(&headers, FEATURES).split(',').any(|it| it.trim() == "accountId") {
        about["accountId"] = ACCOUNT_ID.into();
    }
    let headers = [(IDENTIFIER, id), (CONTENT_TYPE, "application/json".to_owned())];
    (headers, about.to_string()).into_response()
}

async fn next(
    State(environment): State<Arc<Environment>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    let id = header(&headers, IDENTIFIER.as_str());
    let asked = match environment.change(|state| state.extension_asks(id)) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let answer = environment
        .until(|state| if peer.has_hung_up() { None } else { state.take_event(id, asked) });
    let json = [(CONTENT_TYPE, "application/json")];
    answer.await.send(&peer, |event| (json, event).into_response()).await
}

async fn init_error(
    State(environment): State<Arc<Environment>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    report(&environment, ReportKind::ExtensionInit, &headers, &body)
}

async fn exit_error(
    State(environment): State<Arc<Environment>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    report(&environment, ReportKind::ExtensionExit, &headers, &body)
}

fn report(
    environment: &Environment,
    kind: ReportKind,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let id = header(headers, IDENTIFIER.as_str());
    let error_type = header(headers, ERROR_TYPE).to_owned();
    verdict(environment.change(|state| state.extension_failed(kind, id, error_type, text(body))))
}
