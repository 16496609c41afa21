//! [`Answer`]: what clients get, made once per change and sent as often as it is asked for.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use lambda_cache::Value;
use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) type Response = hyper::Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// No client keeps an answer: how old it may be is decided here.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// No client takes a value for a page or a script, whatever is in it.
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Says that a value is past its max age, and served because its source fails.
const STALE: HeaderName = HeaderName::from_static("x-lambda-cache-stale");

/// A value, as it is sent.
pub(crate) struct Answer {
    content_type: HeaderValue,
    body: Bytes,
}

impl Answer {
    /// Text, or something that is served as such.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self { content_type: TEXT, body: text.into() }
    }

    /// Bytes that may be a text's.
    pub(crate) fn bytes(body: Bytes) -> Self {
        let content_type = if std::str::from_utf8(&body).is_ok() { TEXT } else { OCTETS };
        Self { content_type, body }
    }

    pub(crate) fn json(json: impl Into<Bytes>) -> Self {
        Self { content_type: JSON, body: json.into() }
    }

    /// JSON with a secret in it.
    pub(crate) fn secret_json(value: &impl Serialize) -> Self {
        // Texts, numbers and lists of them cannot fail.
        Self::json(wiped(serde_json::to_vec(value).unwrap_or_default()))
    }

    /// Bytes of its body.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn respond(&self, status: StatusCode) -> Response {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        response
    }
}

/// The answer of a value that is kept; if this is past its max age, it says so.
pub(crate) fn kept<T>(answer: &Answer, value: &Value<T>) -> Response {
    let mut response = answer.respond(StatusCode::OK);
    if value.is_stale() {
        let age = HeaderValue::from(value.age().as_secs());
        response.headers_mut().insert(STALE, age);
    }
    response
}

/// Bytes that are wiped from memory when nothing sends them any more.
pub(crate) fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(bytes))
}

/// Without what is in it.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}
