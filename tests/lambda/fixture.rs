//! A function with a cache, in a Lambda in this process.

use std::future::Future;
use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaBuilder, TestClock, TestSource};
use lambda_cache::{Builder, Cache, Key, Snapshot};
use lambda_runtime::LambdaEvent;
use tokio::task::JoinHandle;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) type BoxError = lambda_runtime::Error;

/// A test's surroundings, inside the runtime and with the variables of Lambda set.
pub(crate) struct Fixture {
    pub(crate) lambda: Lambda,
    pub(crate) source: TestSource,
    pub(crate) clock: TestClock,
}

/// Runs a test in a Lambda: variables are set for the whole process, so tests take turns.
pub(crate) fn in_lambda<Fut: Future<Output = ()>>(
    describe: impl FnOnce(LambdaBuilder) -> LambdaBuilder,
    test: impl FnOnce(Fixture) -> Fut,
) {
    let clock = TestClock::new();
    let bound = describe(Lambda::builder().clock(clock.clone())).bind().expect("a port");
    let variables: Vec<_> = bound.env().into_iter().map(|(name, it)| (name, Some(it))).collect();
    temp_env::with_vars(variables, || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let source = TestSource::new();
            source.set("x", "1");
            test(Fixture { lambda: bound.start().expect("a server"), source, clock }).await;
        });
    });
}

impl Fixture {
    /// A cache with one entry `x` of the default policy.
    pub(crate) async fn cache(&self) -> (Cache, Key<String>) {
        self.cache_with(|builder| builder).await
    }

    pub(crate) async fn cache_with(
        &self,
        build: impl FnOnce(Builder) -> Builder,
    ) -> (Cache, Key<String>) {
        let mut builder = build(Builder::new().clock(self.clock.clone()).seed(1));
        let x = builder.add(self.source.entry("x"));
        (builder.spawn().await.expect("the source answers"), x)
    }

    /// Starts a function that answers with `x`, as `Cache::run` runs it.
    pub(crate) async fn start(&self) -> (Cache, JoinHandle<Result<(), BoxError>>) {
        let (cache, x) = self.cache().await;
        let main = tokio::spawn(cache.clone().run(
            move |_: LambdaEvent<serde_json::Value>, snapshot: Snapshot| async move {
                snapshot.get(x).cloned()
            },
        ));
        self.lambda.ready().await.expect("init");
        (cache, main)
    }

    /// What an invocation answers.
    pub(crate) async fn invoke(&self) -> String {
        let invocation = self.lambda.invoke(serde_json::json!({})).await.expect("an invocation");
        invocation.json().expect("a text")
    }

    /// Freezes the environment for so long; nothing may be in flight then.
    pub(crate) async fn freeze(&self, duration: Duration) {
        self.lambda.idle().await.expect("everybody asks for their next");
        assert_eq!(self.source.in_flight(), 0, "in flight at a freeze");
        self.lambda.freeze(duration).await.expect("a freeze");
    }
}
