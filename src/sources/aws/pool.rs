//! [`Pool`]: pooled connections to AWS. One that a freeze may have killed is not reused.
//!
//! hyper's pool measures idle time on the monotonic clock, which can stand still while the environment
//! is frozen: a connection that its other end closed long ago looks as if it had just been used. A
//! request on it gets a reset or no answer, and the SDK's next attempt can take the next dead
//! connection. So
//!
//! - a connection is reused only while both clocks say that it has not been idle for long;
//! - at most one idle connection is kept for each host (`http.rs`), so that a freeze which no clock
//!   shows costs one attempt, not all of them;
//! - a connection on which a request got no answer is closed. HTTP/1 does that in any case, but an
//!   HTTP/2 connection would be shared with the next attempt.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use crate::clock::{Clocks, Stamp, SystemClock, nanos};
use crate::freshness::Bounds;

/// The clocks that measure idle time: the cache's, once it is spawned.
pub(super) type SharedClocks = Arc<OnceLock<Clocks>>;

/// A connection that has been idle for this long is not reused. (The SDK's own pool keeps it 90 s.)
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// If the wall clock has gained this much on the monotonic one, the environment was frozen. Perhaps for
/// longer than that: just after a thaw the wall clock can lag.
const FREEZE: Duration = Duration::from_secs(1);
/// How many hosts are remembered. With one more, all connections are dropped and all hosts forgotten.
const MAX_HOSTS: usize = 1000;

/// Sends requests over pooled connections, after dropping those that a freeze may have killed.
pub(super) struct Pool {
    clocks: SharedClocks,
    /// Makes a connector without connections.
    make: Box<dyn Fn() -> SharedHttpConnector + Send + Sync>,
    current: Mutex<Generation>,
}

/// A connector with its connections. hyper has no way to drop only some of them.
struct Generation {
    connector: SharedHttpConnector,
    /// When the last request to each host began. A connection that is idle now became idle later, or
    /// that request would have taken it.
    last_request: HashMap<String, Stamp>,
}

impl Generation {
    fn new(connector: SharedHttpConnector) -> Self {
        Self { connector, last_request: HashMap::new() }
    }

    /// Whether a request to `host` may take a connection of this generation.
    fn is_usable(&self, host: &str, now: Stamp) -> bool {
        match self.last_request.get(host) {
            Some(&began) => may_be_alive(began, now),
            None => self.last_request.len() < MAX_HOSTS,
        }
    }
}

/// Whether a connection that has been idle since `since` may be reused.
fn may_be_alive(since: Stamp, now: Stamp) -> bool {
    Bounds::of(since, IDLE).admits(now) && now.lead() - since.lead() < nanos(FREEZE)
}

impl Pool {
    pub(super) fn new(
        clocks: SharedClocks,
        make: impl Fn() -> SharedHttpConnector + Send + Sync + 'static,
    ) -> Self {
        let current = Mutex::new(Generation::new(make()));
        Self { clocks, make: Box::new(make), current }
    }

    /// The connector for a request to `host` that begins now.
    fn connector(&self, host: &str) -> SharedHttpConnector {
        let now = self.clocks.get_or_init(|| Clocks::System(SystemClock::new())).now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is_usable(host, now) {
            // Requests in flight finish on their connections, which then close.
            *current = Generation::new((self.make)());
        }
        current.last_request.insert(host.to_owned(), now);
        current.connector.clone()
    }
}

impl HttpConnector for Pool {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.connector(host(request.uri()));
        // The SDK captures it too, and closes it after some failures: not after a timeout, and after
        // none with its newest retries (`AWS_NEW_RETRIES_2026`).
        let connection = request.extension::<CaptureSmithyConnection>().cloned();
        let connection = connection.unwrap_or_default();
        request.add_extension(connection.clone());
        let unanswered = CloseOnDrop(Some(connection));
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            if answer.is_ok() {
                unanswered.keep();
            }
            answer
        })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Scheme, host and port of a URI: what hyper pools connections by.
fn host(uri: &str) -> &str {
    let authority = uri.find("://").map_or(0, |at| at + "://".len());
    let length = uri[authority..].find(['/', '?', '#']);
    length.map_or(uri, |length| &uri[..authority + length])
}

