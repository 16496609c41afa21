//! What the tests share: a memo of a source's texts, under a clock of theirs.

use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock, TestInvocation, TestSource};
use lambda_cache::{Builder, Cache, Error, ErrorKind, Memo, MemoBuilder, Mode};
use tokio::task::JoinHandle;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) type Texts = Memo<String, String>;
/// A memo of texts that is being declared.
pub(crate) type Declared<'a> = MemoBuilder<&'a Cache, String, String>;

pub(crate) struct Fixture {
    pub(crate) source: TestSource,
    pub(crate) clock: TestClock,
    pub(crate) cache: Cache,
    pub(crate) invocations: Invocations,
    pub(crate) memo: Texts,
}

impl Fixture {
    /// A memo with the default policy: 60 seconds, in an environment that freezes.
    pub(crate) async fn new() -> Self {
        Self::with(|memo| memo).await
    }

    pub(crate) async fn with(options: impl FnOnce(Declared<'_>) -> Declared<'_>) -> Self {
        Self::built(|builder| builder, options).await
    }

    pub(crate) async fn built(
        build: impl FnOnce(Builder) -> Builder,
        options: impl FnOnce(Declared<'_>) -> Declared<'_>,
    ) -> Self {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        let builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
        let cache = build(builder).spawn().await.unwrap();
        let invocations = Invocations::new(&cache, &clock);
        let memo = options(memo(&cache, &source)).build().unwrap();
        Self { source, clock, cache, invocations, memo }
    }

    pub(crate) async fn get(&self, key: &str) -> Result<String, ErrorKind> {
        let value = self.memo.get(key.to_owned()).await;
        value.map(|it| (*it).clone()).map_err(|error| error.kind())
    }

    /// A reader in a task of its own.
    pub(crate) fn reads(&self, key: &str) -> JoinHandle<Result<String, ErrorKind>> {
        let (memo, key) = (self.memo.clone(), key.to_owned());
        tokio::spawn(async move {
            let value = memo.get(key).await;
            value.map(|it| (*it).clone()).map_err(|error| error.kind())
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.source.calls().len()
    }
}

pub(crate) fn memo<'a>(cache: &'a Cache, source: &TestSource) -> Declared<'a> {
    let source = source.clone();
    cache.memo("texts", move |key: String| {
        let source = source.clone();
        async move { source.ask(key).await.map_err(|error: Error| error) }
    })
}

/// The extension gets INVOKE, in a task that ends when it may ask for its next event.
pub(crate) fn invoke(invocation: &TestInvocation) -> JoinHandle<()> {
    let invocation = invocation.clone();
    tokio::spawn(async move { invocation.invoke().await.unwrap() })
}

/// Lets every task do what it can do now.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
