//! [`Guard`]: who may ask, and how.
//!
//! Nothing here is a client's mistake that the function's own code makes by accident: a request that
//! was forwarded, is for another host, or carries what nobody reads has been made by somebody else.

use hyper::header::{HOST, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::Token;
use super::refusal::Refusal;
use super::warnings::Warning;

const FORWARDED: &str = "x-forwarded-for";
/// The header of AWS's extension, and one that it takes as well.
const TOKENS: [&str; 2] = ["x-aws-parameters-secrets-token", "x-vault-token"];
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
        let shown = self.read(&request.headers)?;
        let authority = request.uri.authority();
        if shown.hosts != 1 || !authority.is_none_or(|it| is_local(it.as_str())) {
            return Err(for_other_host());
        }
        if !shown.may_ask {
            let refusal = Refusal::new(StatusCode::FORBIDDEN, self.why_not());
            return Err(refusal.warned_of(Warning::NoToken));
        }
        if request.method != Method::GET {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not GET"));
        }
        if has_body {
            return Err(Refusal::bad_request("a body"));
        }
        Ok(())
    }

    /// What the headers show, in one pass: looking for each by name would hash every name.
    fn read(&self, headers: &HeaderMap) -> Result<Shown, Refusal> {
        let mut shown = Shown { hosts: 0, may_ask: matches!(self, Self::Anybody) };
        for (name, value) in headers {
            if name == HOST {
                if !value.to_str().is_ok_and(is_local) {
                    return Err(for_other_host());
                }
                shown.hosts += 1;
            } else if name == FORWARDED {
                return Err(Refusal::bad_request("forwarded").warned_of(Warning::Forwarded));
            } else if let Self::Token(Some(token)) = self
                && TOKENS.contains(&name.as_str())
            {
                shown.may_ask |= token.is(value.as_bytes());
            }
        }
        Ok(shown)
    }

    fn why_not(&self) -> &'static str {
        match self {
            Self::Token(None) => "AWS_SESSION_TOKEN is not set, so no token is right",
            _ => "X-Aws-Parameters-Secrets-Token is missing, or not the AWS_SESSION_TOKEN",
        }
    }
}

/// What a request's headers show of who makes it.
struct Shown {
    /// How often this machine is named as the host.
    hosts: usize,
    may_ask: bool,
}

fn for_other_host() -> Refusal {
    let refusal = Refusal::bad_request("for another host than localhost");
    refusal.warned_of(Warning::OtherHost)
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
