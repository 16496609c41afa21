//! HTTP/1.1 on loopback, for the function only: the [`Server`] listens, and serves each connection in a task of
//! its own; an [`Endpoint`] answers at a port, a [`Refusal`] answers what is not served.

mod admission;
mod connection;
pub(crate) mod query;
mod warnings;

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};

pub(crate) use self::admission::{Clients, Guard, Token};
use self::connection::Port;
use self::warnings::{Warning, Warnings};
use crate::answer::{Answer, Response};

/// The pause before the next attempt to accept a connection when the process has no file descriptor
/// left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

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

/// A port on loopback, for IPv4 and, where the machine has it, IPv6.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let mut sockets = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?];
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => tracing::debug!(%error, "no IPv6"),
        }
        Ok(Self { sockets })
    }
}

/// All listening sockets and their connections.
#[derive(Debug)]
pub(crate) struct Server {
    clients: Clients,
    warnings: Warnings,
    accepting: JoinSet<Infallible>,
}

impl Server {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, warnings: Warnings::new(), accepting: JoinSet::new() }
    }

    /// Serves `endpoint` at a port from now on.
    pub(crate) fn serve<E: Endpoint>(
        &mut self,
        listener: Listener,
        guard: Guard,
        endpoint: Arc<E>,
    ) {
        let (clients, warnings) = (self.clients.clone(), self.warnings.clone());
        let port = Arc::new(Port { guard, endpoint, clients, warnings });
        for socket in listener.sockets {
            self.accepting.spawn(accept(socket, Arc::clone(&port)));
        }
    }

    /// Waits until any task panics. The process must then end: half a server is worse than none.
    pub(crate) async fn failed(&mut self) -> JoinError {
        match self.accepting.join_next().await {
            Some(Err(panic)) => panic,
            Some(Ok(never)) => match never {},
            None => std::future::pending().await,
        }
    }
}

async fn accept<E: Endpoint>(socket: TcpListener, port: Arc<Port<E>>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(ended) = connections.join_next() => {
                if let Err(panic) = ended {
                    std::panic::resume_unwind(panic.into_panic());
                }
                continue;
            }
        };
        match accepted {
            Ok((stream, _)) => {
                let Some(permit) = port.clients.admit() else {
                    port.warnings.warn(Warning::TooManyConnections, "a connection");
                    continue;
                };
                // Answers are small, and clients send their next request after them.
                stream.set_nodelay(true).ok();
                connections.spawn(connection::serve(stream, permit, Arc::clone(&port)));
            }
            // The client has gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::answer::Response;

    struct Panics;

    impl Endpoint for Panics {
        async fn answer(&self, _: &str, _: &str) -> Result<Response, Refusal> {
            panic!("as the test said");
        }
    }

    #[tokio::test]
    async fn a_panic_while_serving_ends_the_server() {
        let listener = Listener::bind(0).await.unwrap();
        let address = listener.sockets[0].local_addr().unwrap();
        let mut server = Server::new(Clients::new(8));
        server.serve(listener, Guard::Anybody, Arc::new(Panics));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(server.failed().await.is_panic());
    }
}
