//! A service with a quota, as Parameter Store has one: a token bucket, shared by all environments.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
};
use lambda_cache::testing::TestClock;
use lambda_cache::{Clock, Error, ErrorKind};

/// Requests a second, which is also how many may come at once.
pub(crate) const QUOTA: f64 = 40.0;
const LATENCY: Duration = Duration::from_millis(20);

/// Tokens of a quota.
pub(crate) struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        Self { tokens: QUOTA, at: Duration::ZERO }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * QUOTA).min(QUOTA);
        self.at = self.at.max(now);
    }

    fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }

    /// Takes the first token that is there within this time.
    pub(crate) fn take_within(&mut self, from: Duration, to: Duration) -> bool {
        self.fill(from.max(self.at));
        let wait = Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / QUOTA);
        let at = self.at.max(from) + wait;
        if at + LATENCY > to {
            return false;
        }
        self.fill(at);
        self.tokens -= 1.0;
        true
    }
}

/// The service, as every environment reaches it.
#[derive(Clone)]
pub(crate) struct Account(Arc<Mutex<State>>);

struct State {
    clock: TestClock,
    bucket: Bucket,
    calls: Vec<Duration>,
    answered: usize,
    known: HashSet<usize>,
    answered_at_first: BTreeSet<usize>,
}

impl Account {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            clock: TestClock::new(),
            bucket: Bucket::new(),
            calls: Vec::new(),
            answered: 0,
            known: HashSet::new(),
            answered_at_first: BTreeSet::new(),
        })))
    }

    /// The entry of one environment.
    pub(crate) fn entry(&self, environment: usize) -> Entry<Parameter, ()> {
        Entry::new(Parameter { account: self.clone(), environment }, |()| Ok(()))
    }

    /// When each call was made, and how many were answered.
    pub(crate) fn calls(&self) -> (Vec<Duration>, usize) {
        let state = self.0.lock().unwrap();
        (state.calls.clone(), state.answered)
    }

    /// How many environments had no call throttled.
    pub(crate) fn answered_at_first(&self) -> usize {
        self.0.lock().unwrap().answered_at_first.len()
    }

    fn call(&self, environment: usize) -> Fetch<()> {
        let mut state = self.0.lock().unwrap();
        let now = state.clock.now().monotonic();
        state.calls.push(now);
        let is_first = state.known.insert(environment);
        if !state.bucket.take(now) {
            return Err(FetchError::new(ErrorKind::Throttled, "rate exceeded"));
        }
        state.answered += 1;
        if is_first {
            state.answered_at_first.insert(environment);
        }
        Ok(Fetched::current((), None))
    }
}

/// What an environment asks for.
pub(crate) struct Parameter {
    account: Account,
    environment: usize,
}

impl Declare for Parameter {
    type Source = Service;

    fn declare(self, _: &mut Connections) -> Result<Declared<Service>, Error> {
        let (account, environment) = (self.account, self.environment);
        let source = Arc::new(Service { account, environment });
        Ok(Declared { source, request: Get, name: Some("parameter".to_owned()) })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Get;

impl fmt::Display for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssm:GetParameters /parameter")
    }
}

pub(crate) struct Service {
    account: Account,
    environment: usize,
}

impl Source for Service {
    type Request = Get;
    type Payload = ();

    fn fetch(&self, batch: Vec<Wanted<Get>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move {
            let answer = self.account.call(self.environment);
            tokio::time::sleep(LATENCY).await;
            batch.iter().map(|_| answer.clone()).collect()
        })
    }
}
