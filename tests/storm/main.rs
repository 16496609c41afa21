//! A thousand environments that start at once, against one quota: the real cache, on simulated time.
#![allow(clippy::unwrap_used)]

mod account;

use std::time::Duration;

use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, ErrorKind, Mode};
use tokio::task::JoinSet;

use crate::account::{Account, QUOTA};

/// The default of `Builder::init_deadline`.
const INIT: Duration = Duration::from_secs(8);

/// What a storm came to.
#[derive(Debug)]
struct Storm {
    environments: usize,
    started: usize,
    /// How many any schedule of calls can start: each call at the instant at which there is a token for it.
    can_start: usize,
    /// Calls that the service answered.
    answered: usize,
    /// When each call was made, in order.
    calls: Vec<Duration>,
    /// The calls that environments need which know nothing of each other, if each had perfect luck: a first
    /// one, and a second one for those that start although their first was throttled.
    least_calls: usize,
}

impl Storm {
    /// So many environments begin within this time, evenly.
    async fn of(environments: usize, within: Duration, seed: u64) -> Self {
        let account = Account::new();
        let begin = |n: usize| within.mul_f64(n as f64 / environments as f64);
        let mut starts = JoinSet::new();
        for n in 0..environments {
            let account = account.clone();
            let begin = begin(n);
            starts.spawn(async move {
                tokio::time::sleep(begin).await;
                let clock = TestClock::new();
                let mut builder = Builder::new().clock(clock).mode(Mode::OnDemand);
                builder = builder.seed(seed * 1_000_000 + n as u64);
                builder.add(account.entry(n));
                // The cache is kept, as its environment would be.
                builder.spawn().await.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Init))
            });
        }
        let ended = starts.join_all().await;
        let started = ended.iter().filter(|it| it.is_ok()).count();
        let (calls, answered) = account.calls();
        let mut ideal = account::Bucket::new();
        let can_start =
            (0..environments).filter(|&n| ideal.take_within(begin(n), begin(n) + INIT)).count();
        let least_calls = environments + started - account.answered_at_first();
        Self { environments, started, can_start, answered, calls, least_calls }
    }

    /// The most calls in a tenth of a second that begins later than this, ...
    fn peak(&self, after: Duration) -> usize {
        let tenth = Duration::from_millis(100);
        let later = self.calls.iter().filter(|&&at| at >= after);
        later.map(|&at| self.between(at, at + tenth)).max().unwrap_or(0)
    }

    fn between(&self, from: Duration, to: Duration) -> usize {
        self.calls.partition_point(|&at| at < to) - self.calls.partition_point(|&at| at < from)
    }
}

/// All that can start do, but for one in twenty, and the service answers at most 5 % more calls than that
/// takes: no answer is thrown away, and none is asked for twice. Calls that are throttled cost nothing and
/// use up none of the quota, but each environment has to make some: it learns nothing of the others. They
/// are held against the least that is possible with perfect luck, which the same run works out.
#[tokio::test(start_paused = true)]
async fn of_a_thousand_environments_in_ten_seconds_all_start_that_the_quota_has_room_for() {
    for seed in 1..=3 {
        let storm = Storm::of(1_000, Duration::from_secs(10), seed).await;
        let Storm { environments, started, can_start, answered, least_calls, .. } = storm;
        let calls = storm.calls.len();
        let all = format!(
            "{started} of {can_start} that can, of {environments}; {calls} calls, {answered} answered, \
             {least_calls} needed"
        );
        assert!(20 * started >= 19 * can_start, "{all}");
        assert!(20 * answered <= 21 * started, "{all}");
        assert!(10 * calls <= 26 * least_calls, "{all}");
    }
}

/// The calls that follow come in no waves: in no tenth of a second are there many more than two and a half
/// times as many as in the average tenth of the second around it.
#[tokio::test(start_paused = true)]
async fn a_storm_that_is_throttled_does_not_come_back_in_step() {
    for (seed, within) in [(1, 10_000), (2, 500), (3, 100)] {
        let storm = Storm::of(1_000, Duration::from_millis(within), seed).await;
        let (tenth, half) = (Duration::from_millis(100), Duration::from_millis(450));
        let begun = Duration::from_millis(within) + Duration::from_secs(1);
        for &at in storm.calls.iter().filter(|&&at| at >= begun) {
            let wave = storm.between(at, at + tenth);
            let around = storm.between(at.saturating_sub(half), at + tenth + half);
            assert!(wave <= 20 + around / 4, "{wave} calls at {at:?}, {around} around");
        }
        // Nor is any later tenth a quarter of what the storm began with.
        let peak = storm.peak(begun);
        assert!(peak <= 250, "{peak}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fits_into_the_quota_starts_without_a_throttled_call() {
    let burst = QUOTA as usize;
    let storm = Storm::of(burst, Duration::ZERO, 1).await;
    assert_eq!((storm.started, storm.calls.len()), (burst, burst));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_twice_the_burst_starts_as_a_whole() {
    let storm = Storm::of(2 * QUOTA as usize, Duration::ZERO, 1).await;
    assert_eq!(storm.started, 2 * QUOTA as usize);
}
