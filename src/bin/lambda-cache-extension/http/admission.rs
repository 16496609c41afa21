//! Who is served: [`Guard`] decides which requests, [`Clients`] how many connections.
//!
//! The function's own code sends none of what is refused here by accident. A request that was
//! forwarded, names another host, or has a body comes from somebody else.

use std::fmt;
use std::sync::Arc;

use hyper::header::{HOST, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;
use super::warnings::Warning;

const FORWARDED: &str = "x-forwarded-for";
/// The header of AWS's extension, and another that it accepts.
const TOKEN_HEADERS: [&str; 2] = ["x-aws-parameters-secrets-token", "x-vault-token"];
/// Bytes of path and query.
const MAX_PATH: usize = 4096;
/// Connections beyond the limit that are answered with a refusal. Further ones are closed.
const MAX_REFUSED: usize = 16;
/// File descriptors that clients cannot use: for listening sockets, the runtime, and connections to
/// AWS, without which nothing could be fetched.
const RESERVED_FILES: usize = 64;

/// Who may ask at a port.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Any client that can connect.
    Anybody,
    /// Clients that have the token; nobody if there is none.
    Token(Option<Token>),
}

impl Guard {
    pub(super) fn check(&self, request: &Parts, has_body: bool) -> Result<(), Refusal> {
        let length = request.uri.path_and_query().map_or(0, |it| it.as_str().len());
        if length > MAX_PATH {
            let message = format!("path and query are longer than {MAX_PATH} bytes");
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, message));
        }
        let headers = self.read(&request.headers)?;
        let authority = request.uri.authority();
        if headers.local_hosts != 1 || !authority.is_none_or(|it| is_local(it.as_str())) {
            return Err(other_host());
        }
        if !headers.is_authorized {
            let message = match self {
                Self::Token(None) => "AWS_SESSION_TOKEN is not set, so no token is accepted",
                _ => "X-Aws-Parameters-Secrets-Token is missing, or not the AWS_SESSION_TOKEN",
            };
            let refusal = Refusal::new(StatusCode::FORBIDDEN, message);
            return Err(refusal.with_warning(Warning::NoToken));
        }
        if request.method != Method::GET {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed"));
        }
        if has_body {
            return Err(Refusal::bad_request("a body is not allowed"));
        }
        Ok(())
    }

    /// Reads the headers in one pass, since a look-up by name would hash the name.
    fn read(&self, headers: &HeaderMap) -> Result<Headers, Refusal> {
        let mut seen = Headers { local_hosts: 0, is_authorized: matches!(self, Self::Anybody) };
        for (name, value) in headers {
            if name == HOST {
                if !value.to_str().is_ok_and(is_local) {
                    return Err(other_host());
                }
                seen.local_hosts += 1;
            } else if name == FORWARDED {
                let refusal = Refusal::bad_request("X-Forwarded-For is not allowed");
                return Err(refusal.with_warning(Warning::Forwarded));
            } else if let Self::Token(Some(token)) = self
                && TOKEN_HEADERS.contains(&name.as_str())
            {
                seen.is_authorized |= token.matches(value.as_bytes());
            }
        }
        Ok(seen)
    }
}

struct Headers {
    /// `Host` headers that name this machine.
    local_hosts: usize,
    is_authorized: bool,
}

fn other_host() -> Refusal {
    let refusal = Refusal::bad_request("the host must be localhost, given once");
    refusal.with_warning(Warning::OtherHost)
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_local(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    // `parse` would accept a sign.
    let is_port =
        |port: &str| port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]"))
        && port.is_none_or(is_port)
}

/// A secret that the function's code can read, and a server that the function is tricked into calling
/// cannot.
#[derive(Clone)]
pub(crate) struct Token(Box<[u8]>);

impl Token {
    pub(crate) fn new(token: String) -> Self {
        Self(token.into_bytes().into())
    }

