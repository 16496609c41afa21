//! [`Watched`]: a connection's stream. It notes the connection's progress, and puts an answer of ours in
//! place of the one that hyper gives by itself to a request that it cannot read, which has none of our
//! headers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Clients;
use super::clients::Place;

/// How far a connection has got.
#[derive(Default)]
pub(super) struct Progress {
    /// Requests that have come.
    requests: AtomicU32,
    /// One is being answered.
    is_serving: AtomicBool,
    /// Something of the next has come.
    has_begun: AtomicBool,
    /// The client does not take what is sent.
    is_blocked: AtomicBool,
    /// An answer of ours has not been sent as a whole yet.
    is_answering: AtomicBool,
}

impl Progress {
    pub(super) fn request_began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.has_begun.store(false, Relaxed);
        self.is_serving.store(true, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.is_answering.store(true, Relaxed);
        self.is_serving.store(false, Relaxed);
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Whether a connection has to go that has not come to its next request for a while.
    pub(super) fn is_to_go(&self, place: &Place, clients: &Clients) -> bool {
        if self.is_blocked.load(Relaxed) {
            return true;
        }
        !self.is_serving.load(Relaxed)
            && (self.has_begun.load(Relaxed)
                || matches!(place, Place::Refused { .. })
                || clients.are_many())
    }
}

pub(super) struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
    /// The rest of the answer that replaces hyper's.
    instead: Vec<u8>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>) -> Self {
        Self { stream, progress, instead: Vec::new() }
    }

    /// Sends our answer in place of hyper's, which is so long. hyper is told that its own was sent.
    fn poll_instead(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        while !self.instead.is_empty() {
            let write = Pin::new(&mut self.stream).poll_write(context, &self.instead);
            match ready!(self.noted(write))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => _ = self.instead.drain(..sent),
            }
        }
        Poll::Ready(Ok(length))
    }

    /// Whether an answer of ours replaces this write: a refusal that hyper writes while no answer of
    /// ours is being sent.
    fn is_replaced(&mut self, bytes: &[u8]) -> bool {
        if self.instead.is_empty() && !self.progress.is_answering.load(Relaxed) {
            self.instead = unreadable(bytes).unwrap_or_default();
        }
        !self.instead.is_empty()
    }

    fn noted<T>(&self, write: Poll<T>) -> Poll<T> {
        self.progress.is_blocked.store(write.is_pending(), Relaxed);
        write
    }
}

/// Our answer in place of hyper's to an unreadable request, with the same status.
fn unreadable(answer: &[u8]) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok().filter(StatusCode::is_client_error)?;
    let words = match status {
        StatusCode::URI_TOO_LONG => "path and query are too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are too long, or too many",
        _ => "not a request of HTTP/1.1",
    };
    let length = words.len();
    Some(
        format!(
            "HTTP/1.1 {status}\r\n\
             content-type: text/plain; charset=utf-8\r\n\
             cache-control: no-store\r\n\
             x-content-type-options: nosniff\r\n\
             content-length: {length}\r\n\
             connection: close\r\n\
             \r\n\
             {words}"
        )
        .into_bytes(),
    )
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.progress.has_begun.store(true, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_replaced(bytes) {
            return self.poll_instead(context, bytes.len());
        }
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_replaced(bytes.first().map_or(&[], |first| &**first)) {
            return self.poll_instead(context, bytes.iter().map(|it| it.len()).sum());
        }
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.progress.is_answering.store(false, Relaxed);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_of_an_unreadable_request_is_put_in_other_words() {
        for (answer, status) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "400 Bad Request"),
            ("HTTP/1.1 414 URI Too Long\r\n\r\n", "414 URI Too Long"),
            (
                "HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n",
                "431 Request Header Fields Too Large",
            ),
        ] {
            let instead = String::from_utf8(unreadable(answer.as_bytes()).unwrap()).unwrap();
            assert!(instead.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{instead}");
            let (_, body) = instead.split_once("\r\n\r\n").unwrap();
            assert!(instead.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        }
        for other in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 4", ""]
        {
            assert_eq!(unreadable(other.as_bytes()), None, "{other}");
        }
    }
}
