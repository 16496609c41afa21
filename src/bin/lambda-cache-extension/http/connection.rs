//! One connection: its requests, one after another, and a watch on its progress.
//!
//! An idle connection stays open, however long it is idle. After a freeze all timers fire at once, and a
//! client that then sends its next request would find its connection closed. Only when connections run
//! short are idle ones closed.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::admission::Permit;
use super::warnings::{Warning, Warnings};
use super::{Clients, Endpoint, Guard, Refusal};
use crate::answer::Response;

/// How often progress is checked. So a request that has begun to arrive, and a response that is being
/// sent, may take between this long and twice as long.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of a request's headers.
const MAX_HEADERS: usize = 16 * 1024;

/// What all connections of one port share.
pub(super) struct Port<E> {
    pub(super) guard: Guard,
    pub(super) endpoint: Arc<E>,
    pub(super) clients: Clients,
    pub(super) warnings: Warnings,
}

/// Serves a connection until it ends.
pub(super) async fn serve<E: Endpoint>(stream: TcpStream, permit: Permit, port: Arc<Port<E>>) {
    let progress = Arc::new(Progress::default());
    let respond = |request: Request<Incoming>| {
        let (port, permit, progress) = (&port, &permit, &progress);
        async move {
            progress.request_began();
            let response = port.answer(permit, request).await;
            progress.request_ended();
            Ok::<_, Infallible>(response)
        }
    };
    let stream = Watched { stream, progress: Arc::clone(&progress), replacement: Vec::new() };
    let connection = http1::Builder::new()
        .keep_alive(matches!(permit, Permit::Serve { .. }))
        .max_buf_size(MAX_HEADERS)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    let mut connection = pin!(connection);
    loop {
        let before = progress.requests.load(Relaxed);
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
        let has_advanced = progress.requests.load(Relaxed) != before;
        if !has_advanced && progress.must_close(&permit, &port.clients) {
            tracing::debug!("a connection without progress is closed");
            return;
        }
    }
}

impl<E: Endpoint> Port<E> {
    async fn answer(&self, permit: &Permit, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let answer = match self.check(permit, &head, !body.is_end_stream()) {
            Ok(()) => self.endpoint.answer(path, query).await,
            Err(refusal) => Err(refusal),
        };
        answer.unwrap_or_else(|refusal| {
            match &refusal.warning {
                Some((warning, asked)) => {
                    self.warnings.warn(*warning, asked.as_deref().unwrap_or(path));
                }
                None => tracing::debug!(?refusal, path, "a request is refused"),
            }
            refusal.respond()
        })
    }

    fn check(&self, permit: &Permit, head: &Parts, has_body: bool) -> Result<(), Refusal> {
        match permit {
            Permit::Serve { .. } => self.guard.check(head, has_body),
            Permit::Refuse { .. } => {
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections");
                Err(refusal.with_warning(Warning::TooManyConnections))
            }
        }
    }
}

#[derive(Default)]
struct Progress {
    /// Requests so far.
    requests: AtomicU32,
    /// The endpoint is answering a request.
    is_serving: AtomicBool,
    /// Part of the next request has arrived.
    is_receiving: AtomicBool,
    /// The client does not read what is sent.
    is_blocked: AtomicBool,
    /// A response of ours has not been flushed yet.
    is_responding: AtomicBool,
}

impl Progress {
    fn request_began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.is_receiving.store(false, Relaxed);
        self.is_serving.store(true, Relaxed);
    }

    fn request_ended(&self) {
        self.is_responding.store(true, Relaxed);
        self.is_serving.store(false, Relaxed);
    }

    /// Whether a connection without a new request since the last check must close.
    fn must_close(&self, permit: &Permit, clients: &Clients) -> bool {
        if self.is_blocked.load(Relaxed) {
            return true;
        }
        let is_idle_allowed = matches!(permit, Permit::Serve { .. }) && !clients.are_crowded();
        !self.is_serving.load(Relaxed) && (self.is_receiving.load(Relaxed) || !is_idle_allowed)
    }
}

/// A stream that notes its connection's progress. It also replaces hyper's own response to a request
/// that hyper cannot parse, since that has none of our headers.
struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
    /// The rest of the response that replaces hyper's.
    replacement: Vec<u8>,
}

impl Watched {
    /// Whether a write is hyper's own refusal: no response of ours is being sent.
    fn is_replaced(&mut self, bytes: &[u8]) -> bool {
        if self.replacement.is_empty() && !self.progress.is_responding.load(Relaxed) {
            self.replacement = replacement(bytes).unwrap_or_default();
        }
        !self.replacement.is_empty()
    }

    /// Sends the replacement, then reports hyper's own `length` bytes as written.
    fn poll_replacement(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        while !self.replacement.is_empty() {
            let write = Pin::new(&mut self.stream).poll_write(context, &self.replacement);
            match ready!(self.noted(write))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => _ = self.replacement.drain(..sent),
            }
        }
        Poll::Ready(Ok(length))
    }

    fn noted<T>(&self, write: Poll<T>) -> Poll<T> {
        self.progress.is_blocked.store(write.is_pending(), Relaxed);
        write
    }
}

/// Our response in place of hyper's `response` to a request that it cannot parse, with the same status.
fn replacement(response: &[u8]) -> Option<Vec<u8>> {
    let status = response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok().filter(StatusCode::is_client_error)?;
    let message = match status {
        StatusCode::URI_TOO_LONG => "path and query are too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are too long, or too many",
        _ => "not a request of HTTP/1.1",
    };
    let length = message.len();
    let response = format!(
        "HTTP/1.1 {status}\r\n\
         content-type: text/plain; charset=utf-8\r\n\
         cache-control: no-store\r\n\
         x-content-type-options: nosniff\r\n\
         content-length: {length}\r\n\
         connection: close\r\n\
         \r\n\
         {message}"
    );
    Some(response.into_bytes())
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
            self.progress.is_receiving.store(true, Relaxed);
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
            return self.poll_replacement(context, bytes.len());
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
            return self.poll_replacement(context, bytes.iter().map(|it| it.len()).sum());
        }
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written a whole response.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.progress.is_responding.store(false, Relaxed);
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
    fn only_hypers_response_to_an_unparseable_request_is_replaced() {
        for (response, status) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "400 Bad Request"),
            ("HTTP/1.1 414 URI Too Long\r\n\r\n", "414 URI Too Long"),
            (
                "HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n",
                "431 Request Header Fields Too Large",
            ),
        ] {
            let ours = String::from_utf8(replacement(response.as_bytes()).unwrap()).unwrap();
            assert!(ours.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{ours}");
            let (_, body) = ours.split_once("\r\n\r\n").unwrap();
            assert!(ours.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        }
        for other in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 4", ""]
        {
            assert_eq!(replacement(other.as_bytes()), None, "{other}");
        }
    }
}
