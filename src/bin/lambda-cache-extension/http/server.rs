//! [`Server`]: listens, and serves each connection in a task of its own.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};

use super::connection;
use super::{Clients, Endpoint, Guard};

/// How long to wait before another attempt to accept a connection, if the process has no file
/// descriptor left for it.
const PAUSE: Duration = Duration::from_millis(20);

/// A port of loopback, for both versions of IP where the machine has both.
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

/// Everything that listens.
#[derive(Debug)]
pub(crate) struct Server {
    clients: Clients,
    accepting: JoinSet<Infallible>,
}

impl Server {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients, accepting: JoinSet::new() }
    }

    /// Serves `endpoint` at a port from now on.
    pub(crate) fn serve<E: Endpoint>(
        &mut self,
        listener: Listener,
        guard: Guard,
        endpoint: Arc<E>,
    ) {
        for socket in listener.sockets {
            let (guard, endpoint) = (guard.clone(), Arc::clone(&endpoint));
            self.accepting.spawn(accept(socket, guard, endpoint, self.clients.clone()));
        }
    }

    /// Waits for the end of any part of it, which only a panic brings. The process must then end:
    /// half a server would be worse than none.
    pub(crate) async fn failed(&mut self) -> JoinError {
        match self.accepting.join_next().await {
            Some(Err(panic)) => panic,
            Some(Ok(never)) => match never {},
            None => std::future::pending().await,
        }
    }
}

async fn accept<E: Endpoint>(
    socket: TcpListener,
    guard: Guard,
    endpoint: Arc<E>,
    clients: Clients,
) -> Infallible {
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
                let Some(place) = clients.enter() else { continue };
                // Answers are small, and the next request waits for them.
                stream.set_nodelay(true).ok();
                let (endpoint, guard) = (Arc::clone(&endpoint), guard.clone());
                let serve = connection::serve(stream, place, endpoint, guard, clients.clone());
                connections.spawn(serve);
            }
            // The client's own affair.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use super::super::Refusal;
    use super::*;
    use crate::answer::Response;

    struct Panics;

    impl Endpoint for Panics {
        async fn answer(&self, _: &str, _: &str) -> Result<Response, Refusal> {
            panic!("as the test said");
        }
    }

    #[tokio::test]
    async fn a_panic_while_serving_is_the_end_of_the_server() {
        let listener = Listener::bind(0).await.unwrap();
        let address = listener.sockets[0].local_addr().unwrap();
        let mut server = Server::new(Clients::new(8));
        server.serve(listener, Guard::Anybody, Arc::new(Panics));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(server.failed().await.is_panic());
    }
}
