//! What the tests share: an AWS account, a clock, a function that is invoked.

use std::time::Duration;

use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Builder, Cache, Mode, Snapshot};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::aws::Aws;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// The shortest time there is.
pub(crate) const INSTANT: Duration = Duration::from_nanos(1);

/// Tries one case where other property tests try twenty, because each is a world of its own. Not with
/// `proptest!`, which would take the number from PROPTEST_CASES whatever its configuration says.
pub(crate) fn try_few<S: Strategy>(cases: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let few = ProptestConfig::default().cases / 20;
    let config = ProptestConfig {
        cases: few,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Default::default()
    };
    if let Err(failure) = TestRunner::new(config).run(&cases, test) {
        panic!("{failure}");
    }
}

pub(crate) struct World {
    pub(crate) aws: Aws,
    pub(crate) clock: TestClock,
}

impl World {
    /// An empty account.
    pub(crate) fn new() -> Self {
        Self { aws: Aws::new(), clock: TestClock::new() }
    }

    /// A repeatable cache in an environment that freezes: reads and invocations alone drive it.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Cache::builder(&self.aws.config());
        builder.clock(self.clock.clone()).mode(Mode::OnDemand).seed(1)
    }
}

/// Who is first to hear of an invocation: there is no order between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Handler,
    Extension,
}

/// A function with a cache, whose values outlive its invocations.
pub(crate) struct Function {
    pub(crate) cache: Cache,
    invocations: Invocations,
    clock: TestClock,
}

impl Function {
    pub(crate) fn new(world: &World, cache: Cache) -> Self {
        let clock = world.clock.clone();
        Self { invocations: Invocations::new(&cache, &clock), cache, clock }
    }

    /// One invocation, from INVOKE until the environment may freeze; gives what the handler gives. It
    /// has a minute.
    pub(crate) async fn invoke<R>(
        &self,
        first: First,
        handler: impl AsyncFnOnce(Snapshot) -> R,
    ) -> R {
        let invocation = self.invocations.next().deadline(self.clock.true_now() + MINUTE);
        let extension = invocation.clone();
        let extension = async move { extension.invoke().await };
        let held = if first == First::Extension {
            let held = tokio::spawn(extension);
            settle().await;
            invocation.handler_begins().await.unwrap();
            held
        } else {
            invocation.handler_begins().await.unwrap();
            tokio::spawn(extension)
        };
        let result = handler(self.cache.snapshot().await).await;
        invocation.handler_ends().await.unwrap();
        held.await.unwrap().unwrap();
        result
    }
}

/// Lets every task do what it can do now: a whole call of the SDK, for one.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
