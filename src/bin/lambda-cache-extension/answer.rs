//! [`Answer`]: what a client gets for a value. It is made once for each change of the value, and sent
//! as often as clients ask.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::base64;
use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use lambda_cache::Value;
use lambda_cache::sources::dynamodb::Item;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

pub(crate) type Response = hyper::Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Clients must not cache answers: only the sidecar knows how old one may be.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Clients must not take a value for a page or a script, whatever it contains.
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// The age in seconds of a value that is past its max age, served because its source fails.
const STALE: HeaderName = HeaderName::from_static("x-lambda-cache-stale");

/// A content type and a body.
pub(crate) struct Answer {
    content_type: HeaderValue,
    body: Bytes,
}

impl Answer {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self { content_type: TEXT, body: text.into() }
    }

    /// Text if the bytes are UTF-8.
    pub(crate) fn bytes(body: Bytes) -> Self {
        let content_type = if std::str::from_utf8(&body).is_ok() { TEXT } else { BINARY };
        Self { content_type, body }
    }

    pub(crate) fn json(json: impl Into<Bytes>) -> Self {
        Self { content_type: JSON, body: json.into() }
    }

    /// JSON that contains a secret.
    pub(crate) fn secret_json(value: &impl Serialize) -> Self {
        // Serializing strings, numbers and lists of them cannot fail.
        Self::json(wiped(serde_json::to_vec(value).unwrap_or_default()))
    }

    /// An item as a JSON object. It is sent as text, as the Go extension does.
    pub(crate) fn item(item: &Item) -> Self {
        Self::text(serde_json::to_vec(&Attributes(item.attributes())).unwrap_or_default())
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

    /// The response for an answer in a cached `value`. A header says so if that is stale.
    pub(crate) fn respond_cached<T>(&self, value: &Value<T>) -> Response {
        let mut response = self.respond(StatusCode::OK);
        if value.is_stale() {
            response.headers_mut().insert(STALE, value.age().as_secs().into());
        }
        response
    }
}

/// Bytes that are wiped from memory when the last response with them has been sent.
pub(crate) fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(bytes))
}

/// Leaves out the value.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

/// The attributes of an item or a map as a JSON object, sorted by name.
struct Attributes<'a>(&'a HashMap<String, AttributeValue>);
struct Attribute<'a>(&'a AttributeValue);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<_, _> =
            self.0.iter().map(|(name, it)| (name, Attribute(it))).collect();
        serializer.collect_map(sorted)
    }
}

impl Serialize for Attribute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            // A number is a string, as in the Go extension: a float would lose some of its 38 digits.
            AttributeValue::S(text) | AttributeValue::N(text) => serializer.serialize_str(text),
            AttributeValue::B(bytes) => serializer.serialize_str(&base64::encode(bytes)),
            AttributeValue::Bool(is) => serializer.serialize_bool(*is),
            AttributeValue::L(list) => serializer.collect_seq(list.iter().map(Attribute)),
            AttributeValue::M(map) => Attributes(map).serialize(serializer),
            AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => serializer.collect_seq(texts),
            AttributeValue::Bs(all) => serializer.collect_seq(all.iter().map(base64::encode)),
            // NULL, and types that the service may add.
            _ => serializer.serialize_unit(),
        }
    }
}
