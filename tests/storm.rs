//! A deployment storm, simulated: a thousand environments start within ten seconds and ask a service that
//! answers 40 requests a second, as Parameter Store does for a whole account.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs)]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
};
use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Clock, Error, ErrorKind, Mode};

const SECOND: Duration = Duration::from_secs(1);
const ENVIRONMENTS: u32 = 1000;
const WITHIN: Duration = Duration::from_secs(10);
/// Requests a second, and how many may come at once.
const QUOTA: f64 = 40.0;
const DEADLINE: Duration = Duration::from_secs(8);
const LATENCY: Duration = Duration::from_millis(20);

/// A service that throttles, and what was asked of it.
struct Service {
    clock: TestClock,
    began: Duration,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// What is left of the quota, and as of when.
    tokens: f64,
    at: Duration,
    /// When each call came, and whether it was answered.
    calls: Vec<(Duration, bool)>,
}

impl Service {
    fn now(&self) -> Duration {
        self.clock.now().monotonic() - self.began
    }

    fn is_answered(&self) -> bool {
        let (now, mut asked) = (self.now(), self.asked.lock().unwrap());
        let refilled = asked.tokens + QUOTA * (now - asked.at).as_secs_f64();
        (asked.tokens, asked.at) = (refilled.min(QUOTA), now);
        let answered = asked.tokens >= 1.0;
        if answered {
            asked.tokens -= 1.0;
        }
        asked.calls.push((now, answered));
        answered
    }
}

/// One environment's client of it.
struct Client(Arc<Service>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct All;

impl fmt::Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test:GetParameters")
    }
}

impl Source for Client {
    type Request = All;
    type Payload = ();

    fn fetch(&self, _: Vec<Wanted<All>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move {
            let answered = self.0.is_answered();
            tokio::time::sleep(LATENCY).await;
            let throttled = || FetchError::new(ErrorKind::Throttled, "Rate exceeded");
            vec![if answered { Ok(Fetched::current((), None)) } else { Err(throttled()) }]
        })
    }
}

struct AskAll(Arc<Service>);

impl Declare for AskAll {
    type Source = Client;

    fn declare(self, connections: &mut Connections) -> Result<Declared<Client>, Error> {
        let source = connections.shared("", |_| Client(self.0));
        Ok(Declared { source, request: All, name: Some("all".to_owned()) })
    }
}

/// Init of one environment.
async fn init(service: Arc<Service>, seed: u64) -> Result<(), Error> {
    let mut builder = Builder::new().clock(service.clock.clone()).mode(Mode::OnDemand).seed(seed);
    builder.add(Entry::new(AskAll(service), |()| Ok(())));
    builder.init_deadline(DEADLINE).spawn().await.map(drop)
}

/// The most calls in any second that begins after `from`.
fn busiest_second(calls: &[(Duration, bool)], from: Duration) -> usize {
    let after = calls.iter().filter(|&&(at, _)| at >= from);
    let within =
        |begin| calls.iter().filter(|&&(at, _)| at >= begin && at < begin + SECOND).count();
    after.map(|&(begin, _)| within(begin)).max().unwrap_or_default()
}

/// Nobody can start without an answer, and an answer is never lost, so what starts and what is answered are
/// equal in number. What could have started is what the quota allows while anybody tries: so an answer
/// that nobody asked for in time is one that a retry came too late for.
#[tokio::test(start_paused = true)]
async fn as_many_environments_start_as_the_quota_allows_and_they_do_not_retry_in_step() {
    for seed in 1..=3 {
        let clock = TestClock::new();
        let asked = Mutex::new(Asked { tokens: QUOTA, ..Asked::default() });
        let service = Arc::new(Service { began: clock.now().monotonic(), clock, asked });
        let mut inits = Vec::new();
        for number in 0..ENVIRONMENTS {
            let service = Arc::clone(&service);
            inits.push(tokio::spawn(async move {
                tokio::time::sleep(WITHIN * number / ENVIRONMENTS).await;
                init(service, seed * 10_000 + u64::from(number)).await
            }));
        }
        let (mut started, mut attempts) = (0.0, Vec::new());
        for init in inits {
            match init.await.unwrap() {
                Ok(()) => started += 1.0,
                Err(error) => attempts.push(error.to_string()),
            }
        }
        let calls = std::mem::take(&mut service.asked.lock().unwrap().calls);
        let answered = calls.iter().filter(|(_, answered)| *answered).count() as f64;
        let last = calls.last().unwrap().0;
        let possible = QUOTA + QUOTA * last.as_secs_f64();
        let all = calls.len();
        let during = busiest_second(&calls, Duration::ZERO);
        let after = busiest_second(&calls, WITHIN);
        println!(
            "{started} of {possible:.0} started, with {all} calls; at most {during}/s, then {after}/s"
        );
        assert!(started == answered, "{answered} answers");
        assert!(started >= 0.95 * possible, "{started} of {possible}");
        assert!(after <= during, "a second storm");
        assert!(attempts.iter().all(|error| error.contains("of them throttled")), "{attempts:?}");
    }
}
