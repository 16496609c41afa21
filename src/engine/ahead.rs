//! Whether a value is refreshed beside this handler, for the sake of the next one.
//!
//! An environment that freezes can refresh only while an invocation runs. So at each invocation the
//! question is: will the value have expired when the next one comes, and would one that is fetched now
//! still be fresh then?
//!
//! Let the value have *r* of its life left, let *M* be its max age, and let *g* be the gap until the next
//! invocation, of which the gaps so far are a sample. A fetch now
//!
//! - **spares a wait** if *r* ≤ *g* < *M*: the next invocation would have found the value expired, and
//!   had to make the same call;
//! - **is thrown away** if *g* ≥ *M*: the next invocation waits for a fetch of its own anyhow. That is
//!   a call more;
//! - **comes too early** if *g* < *r*: the next invocation could still have made it. The rest of the
//!   old value's life is lost, *r* / *M* of a call.
//!
//! If a wait is worth *W* calls, the fetch pays where
//!
//! > *W* · P(*r* ≤ *g* < *M*) ≥ P(*g* ≥ *M*) + *r* / *M* · P(*g* < *r*).
//!
//! As *r* grows, the left side falls and the right side grows. So it pays up to one value of *r*, the
//! **horizon**: a value is refreshed if it would expire within the horizon from now.
//!
//! What follows for some kinds of traffic:
//!
//! - one invocation each *p* < *M*: the horizon is *p*, so the value is refreshed by the last invocation
//!   before it expires, which is what somebody would do who knew the future;
//! - one each *p* ≥ *M*: the horizon is zero, since no refresh can help;
//! - a little jitter: the horizon is a little shorter than the longest gap;
//! - bursts: the rare pauses count for as much as they are likely.
//!
//! Two rules complete it ([`Policy::due`](crate::freshness::Policy::due)). In dense traffic the horizon may
//! be shorter than a second attempt takes, so a value is due a little before its end in any case. And as
//! long as only a few gaps are known, half of the max age is a horizon as well: some multiple of each
//! period below *M* falls into [*M*/2, *M*), so that whatever the period is, no invocation waits while it
//! is being learned.

use std::time::Duration;

use crate::freshness::Ahead;

/// A handler may read a little later than its invocation begins, and no two gaps are quite the same.
const TOLERANCE: Duration = Duration::from_millis(100);

/// How long before its end a value is worth a refresh. The gaps are in milliseconds, the shortest
/// first.
pub(super) fn horizon(gaps: &[u32], max_age: Duration, ahead: Ahead) -> Duration {
    let worth = ahead.calls_for_a_wait();
    let life = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
    let in_time = gaps.partition_point(|&gap| u64::from(gap) < life);
    let thrown_away = (gaps.len() - in_time) as u64;
    // With so much life left that only `too_early` gaps are shorter: from the longest gap down.
    for too_early in (0..in_time).rev() {
        let spared = (in_time - too_early) as u64;
        let gain = worth.saturating_mul(spared).saturating_sub(thrown_away);
        let pays_up_to = match too_early {
            0 if gain > 0 => life,
            0 => 0,
            _ => life.saturating_mul(gain) / too_early as u64,
        };
        let longer_than = too_early.checked_sub(1).map_or(0, |shorter| u64::from(gaps[shorter]));
        if pays_up_to > longer_than {
            let horizon = pays_up_to.min(u64::from(gaps[too_early]));
            return Duration::from_millis(horizon).saturating_add(TOLERANCE);
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The horizon for these gaps, in seconds.
    fn after(gaps: &[f64], ahead: Ahead) -> f64 {
        let mut gaps: Vec<u32> = gaps.iter().map(|gap| (gap * 1000.0) as u32).collect();
        gaps.sort_unstable();
        horizon(&gaps, MINUTE, ahead).saturating_sub(TOLERANCE).as_secs_f64()
    }

    /// Whether the inequality of the module's doc holds, with `left` milliseconds left.
    fn pays(gaps: &[u32], left: u32) -> bool {
        let count = |is: &dyn Fn(u32) -> bool| gaps.iter().filter(|&&gap| is(gap)).count() as f64;
        let spared = count(&|gap| left <= gap && gap < 60_000);
        let too_early = f64::from(left) / 60_000.0 * count(&|gap| gap < left);
        spared > 0.0 && 6.0 * spared >= count(&|gap| gap >= 60_000) + too_early
    }

    #[test]
    fn the_horizon_of_a_period_is_the_period() {
        for period in [0.001, 1.0, 20.0, 59.9] {
            for ahead in [Ahead::Expected, Ahead::Always] {
                assert_eq!(after(&[period; 48], ahead), period, "{period} {ahead:?}");
            }
        }
    }

    #[test]
    fn no_refresh_can_help_when_gaps_are_as_long_as_the_max_age() {
        for ahead in [Ahead::Expected, Ahead::Always] {
            assert_eq!(after(&[60.0, 100.0, 3600.0], ahead), 0.0);
            assert_eq!(after(&[], ahead), 0.0);
        }
    }

    #[test]
    fn who_would_rather_wait_than_call_refreshes_nothing_ahead() {
        assert_eq!(after(&[20.0; 48], Ahead::Never), 0.0);
    }

    #[test]
    fn who_would_rather_call_than_wait_is_ready_for_the_longest_gap_there_was() {
        let gaps: Vec<f64> = [[0.5; 40].as_slice(), &[30.0, 59.0, 61.0]].concat();
        assert_eq!(after(&gaps, Ahead::Always), 59.0);
        assert!(after(&gaps, Ahead::Expected) < 31.0);
    }

    #[test]
    fn rare_gaps_longer_than_the_max_age_are_not_worth_a_call_each_time() {
        let gaps: Vec<f64> = [[0.5; 40].as_slice(), &[600.0, 700.0]].concat();
        assert_eq!(after(&gaps, Ahead::Expected), 0.5);
    }

    #[test]
    fn the_horizon_is_where_the_inequality_ceases_to_hold() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let longest = random.u32(2..120_000);
            let mut gaps: Vec<u32> =
                (0..random.usize(1..48)).map(|_| random.u32(1..longest)).collect();
            gaps.sort_unstable();
            let horizon = horizon(&gaps, MINUTE, Ahead::Expected).saturating_sub(TOLERANCE);
            let left = horizon.as_millis() as u32;
            assert!(left == 0 || pays(&gaps, left), "{gaps:?}: {left}");
            assert!(!pays(&gaps, left + 1), "{gaps:?}: {left}");
        }
    }

    #[test]
    fn the_longest_max_age_overflows_nothing() {
        for ahead in [Ahead::Never, Ahead::Expected, Ahead::Always] {
            horizon(&[1, 2, u32::MAX], Duration::MAX, ahead);
            horizon(&[1, 2, u32::MAX], Duration::ZERO, ahead);
        }
    }
}
