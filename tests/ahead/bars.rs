//! How often handlers wait, and what that costs, with a max age of 60 seconds.

use std::time::Duration;

use crate::arrivals::Traffic;
use crate::clairvoyant::clairvoyant;
use crate::play::{Cost, MAX_AGE, play};

const INVOCATIONS: usize = 4000;
const SEEDS: std::ops::Range<u64> = 1..4;

/// What the traffic cost, and what it would have cost somebody who knew it.
async fn costs(traffic: Traffic, seed: u64) -> (Cost, Cost) {
    let gaps = traffic.gaps(INVOCATIONS, seed);
    let (cost, begins) = play(&gaps, |entry| entry, seed).await;
    (cost, clairvoyant(&begins, MAX_AGE))
}

/// Waits at most so many points more, and calls at most so many times as many, as with foresight.
async fn holds(traffic: Traffic, points: f64, times: f64) {
    for seed in SEEDS {
        let (cost, best) = costs(traffic, seed).await;
        let what = format!("{}, seed {seed}: {cost:?}, at best {best:?}", traffic.name());
        assert!(cost.waits() <= best.waits() + points, "{what}");
        assert!(cost.calls() <= times * best.calls(), "{what}");
    }
}

async fn periods(periods: impl Iterator<Item = u32>, times: f64) {
    for period in periods {
        let (cost, best) = costs(Traffic::Every(period.into()), 1).await;
        assert_eq!(cost.waits, 0, "every {period} s");
        assert!(cost.calls() <= times * best.calls(), "every {period} s: {cost:?}, {best:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_1_to_10_seconds_none_waits_at_1_15_times_the_fewest_calls() {
    periods(1..=10, 1.15).await;
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_11_to_23_seconds_none_waits_at_1_05_times_the_fewest_calls() {
    periods(11..=23, 1.05).await;
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_24_to_35_seconds_none_waits_at_1_05_times_the_fewest_calls() {
    periods(24..=35, 1.05).await;
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_36_to_47_seconds_none_waits_at_1_05_times_the_fewest_calls() {
    periods(36..=47, 1.05).await;
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_48_to_59_seconds_none_waits_at_1_05_times_the_fewest_calls() {
    periods(48..=59, 1.05).await;
}

#[tokio::test(start_paused = true)]
async fn with_an_invocation_each_minute_none_waits_for_a_value_that_lasts_90_to_120_seconds() {
    for max_age in [90, 100, 120].map(Duration::from_secs) {
        let gaps = Traffic::Every(60.0).gaps(500, 1);
        let (cost, begins) = play(&gaps, |entry| entry.max_age(max_age), 1).await;
        let best = clairvoyant(&begins, max_age);
        assert_eq!(cost.waits, 0, "{max_age:?}");
        assert!(cost.calls() <= 1.05 * best.calls(), "{max_age:?}: {cost:?}, {best:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_periods_that_vary_by_a_tenth_at_most_2_percent_wait() {
    for period in [20.0, 30.0, 40.0] {
        holds(Traffic::About(period), 2.0, 1.45).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_independent_callers_few_more_wait_than_must() {
    for (mean, points, times) in
        [(5.0, 1.0, 1.15), (10.0, 2.5, 1.25), (20.0, 3.5, 1.4), (30.0, 3.5, 1.5), (45.0, 3.5, 1.55)]
    {
        holds(Traffic::Poisson(mean), points, times).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_bursts_few_more_wait_than_must_and_pauses_cost_no_calls() {
    for pause in [30.0, 120.0, 600.0] {
        holds(Traffic::Bursts(pause), 1.0, 1.1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_that_ebbs_and_flows_is_followed() {
    holds(Traffic::Diurnal, 3.0, 1.4).await;
}

#[tokio::test(start_paused = true)]
async fn where_all_gaps_are_as_long_as_the_max_age_no_call_is_made_for_nothing() {
    for gap in [60.0, 60.2, 90.0, 3600.0] {
        let (cost, best) = costs(Traffic::Every(gap), 1).await;
        assert_eq!(cost.waits, best.waits, "{gap}");
        assert!(cost.calls <= cost.invocations, "{gap}: {cost:?}");
    }
    for traffic in [Traffic::About(80.0), Traffic::Poisson(600.0), Traffic::Poisson(45.0)] {
        let (cost, _) = costs(traffic, 1).await;
        assert!(cost.calls <= cost.invocations, "{traffic:?}: {cost:?}");
    }
}

/// Every way to fetch beside some of the handlers, tried.
fn at_best(begins: &[Duration]) -> Cost {
    let cost = |beside: u32| {
        let (mut waits, mut calls, mut fetched) = (0, 0, Duration::ZERO);
        for (number, &begin) in begins.iter().enumerate() {
            if begin - fetched >= MAX_AGE {
                (waits, calls, fetched) = (waits + 1, calls + 1, begin);
            } else if beside & 1 << number != 0 {
                (calls, fetched) = (calls + 1, begin);
            }
        }
        (waits, calls)
    };
    let (waits, calls) = (0..1 << begins.len()).map(cost).min().expect("some way");
    Cost { invocations: begins.len(), waits, calls }
}

#[test]
fn who_knows_the_future_makes_the_fewest_waits_and_then_the_fewest_calls() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut time = Duration::ZERO;
        let gap = random.u64(5..60);
        let begins: Vec<Duration> = (0..10)
            .map(|_| {
                time += Duration::from_secs(random.u64(1..2 * gap));
                time
            })
            .collect();
        assert_eq!(clairvoyant(&begins, MAX_AGE), at_best(&begins), "{begins:?}");
    }
}
