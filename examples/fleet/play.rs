//! One hour of a fleet.

use std::time::Duration;

use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Cache, Clock, Key, Mode};
use tokio::task::JoinSet;

use crate::Way;
use crate::service::{Counts, Service};

const HOUR: Duration = Duration::from_secs(3600);
const HOURS_A_MONTH: f64 = 730.0;
const MAX_AGE: Duration = Duration::from_secs(60);
const BETWEEN_READS: Duration = Duration::from_secs(20);
/// As fast as Lambda adds environments.
const STARTS_A_SECOND: f64 = 100.0;

/// What an hour came to.
#[derive(Debug)]
pub struct Hour {
    pub environments: usize,
    counts: Counts,
    dollars: f64,
    seen: Seen,
}

/// What environments saw.
#[derive(Debug, Default)]
struct Seen {
    failed_inits: usize,
    /// How long each environment waited until it had started, failed starts included.
    starts: Vec<Duration>,
    reads: usize,
    waits: usize,
    errors: usize,
    oldest: Duration,
}

pub async fn play(environments: usize, way: Way) -> Hour {
    let service = Service::new(way.quota);
    let mut all = JoinSet::new();
    for n in 0..environments {
        all.spawn(live(n, service.clone()));
    }
    let mut seen = Seen::default();
    while let Some(one) = all.join_next().await {
        seen.add(one.expect("an environment does not panic"));
    }
    seen.starts.sort_unstable();
    let counts = service.counts();
    let dollars = counts.answered as f64 * way.dollars;
    Hour { environments, counts, dollars, seen }
}

/// One environment, from its start to the end of the hour.
async fn live(number: usize, service: Service) -> Seen {
    tokio::time::sleep(Duration::from_secs_f64(number as f64 / STARTS_A_SECOND)).await;
    let clock: &TestClock = service.clock();
    let now = || clock.now().monotonic();
    let began = now();
    let mut seen = Seen::default();
    let (cache, key): (Cache, Key<()>) = loop {
        let seed = (number * 1_000 + seen.failed_inits) as u64;
        let mut builder =
            Builder::new().clock(clock.clone()).mode(Mode::ManagedInstance).seed(seed);
        let key = builder.add(service.entry().max_age(MAX_AGE));
        match builder.spawn().await {
            Ok(cache) => break (cache, key),
            Err(_) if now() > HOUR => return seen,
            Err(_) => seen.failed_inits += 1,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    seen.starts.push(now() - began);
    while now() < HOUR {
        let before = now();
        let snapshot = cache.snapshot().await;
        seen.reads += 1;
        seen.waits += usize::from(now() > before);
        match snapshot.age(key) {
            Ok(age) if snapshot.get(key).is_ok() => {
                assert!(age < MAX_AGE, "a value {age:?} old was served");
                seen.oldest = seen.oldest.max(age);
            }
            _ => seen.errors += 1,
        }
        tokio::time::sleep(BETWEEN_READS).await;
    }
    seen
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.failed_inits += other.failed_inits;
        self.starts.extend(other.starts);
        self.reads += other.reads;
        self.waits += other.waits;
        self.errors += other.errors;
        self.oldest = self.oldest.max(other.oldest);
    }
}

impl Hour {
    pub fn calls_a_second(&self) -> f64 {
        let Counts { answered, throttled, broken } = self.counts;
        (answered + throttled + broken) as f64 / HOUR.as_secs_f64()
    }

    pub fn dollars_a_month(&self) -> f64 {
        self.dollars * HOURS_A_MONTH
    }

    pub fn row(&self, way: &str) -> String {
        let Seen { failed_inits, starts, reads, waits, errors, oldest } = &self.seen;
        let started = |part: usize| {
            let at = (starts.len() * part / 100).min(starts.len().saturating_sub(1));
            starts.get(at).copied().unwrap_or_default().as_secs_f64()
        };
        let percent = |part: usize| 100.0 * part as f64 / (*reads).max(1) as f64;
        let calls = self.calls_a_second();
        let throttled = 100.0 * self.counts.throttled as f64 / (calls * 3600.0).max(1.0);
        format!(
            "| {} | {way} | {calls:.2} | {throttled:.0} % | {failed_inits} | {:.2} / {:.2} s | \
             {:.2} % | {:.2} % | {:.0} s | {:.0} |",
            self.environments,
            started(50),
            started(99),
            percent(*waits),
            percent(*errors),
            oldest.as_secs_f64(),
            self.dollars_a_month(),
        )
    }
}
