//! [`Refusal`]: what a request gets that is not served.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};

use super::warnings::Warning;
use crate::answer::{Answer, Response};

/// A status, in words, and the warning that the log gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    words: Cow<'static, str>,
    warning: Option<(Warning, Option<String>)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self { status, words: words.into(), warning: None }
    }

    pub(crate) fn bad_request(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404 page not found")
    }

    /// What the Go extension says of everything that it cannot give, for a request that asked for this.
    pub(crate) fn undeclared(words: &'static str, asked: String) -> Self {
        let warning = Some((Warning::Undeclared, Some(asked)));
        Self { warning, ..Self::new(StatusCode::OK, words) }
    }

    pub(super) fn warned_of(self, warning: Warning) -> Self {
        Self { warning: Some((warning, None)), ..self }
    }

    /// What the log is to be warned of, of a request for `path`: the warning, and what was asked for.
    pub(super) fn warning<'a>(&'a self, path: &'a str) -> Option<(Warning, &'a str)> {
        let (warning, asked) = self.warning.as_ref()?;
        Some((*warning, asked.as_deref().unwrap_or(path)))
    }

    pub(super) fn respond(&self) -> Response {
        let mut response = Answer::text(self.words.clone().into_owned()).respond(self.status);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}
