//! A function under simulated traffic: the real cache, on a clock that freezes between invocations.

use std::time::{Duration, SystemTime};

use lambda_cache::sources::Entry;
use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestRequest, TestSource};
use lambda_cache::{Builder, Cache, Clock, Key, Mode};

/// How old values may be.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// How long a handler takes, without waiting.
pub const HANDLER: Duration = Duration::from_millis(5);
/// How long a fetch takes.
pub const FETCH: Duration = Duration::from_millis(20);

/// What some traffic cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub invocations: usize,
    /// Invocations whose handler waited for a fetch.
    pub waits: usize,
    /// Calls of the source, without that of init.
    pub calls: usize,
}

impl Cost {
    /// The share of invocations that waited, in percent.
    pub fn waits(&self) -> f64 {
        100.0 * self.waits as f64 / self.invocations as f64
    }

    /// Calls an invocation.
    pub fn calls(&self) -> f64 {
        self.calls as f64 / self.invocations as f64
    }
}

/// A function with one entry, in an environment of its own.
pub struct Function {
    pub cache: Cache,
    clock: TestClock,
    invocations: Invocations,
    key: Key<String>,
    random: fastrand::Rng,
    start: SystemTime,
    /// When each invocation began. An environment that is still busy is not invoked again before it is
    /// free.
    pub begins: Vec<Duration>,
    /// Which of them waited.
    pub waited: Vec<bool>,
}

impl Function {
    pub async fn new(
        options: impl FnOnce(Entry<TestRequest, String>) -> Entry<TestRequest, String>,
        seed: u64,
    ) -> Self {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.set("x", "1");
        let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(seed);
        let key = builder.add(options(source.entry("x").max_age(MAX_AGE)));
        let cache = builder.spawn().await.expect("the source answers");
        source.behave(Behaviour::Late(FETCH));
        Self {
            invocations: Invocations::new(&cache, &clock),
            start: clock.true_now(),
            cache,
            clock,
            key,
            random: fastrand::Rng::with_seed(seed),
            begins: Vec::new(),
            waited: Vec::new(),
        }
    }

    /// An invocation, so long after the one before began. In between the environment is frozen.
    pub async fn invoke(&mut self, gap: Duration) {
        let last = self.begins.last().copied().unwrap_or_default();
        self.clock.freeze((last + gap).saturating_sub(self.time()));
        self.begins.push(self.time());
        let invocation = self.invocations.next();
        let handler = async {
            invocation.handler_begins().await.expect("a refresher");
            let before = self.clock.now().monotonic();
            let snapshot = self.cache.snapshot().await;
            snapshot.get(self.key).expect("the source is well");
            let waited = self.clock.now().monotonic() > before;
            tokio::time::sleep(HANDLER).await;
            invocation.handler_ends().await.expect("a refresher");
            waited
        };
        // Either may be first.
        let (waited, told) = if self.random.bool() {
            tokio::join!(handler, invocation.invoke())
        } else {
            let (told, waited) = tokio::join!(invocation.invoke(), handler);
            (waited, told)
        };
        told.expect("a refresher");
        self.waited.push(waited);
    }

    /// Time since init.
    fn time(&self) -> Duration {
        self.clock.true_now().duration_since(self.start).unwrap_or_default()
    }

    /// Calls of the source, without that of init.
    pub fn calls(&self) -> usize {
        self.cache.status().api_calls() as usize - 1
    }

    /// What all invocations have cost.
    pub fn cost(&self) -> Cost {
        Cost {
            invocations: self.begins.len(),
            waits: self.waited.iter().filter(|&&waited| waited).count(),
            calls: self.calls(),
        }
    }
}

/// Plays some traffic; gives what it cost and when each invocation began.
pub async fn play(
    gaps: &[Duration],
    options: impl FnOnce(Entry<TestRequest, String>) -> Entry<TestRequest, String>,
    seed: u64,
) -> (Cost, Vec<Duration>) {
    let mut function = Function::new(options, seed).await;
    function.invoke(Duration::ZERO).await;
    for &gap in gaps {
        function.invoke(gap).await;
    }
    (function.cost(), function.begins)
}