    /// Compares in constant time, which reveals the token's length and no more.
    fn matches(&self, sent: &[u8]) -> bool {
        self.0.ct_eq(sent).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// How many connections clients may have open, on all ports together: these share the process's file
/// descriptors.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    max: usize,
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

/// Held by a connection as long as it is open.
pub(super) enum Permit {
    Serve { _permit: OwnedSemaphorePermit },
    Refuse { _permit: OwnedSemaphorePermit },
}

impl Clients {
    /// At most `wanted`, and no more than there are file descriptors for.
    pub(crate) fn new(wanted: usize) -> Self {
        let max = wanted.min(free_files());
        if max < wanted {
            let reason = "fewer clients than LAMBDA_CACHE_MAX_CLIENTS: too few file descriptors";
            tracing::info!(most = max, wanted, "{reason}");
        }
        let served = Arc::new(Semaphore::new(max));
        Self { max, served, refused: Arc::new(Semaphore::new(MAX_REFUSED)) }
    }

    /// A permit for a new connection; `None` if there are too many even to refuse this one.
    pub(super) fn admit(&self) -> Option<Permit> {
        let acquire = |permits: &Arc<Semaphore>| Arc::clone(permits).try_acquire_owned().ok();
        let serve = acquire(&self.served).map(|permit| Permit::Serve { _permit: permit });
        serve.or_else(|| acquire(&self.refused).map(|permit| Permit::Refuse { _permit: permit }))
    }

    /// More than half of all connections are open, so idle ones have to close.
    pub(super) fn are_crowded(&self) -> bool {
        self.served.available_permits() * 2 < self.max
    }
}

/// Raises the limit of open files as far as the process may, and returns how many clients can use.
#[cfg(unix)]
fn free_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the limit stays as it is.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    let files = getrlimit(Resource::Nofile).current.and_then(|it| usize::try_from(it).ok());
    files.map_or(Semaphore::MAX_PERMITS, |files| files.saturating_sub(RESERVED_FILES).max(1))
}

#[cfg(not(unix))]
fn free_files() -> usize {
    Semaphore::MAX_PERMITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
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
            "localhost:65536",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn a_token_matches_itself_alone_and_is_not_shown() {
        let token = Token::new("secret".to_owned());
        assert!(token.matches(b"secret"));
        for wrong in ["", "secre", "secret ", "secrets", "Secret"] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    mod parsers {
        use hyper::http::uri::Authority;
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        fn hosts() -> impl Strategy<Value = String> {
            near_any(
                &["localhost", "LocalHost:4000", "127.0.0.1:2773", "[::1]:80", "[::1]"],
                &[
                    ":",
                    "@",
                    ".",
                    "[",
                    "]",
                    "0",
                    ":80",
                    "localhost",
                    "example",
                    "\0",
                    " ",
                    "/",
                    "\u{212a}",
                ],
            )
        }

        proptest! {
            #[test]
            fn this_machine_is_local_at_any_port(host in "[Ll]ocal[Hh]OST|localhost|127\\.0\\.0\\.1|\\[::1\\]", port: u16) {
                let with_port = format!("{host}:{port}");
                prop_assert!(is_local(&host) && is_local(&with_port));
            }

            #[test]
            fn a_host_that_is_local_is_that_to_other_parsers_too(host in hosts()) {
                if is_local(&host) {
                    let authority: Authority = host.parse().expect("an authority");
                    let name = authority.host().to_ascii_lowercase();
                    prop_assert!(["localhost", "127.0.0.1", "[::1]"].contains(&&*name), "{}", name);
                    let has_port = authority.as_str().len() > name.len();
                    prop_assert_eq!(authority.port().is_some(), has_port);
                }
            }

            #[test]
            fn a_request_is_served_for_local_hosts_only(hosts in prop::collection::vec(hosts(), 0..3)) {
                let mut request = hyper::Request::get("/parameters/x");
                for host in &hosts {
                    request = request.header(HOST, host);
                }
                // Not every text can be a header.
                if let Ok(request) = request.body(()) {
                    let served = Guard::Anybody.check(&request.into_parts().0, false).is_ok();
                    prop_assert_eq!(served, matches!(&*hosts, [host] if is_local(host)));
                }
            }
        }
    }
}