/// Closes the connection of a request that failed or was dropped.
struct CloseOnDrop(Option<CaptureSmithyConnection>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take().and_then(|it| it.get()) {
            connection.poison();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use aws_smithy_runtime_api::client::connection::ConnectionMetadata;
    use aws_smithy_runtime_api::client::http::SharedHttpConnector;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::clock::Clock;

    const SECOND: i64 = 1_000_000_000;
    const ASKED: Stamp = Stamp { monotonic: 7 * SECOND, wall: 1_000_000 * SECOND };

    fn alive_after(monotonic: f64, wall: f64) -> bool {
        let nanos = |seconds: f64| (seconds * 1e9) as i64;
        let now =
            Stamp { monotonic: ASKED.monotonic + nanos(monotonic), wall: ASKED.wall + nanos(wall) };
        may_be_alive(ASKED, now)
    }

    #[test]
    fn a_connection_may_be_alive_for_fifteen_seconds_by_both_clocks() {
        assert!(alive_after(14.9, 14.9));
        assert!(!alive_after(15.0, 15.0));
        assert!(!alive_after(0.1, 15.0), "the monotonic clock stood still");
        assert!(!alive_after(0.1, 1.2), "it stood still, and the wall clock may lag");
        assert!(alive_after(0.1, 1.0));
    }

    #[test]
    fn a_wall_clock_that_was_set_back_says_nothing_of_a_connection() {
        assert!(!alive_after(1.0, -1.0));
        assert!(!alive_after(10.0, 9.0));
        assert!(alive_after(10.0, 9.99));
    }

    #[test]
    fn connections_are_told_apart_by_scheme_host_and_port() {
        for (uri, expected) in [
            ("https://ssm.eu-west-1.amazonaws.com/", "https://ssm.eu-west-1.amazonaws.com"),
            ("https://a.s3.amazonaws.com/b?c=http://d", "https://a.s3.amazonaws.com"),
            ("http://[::1]:4566?x", "http://[::1]:4566"),
            ("http://localhost", "http://localhost"),
        ] {
            assert_eq!(host(uri), expected);
        }
    }

    /// Answers as the request's path says, over a connection whose closing it counts.
    #[derive(Debug, Default, Clone)]
    struct Connector {
        closed: Arc<AtomicUsize>,
    }

    impl HttpConnector for Connector {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let closed = Arc::clone(&self.closed);
            let close = move || {
                closed.fetch_add(1, SeqCst);
            };
            let connection = ConnectionMetadata::builder().proxied(false).poison_fn(close).build();
            let capture = request.extension::<CaptureSmithyConnection>().expect("it is captured");
            capture.set_connection_retriever(move || Some(connection.clone()));
            match request.uri() {
                "http://a/answers" => {
                    let status = 500.try_into().expect("a status");
                    HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::empty())))
                }
                "http://a/fails" => {
                    HttpConnectorFuture::ready(Err(ConnectorError::io("reset".into())))
                }
                _ => HttpConnectorFuture::new(std::future::pending()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_left_a_request_without_an_answer_is_closed() {
        let connector = Connector::default();
        let inner = SharedHttpConnector::new(connector.clone());
        let pool = Pool::new(SharedClocks::default(), move || inner.clone());
        for (path, closed) in [("answers", 0), ("fails", 1), ("hangs", 2), ("answers", 2)] {
            let request = HttpRequest::get(format!("http://a/{path}")).expect("a request");
            _ = tokio::time::timeout(Duration::from_secs(1), pool.call(request)).await;
            assert_eq!(connector.closed.load(SeqCst), closed, "{path}");
        }
    }

    /// Two clocks that a test moves.
    #[derive(Debug, Clone)]
    struct Moved(Arc<Mutex<Stamp>>);

    impl Moved {
        fn by(&self, [monotonic, wall]: [i64; 2]) {
            let mut now = self.0.lock().expect("no panic");
            *now = Stamp { monotonic: now.monotonic + monotonic, wall: now.wall + wall };
        }
    }

    impl Clock for Moved {
        fn now(&self) -> Stamp {
            *self.0.lock().expect("no panic")
        }
    }

    /// A pool with clocks of its own, and how many connectors it has made.
    fn counted() -> (Pool, Moved, Arc<AtomicUsize>) {
        let (made, clock) = (Arc::new(AtomicUsize::new(0)), Moved(Arc::new(Mutex::new(ASKED))));
        let (count, inner) = (Arc::clone(&made), SharedHttpConnector::new(Connector::default()));
        let clocks = SharedClocks::new(Clocks::Other(Arc::new(clock.clone())).into());
        let pool = Pool::new(clocks, move || {
            count.fetch_add(1, SeqCst);
            inner.clone()
        });
        (pool, clock, made)
    }

    #[test]
    fn a_host_in_use_makes_no_other_hosts_connections_younger() {
        let freeze = [SECOND / 100, SECOND / 3];
        for step in [[5 * SECOND; 2], freeze] {
            let (pool, clock, made) = counted();
            pool.connector("a");
            for _ in 0..4 {
                clock.by(step);
                pool.connector("b");
                assert_eq!(made.load(SeqCst), 1);
            }
            pool.connector("a");
            assert_eq!(made.load(SeqCst), 2, "{step:?}");
        }
    }

    #[test]
    fn a_pool_keeps_account_of_a_bounded_number_of_hosts() {
        let (pool, _, made) = counted();
        for n in 0..=MAX_HOSTS {
            pool.connector(&format!("https://{n}"));
        }
        assert_eq!(made.load(SeqCst), 2);
    }
}
