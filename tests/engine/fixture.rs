//! What the tests share: a cache over a source and a clock of theirs.

use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock, TestInvocation, TestRequest, TestSource};
use lambda_cache::{Builder, Cache, Key, Mode, sources::Entry};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The source's value, the clock, and a cache with one entry `x` over them.
pub(crate) struct Fixture {
    pub(crate) source: TestSource,
    pub(crate) clock: TestClock,
    pub(crate) cache: Cache,
    pub(crate) invocations: Invocations,
    pub(crate) x: Key<String>,
}

impl Fixture {
    /// An entry with the default policy: 60 seconds, in an environment that freezes.
    pub(crate) async fn new() -> Self {
        Self::with(|entry| entry).await
    }

    /// An entry with these options.
    pub(crate) async fn with(
        options: impl FnOnce(Entry<TestRequest, String>) -> Entry<TestRequest, String>,
    ) -> Self {
        Self::built(|builder| builder, options).await
    }

    /// A cache and an entry with these options.
    pub(crate) async fn built(
        build: impl FnOnce(Builder) -> Builder,
        options: impl FnOnce(Entry<TestRequest, String>) -> Entry<TestRequest, String>,
    ) -> Self {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        let mut builder = build(builder(&clock));
        let x = builder.add(options(source.entry("x")));
        let cache = builder.spawn().await.expect("the source answers");
        let invocations = Invocations::new(&cache, &clock);
        Self { source, clock, cache, invocations, x }
    }

    /// What a snapshot taken now says of `x`.
    pub(crate) async fn read(&self) -> Result<String, lambda_cache::Error> {
        self.cache.snapshot().await.get(self.x).cloned()
    }

    pub(crate) fn calls(&self) -> usize {
        self.source.calls().len()
    }
}

/// An invocation whose handler does nothing, begins before INVOKE comes, and tells when it has ended.
pub(crate) async fn pass(invocation: TestInvocation) {
    invocation.handler_begins().await.unwrap();
    let (invoked, ended) = tokio::join!(invocation.invoke(), invocation.handler_ends());
    invoked.and(ended).unwrap();
}

/// A repeatable cache in an environment that freezes.
pub(crate) fn builder(clock: &TestClock) -> Builder {
    Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1)
}

/// Lets every task do what it can do now.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
