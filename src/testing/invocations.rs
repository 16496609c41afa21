//! Invocations without HTTP: a test tells a cache what the extension and the handler would tell it, in
//! any order and to the instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::TestClock;
use crate::cache::Cache;
use crate::clock::{Clock, nanos};
use crate::engine::Invocation;
use crate::error::Error;
use crate::refresher::{Invoked, Message};

/// Drives a cache through invocations, as the extension and the handler do.
///
/// The cache needs [`Mode::OnDemand`](crate::Mode::OnDemand) as its
/// [`mode`](crate::Builder::mode): an environment that freezes.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::testing::{Invocations, TestClock, TestSource};
/// use lambda_cache::{Builder, Mode};
/// use std::time::Duration;
///
/// let (clock, source) = (TestClock::new(), TestSource::new());
/// source.set("greeting", "hello");
/// let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand);
/// let greeting = builder.add(source.entry("greeting"));
/// let cache = builder.spawn().await?;
/// let invocations = Invocations::new(&cache, &clock);
///
/// clock.freeze(Duration::from_secs(50)); // due for a refresh, not yet expired
/// let invocation = invocations.next();
/// invocation.handler_begins().await?;
/// let extension = tokio::spawn({ let it = invocation.clone(); async move { it.invoke().await } });
/// assert_eq!(cache.snapshot().await.get(greeting)?, "hello");
/// invocation.handler_ends().await?;
/// extension.await.unwrap()?; // it may ask for its next event: nothing is in flight
/// assert_eq!((source.calls().len(), source.in_flight()), (2, 0));
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Invocations {
    cache: Cache,
    clock: TestClock,
    count: AtomicU64,
}

impl Invocations {
    /// Invocations of the function that has this cache, in the environment that has this clock.
    pub fn new(cache: &Cache, clock: &TestClock) -> Self {
        Self { cache: cache.clone(), clock: clock.clone(), count: AtomicU64::new(0) }
    }

    /// The next invocation. Its deadline is in 3 seconds on the environment's wall clock; the epoch of
    /// its trace id is the true time, in whole seconds. The cache is not told yet.
    pub fn next(&self) -> TestInvocation {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let epoch = self.clock.true_now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TestInvocation {
            cache: self.cache.clone(),
            invocation: Invoked {
                invocation: Invocation::new(
                    format!("request-{number}"),
                    self.clock.now().later_by(Duration::from_secs(3)).wall,
                ),
                trace_time: Some(nanos(Duration::from_secs(epoch.as_secs()))),
            },
        }
    }
}

/// One invocation of [`Invocations`].
#[derive(Debug, Clone)]
pub struct TestInvocation {
    cache: Cache,
    invocation: Invoked,
}

impl TestInvocation {
    /// Replaces the deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: SystemTime) -> Self {
        self.invocation.invocation.deadline =
            nanos(deadline.duration_since(UNIX_EPOCH).unwrap_or_default());
        self
    }

    /// Replaces the epoch of the trace id, as a client can forge it.
    #[must_use]
    pub fn traced_at(mut self, epoch: SystemTime) -> Self {
        self.invocation.trace_time =
            Some(nanos(epoch.duration_since(UNIX_EPOCH).unwrap_or_default()));
        self
    }

    /// Removes the trace id.
    #[must_use]
    pub fn untraced(mut self) -> Self {
        self.invocation.trace_time = None;
        self
    }

    /// The extension gets INVOKE. Returns when it may ask for its next event.
    ///
    /// # Errors
    ///
    /// If the refresher has ended.
    pub async fn invoke(&self) -> Result<(), Error> {
        let invocation = self.invocation.clone();
        self.cache.refresher.ask(|done| Message::Invoke { invocation, done }).await
    }

    /// The handler begins. Returns when it may take its snapshot.
    ///
    /// # Errors
    ///
    /// If the refresher has ended.
    pub async fn handler_begins(&self) -> Result<(), Error> {
        let invocation = self.invocation.clone();
        self.cache.refresher.ask(|done| Message::HandlerBegan { invocation, done }).await
    }

    /// The handler has ended, and its response has been sent to the last byte. Returns when the runtime
    /// may ask for its next invocation.
    ///
    /// # Errors
    ///
    /// If the refresher has ended.
    pub async fn handler_ends(&self) -> Result<(), Error> {
        let request_id = self.invocation.invocation.request_id.clone();
        self.cache.refresher.ask(|done| Message::ResponseSent { request_id, done }).await
    }
}

/// The hooks of an environment with SnapStart.
impl Invocations {
    /// The hook before the snapshot. Returns when the cache holds no value and nothing is in flight.
    ///
    /// # Errors
    ///
    /// If the refresher has ended.
    pub async fn before_snapshot(&self) -> Result<(), Error> {
        self.cache.refresher.ask(|done| Message::Suspend { done }).await
    }

    /// The hook after the restore.
    ///
    /// # Errors
    ///
    /// If the refresher has ended.
    pub async fn after_restore(&self) -> Result<(), Error> {
        self.cache.refresher.ask(|done| Message::Resume { done }).await
    }
}

/// Ends the refresher of a cache, as a bug in it would, so that a test sees what readers get then.
pub fn kill_refresher(cache: &Cache) {
    cache.refresher.kill();
}
