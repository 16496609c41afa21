//! One connection: requests, one after the other, and an eye on how it gets on.
//!
//! An idle connection is left alone, however long it has been idle: after a freeze all timers fire at
//! once, and a client that then sends its next request would find the connection closed. Only where
//! places run short do the idle have to go.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::clients::Place;
use super::refusal::Refusal;
use super::{Clients, Endpoint, Guard};
use crate::answer::Response;

/// A request that has begun to come, or an answer that has begun to go, has between this long and
/// twice as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request.
const MOST_HEAD: usize = 16 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve<E: Endpoint>(
    stream: TcpStream,
    place: Place,
    endpoint: Arc<E>,
    guard: Guard,
    clients: Clients,
) {
    let progress = Arc::new(Progress::default());
    let respond = |request: Request<Incoming>| {
        let (endpoint, guard, place, progress) = (&endpoint, &guard, &place, &progress);
        async move {
            progress.request_began();
            let response = match place {
                Place::Served { .. } => answer(&**endpoint, guard, request).await,
                Place::Refused { .. } => too_many(),
            };
            progress.request_ended();
            Ok::<_, Infallible>(response)
        }
    };
    let stream = Watched { stream, progress: Arc::clone(&progress) };
    let connection = http1::Builder::new()
        .keep_alive(matches!(place, Place::Served { .. }))
        .max_buf_size(MOST_HEAD)
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
            () = tokio::time::sleep(PATIENCE) => {}
        }
        if before == progress.requests.load(Relaxed) && progress.is_to_go(&place, &clients) {
            tracing::debug!("a connection that does not get on is cut off");
            return;
        }
    }
}

async fn answer<E: Endpoint>(endpoint: &E, guard: &Guard, request: Request<Incoming>) -> Response {
    let (head, body) = request.into_parts();
    let answer = match guard.check(&head, !body.is_end_stream()) {
        Ok(()) => endpoint.answer(head.uri.path(), head.uri.query().unwrap_or_default()).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| {
        tracing::debug!(?refusal, "a request is refused");
        refusal.respond()
    })
}

fn too_many() -> Response {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections").respond()
}

/// How far a connection has got.
#[derive(Default)]
struct Progress {
    /// Requests that have come.
    requests: AtomicU32,
    /// One is being answered.
    is_serving: AtomicBool,
    /// Something of the next has come.
    has_begun: AtomicBool,
    /// The client does not take what is sent.
    is_blocked: AtomicBool,
}

impl Progress {
    fn request_began(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.has_begun.store(false, Relaxed);
        self.is_serving.store(true, Relaxed);
    }

    fn request_ended(&self) {
        self.is_serving.store(false, Relaxed);
    }

    /// Whether a connection has to go that has not come to its next request for a while.
    fn is_to_go(&self, place: &Place, clients: &Clients) -> bool {
        if self.is_blocked.load(Relaxed) {
            return true;
        }
        !self.is_serving.load(Relaxed)
            && (self.has_begun.load(Relaxed)
                || matches!(place, Place::Refused { .. })
                || clients.are_many())
    }
}

/// A stream that notes what comes and goes.
struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
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

impl Watched {
    fn noted<T>(&self, write: Poll<T>) -> Poll<T> {
        self.progress.is_blocked.store(write.is_pending(), Relaxed);
        write
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.noted(write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
