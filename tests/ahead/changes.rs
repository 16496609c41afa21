//! Traffic that changes its nature.

use std::time::Duration;

use crate::clairvoyant::clairvoyant;
use crate::play::{Function, MAX_AGE};

/// Invocations of one kind of traffic: their gaps, in seconds.
type Phase = Vec<f64>;

fn dense() -> Phase {
    vec![1.0; 300]
}

/// In each phase, from its eleventh invocation on: how many waited, and how many calls there were for
/// each with foresight.
async fn followed(phases: &[Phase]) -> Vec<(usize, f64)> {
    let mut function = Function::new(|entry| entry, 1).await;
    let mut seen = Vec::new();
    for phase in phases {
        let mut learned = None;
        for (number, &gap) in phase.iter().enumerate() {
            if number == 10 {
                learned = Some((function.begins.len(), function.calls()));
            }
            function.invoke(Duration::from_secs_f64(gap)).await;
        }
        if let Some((first, calls)) = learned {
            let began = function.begins[first - 1];
            let begins: Vec<Duration> =
                function.begins[first..].iter().map(|&it| it - began).collect();
            let best = clairvoyant(&begins, MAX_AGE);
            let waits = function.waited[first..].iter().filter(|&&it| it).count() - best.waits;
            let calls = (function.calls() - calls) as f64 / best.calls.max(1) as f64;
            seen.push((waits, calls));
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn dense_then_each_half_minute_then_nothing_for_an_hour_then_dense_again_is_followed() {
    let hour = vec![3600.0];
    let seen = followed(&[dense(), vec![30.0; 100], hour, dense()]).await;
    for (phase, (waits, calls)) in seen.into_iter().enumerate() {
        assert_eq!(waits, 0, "phase {phase}");
        assert!(calls <= 1.5, "phase {phase}: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_period_is_followed_within_ten_invocations() {
    for periods in [[45.0, 25.0], [25.0, 45.0], [5.0, 40.0], [40.0, 5.0], [20.0, 58.0], [58.0, 3.0]]
    {
        let seen = followed(&periods.map(|period| vec![period; 200])).await;
        for (phase, (waits, calls)) in seen.into_iter().enumerate() {
            assert_eq!(waits, 0, "{periods:?}, phase {phase}");
            assert!(calls <= 1.15, "{periods:?}, phase {phase}: {calls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_no_change() {
    let mut phase = vec![20.0; 60];
    for pause in (5..60).step_by(7) {
        phase[pause] = 300.0;
    }
    let (waits, calls) = followed(&[phase]).await[0];
    assert_eq!(waits, 0, "beside those that must");
    // Only who knows the future makes no call before a pause.
    assert!(calls <= 1.35, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_new_environment_waits_for_no_value_while_it_learns() {
    for period in 1..60 {
        let mut function = Function::new(|entry| entry, 1).await;
        for _ in 0..12 {
            function.invoke(Duration::from_secs(period)).await;
        }
        assert!(!function.waited.contains(&true), "every {period} s");
    }
}
