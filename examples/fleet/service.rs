//! A service with a quota, a token bucket that all environments share, and an outage.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
};
use lambda_cache::testing::TestClock;
use lambda_cache::{Clock, Error, ErrorKind};

const LATENCY: Duration = Duration::from_millis(20);
const OUTAGE: Range<Duration> = Duration::from_secs(1800)..Duration::from_secs(1980);

/// Every environment's way to it.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    /// That of every environment. It shows the time since the hour began.
    clock: TestClock,
    quota: f64,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    filled: Duration,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub answered: usize,
    pub throttled: usize,
    pub broken: usize,
}

impl Service {
    pub fn new(quota: f64) -> Self {
        let state = State { tokens: quota, filled: Duration::ZERO, counts: Counts::default() };
        Self(Arc::new(Shared { clock: TestClock::new(), quota, state: Mutex::new(state) }))
    }

    /// The one call of an environment.
    pub fn entry(&self) -> Entry<Parameters, ()> {
        Entry::new(Parameters(self.clone()), |()| Ok(()))
    }

    pub fn clock(&self) -> &TestClock {
        &self.0.clock
    }

    pub fn counts(&self) -> Counts {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    fn call(&self) -> Fetch<()> {
        let now = self.0.clock.now().monotonic();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = (now - state.filled).as_secs_f64();
        state.tokens = (state.tokens + passed * self.0.quota).min(self.0.quota);
        state.filled = now;
        if state.tokens < 1.0 {
            state.counts.throttled += 1;
            return Err(FetchError::new(ErrorKind::Throttled, "rate exceeded"));
        }
        state.tokens -= 1.0;
        if OUTAGE.contains(&now) {
            state.counts.broken += 1;
            return Err(FetchError::new(ErrorKind::Source, "internal server error"));
        }
        state.counts.answered += 1;
        Ok(Fetched::current((), None))
    }
}

/// What an environment asks for.
pub struct Parameters(Service);

impl Declare for Parameters {
    type Source = Service;

    fn declare(self, _: &mut Connections) -> Result<Declared<Service>, Error> {
        Ok(Declared { source: Arc::new(self.0), request: Get, name: Some("parameters".to_owned()) })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Get;

impl fmt::Display for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters")
    }
}

impl Source for Service {
    type Request = Get;
    type Payload = ();

    fn fetch(&self, batch: Vec<Wanted<Get>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move {
            let answer = self.call();
            tokio::time::sleep(LATENCY).await;
            batch.iter().map(|_| answer.clone()).collect()
        })
    }
}
