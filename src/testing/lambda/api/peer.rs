//! [`Peer`]: the other end of a connection, to see whether it is there, and to hang up on it.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::response::Response;
use axum::serve::IncomingStream;

/// The other end of a connection, by a second handle on its socket.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// `None` if there could be no second handle.
    socket: Option<Arc<TcpStream>>,
}

impl Peer {
    /// Whether it has hung up. The server notices that by itself, but perhaps only after it has
    /// written an event to nobody.
    pub(super) fn has_hung_up(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        match socket.peek(&mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Hangs up without an answer: never returns, as the server then drops who waits for one.
    pub(super) async fn close(&self) -> Response {
        if let Some(socket) = &self.socket {
            // If that fails it has hung up already.
            socket.shutdown(Shutdown::Both).ok();
        }
        std::future::pending().await
    }
}

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        // Small answers go out at once; without it they would only be a little slower.
        stream.io().set_nodelay(true).ok();
        Self { socket: second_handle(stream.io()).map(Arc::new) }
    }
}

/// Shares the first one's mode, so it does not block either.
#[cfg(unix)]
fn second_handle(stream: &tokio::net::TcpStream) -> Option<TcpStream> {
    use std::os::fd::AsFd;
    stream.as_fd().try_clone_to_owned().ok().map(TcpStream::from)
}

#[cfg(windows)]
fn second_handle(stream: &tokio::net::TcpStream) -> Option<TcpStream> {
    use std::os::windows::io::AsSocket;
    stream.as_socket().try_clone_to_owned().ok().map(TcpStream::from)
}
