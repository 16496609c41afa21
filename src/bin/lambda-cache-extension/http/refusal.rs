//! [`Refusal`]: what a request gets that is not served.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};

use crate::answer::{Answer, Response};

/// A 4xx, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    words: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self { status, words: words.into() }
    }

    pub(super) const fn fixed(status: StatusCode, words: &'static str) -> Self {
        Self { status, words: Cow::Borrowed(words) }
    }

    pub(crate) fn bad_request(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404 page not found")
    }

    pub(super) fn respond(&self) -> Response {
        let mut response = Answer::text(self.words.clone().into_owned()).respond(self.status);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}
