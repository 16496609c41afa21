//! HTTP/1.1 on loopback, for the function only: an [`Endpoint`] serves a port, a [`Refusal`] answers
//! what is not served.

mod admission;
mod connection;
pub(crate) mod query;
mod server;
mod warnings;

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};

pub(crate) use self::admission::{Clients, Guard, Token};
pub(crate) use self::server::{Listener, Server};
use self::warnings::{Warning, Warnings};
use crate::answer::{Answer, Response};

/// What is served at one port.
pub(crate) trait Endpoint: Send + Sync + 'static {
    /// Answers `GET path?query` from a client that may ask.
    fn answer(
        &self,
        path: &str,
        query: &str,
    ) -> impl Future<Output = Result<Response, Refusal>> + Send;
}

/// The response to a request that is not served, and the warning that it leaves in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
    /// With what the client asked for, where that is not the path.
    warning: Option<(Warning, Option<String>)>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), warning: None }
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404 page not found")
    }

    /// For an entry that is not declared. The Go extension answers this with 200.
    pub(crate) fn undeclared(message: &'static str, asked: String) -> Self {
        let warning = Some((Warning::Undeclared, Some(asked)));
        Self { warning, ..Self::new(StatusCode::OK, message) }
    }

    fn with_warning(self, warning: Warning) -> Self {
        Self { warning: Some((warning, None)), ..self }
    }

    fn respond(&self) -> Response {
        let mut response = Answer::text(self.message.clone().into_owned()).respond(self.status);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}
