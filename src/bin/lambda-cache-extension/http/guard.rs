//! [`Guard`]: who may ask, and how.
//!
//! Nothing here is a client's mistake that the function's own code makes by accident: a request that
//! was forwarded, is for another host, or carries what nobody reads has been made by somebody else.

use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::Token;
use super::refusal::Refusal;

static FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The header of AWS's extension, and one that it takes as well.
static TOKENS: [HeaderName; 2] = [
    HeaderName::from_static("x-aws-parameters-secrets-token"),
    HeaderName::from_static("x-vault-token"),
];
/// The longest path and query.
const MOST_PATH: usize = 4096;

/// What a request must be to be served.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Any client that can reach the port.
    Anybody,
    /// Those who have the token. Without one nobody has it.
    Token(Option<Token>),
}

impl Guard {
    pub(super) fn check(&self, request: &Parts, has_body: bool) -> Result<(), Refusal> {
        let length = request.uri.path_and_query().map_or(0, |it| it.as_str().len());
        if length > MOST_PATH {
            let words = format!("path and query are longer than {MOST_PATH} bytes");
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, words));
        }
        if request.headers.contains_key(&FORWARDED) {
            return Err(Refusal::bad_request("forwarded"));
        }
        if !is_for_us(request) {
            return Err(Refusal::bad_request("for another host than localhost"));
        }
        self.check_token(request)?;
        if request.method != Method::GET {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not GET"));
        }
        if has_body {
            return Err(Refusal::bad_request("a body"));
        }
        Ok(())
    }

    fn check_token(&self, request: &Parts) -> Result<(), Refusal> {
        let forbidden = |words| Err(Refusal::new(StatusCode::FORBIDDEN, words));
        match self {
            Self::Anybody => Ok(()),
            Self::Token(None) => forbidden("AWS_SESSION_TOKEN is not set, so no token is right"),
            Self::Token(Some(token)) => {
                let shown = |name| request.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
                match TOKENS.iter().any(|name| token.is(shown(name))) {
                    true => Ok(()),
                    false => forbidden(
                        "X-Aws-Parameters-Secrets-Token is missing, or not the AWS_SESSION_TOKEN",
                    ),
                }
            }
        }
    }
}

/// Whether every name of a host in the request is one of this machine's own.
fn is_for_us(request: &Parts) -> bool {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|it| it.to_str().ok());
    let authority = request.uri.authority();
    host.is_some_and(is_local)
        && hosts.next().is_none()
        && authority.is_none_or(|it| is_local(it.as_str()))
}

/// `localhost`, `127.0.0.1` or `[::1]`, with a port or without.
fn is_local(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
    (name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]"))
        && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_others() {
        for host in ["localhost", "LocalHost:4000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:1"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            ":",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost.example",
            "example:localhost",
            "127.0.0.2",
            "127.0.0.1.example",
            "[::2]",
            "::1",
            "me@localhost",
            "localhost:80:80",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
