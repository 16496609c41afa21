//! One connection: requests, one after the other, and an eye on how it gets on.
//!
//! An idle connection is left alone, however long it has been idle: after a freeze all timers fire at
//! once, and a client that then sends its next request would find the connection closed. Only where
//! places run short do the idle have to go.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::clients::Place;
use super::refusal::Refusal;
use super::warnings::Warning;
use super::watched::{Progress, Watched};
use super::{Clients, Endpoint, Guard, Warnings};
use crate::answer::Response;

/// A request that has begun to come, or an answer that has begun to go, has between this long and
/// twice as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request.
const MOST_HEAD: usize = 16 * 1024;

/// What all connections of one port share.
pub(super) struct Port<E> {
    pub(super) guard: Guard,
    pub(super) endpoint: Arc<E>,
    pub(super) clients: Clients,
    pub(super) warnings: Warnings,
}

/// Serves a connection until it ends.
pub(super) async fn serve<E: Endpoint>(stream: TcpStream, place: Place, port: Arc<Port<E>>) {
    let progress = Arc::new(Progress::default());
    let respond = |request: Request<Incoming>| {
        let (port, place, progress) = (&port, &place, &progress);
        async move {
            progress.request_began();
            let response = port.answer(place, request).await;
            progress.request_ended();
            Ok::<_, Infallible>(response)
        }
    };
    let stream = Watched::new(stream, Arc::clone(&progress));
    let connection = http1::Builder::new()
        .keep_alive(matches!(place, Place::Served { .. }))
        .max_buf_size(MOST_HEAD)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    let mut connection = pin!(connection);
    loop {
        let before = progress.requests();
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
        if before == progress.requests() && progress.is_to_go(&place, &port.clients) {
            tracing::debug!("a connection that does not get on is cut off");
            return;
        }
    }
}

impl<E: Endpoint> Port<E> {
    async fn answer(&self, place: &Place, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let answer = match self.admit(place, &head, !body.is_end_stream()) {
            Ok(()) => self.endpoint.answer(path, query).await,
            Err(refusal) => Err(refusal),
        };
        answer.unwrap_or_else(|refusal| {
            match refusal.warning(path) {
                Some((warning, asked)) => self.warnings.warn(warning, asked),
                None => tracing::debug!(?refusal, path, "a request is refused"),
            }
            refusal.respond()
        })
    }

    fn admit(&self, place: &Place, head: &Parts, has_body: bool) -> Result<(), Refusal> {
        match place {
            Place::Served { .. } => self.guard.check(head, has_body),
            Place::Refused { .. } => {
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections");
                Err(refusal.warned_of(Warning::TooManyConnections))
            }
        }
    }
}
