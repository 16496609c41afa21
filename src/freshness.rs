//! Whether a value is fresh, due, stale or expired: pure functions of stamps, policy and now.
//!
//! No clock, task or lock is in here. [`age`] is the definition. [`Bounds`] are the instants at which an
//! age is below a limit, so that checking many values together takes four integer comparisons.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::{Stamp, duration, nanos};

/// How far the wall clock may fall behind the monotonic one and still be believed: the time between
/// the two readings of one stamp, ...
const READING: Duration = Duration::from_millis(50);
/// ... and one part in this many for slewing (the kernel slews by at most 500 ppm).
const SLEWING: u32 = 2000;

/// The age at `now` of a value whose request began at `began`; `None` if the clocks cannot tell:
/// the wall clock is behind the request's start, or has fallen behind the monotonic clock by more
/// than slewing explains.
///
/// `max_age` is how long slewing may have gone on.
pub(crate) fn age(began: Stamp, now: Stamp, max_age: Duration) -> Option<Duration> {
    // guarantee 2: the larger of two. guarantee 3: what cannot be proved counts as expired.
    let wall = now.wall.saturating_sub(began.wall);
    let monotonic = now.monotonic.saturating_sub(began.monotonic).max(0);
    let behind = monotonic.saturating_sub(wall);
    (wall >= 0 && behind <= slack(max_age)).then(|| duration(wall.max(monotonic)))
}

fn slack(elapsed: Duration) -> i64 {
    nanos(READING + elapsed / SLEWING)
}

/// The lifetime of an answer that is valid until a given time. A validity that had ended when the
/// request began is ignored.
pub(crate) fn lifetime(began: Stamp, until: Option<SystemTime>) -> Option<Duration> {
    let until = nanos(until?.duration_since(UNIX_EPOCH).ok()?);
    (until > began.wall).then(|| duration(until - began.wall))
}

/// A set of instants: those at which one value is young enough, or several are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The monotonic clock must be before this.
    monotonic_end: i64,
    /// The wall clock must be before this, ...
    wall_end: i64,
    /// ... and not before this.
    wall_start: i64,
    /// The wall clock must be ahead of the monotonic one by at least this: a freeze makes the lead
    /// larger; what makes it smaller is a clock set back.
    least_lead: i64,
}

impl Bounds {
    /// Holds at every instant.
    pub(crate) const ALWAYS: Self = Self {
        monotonic_end: i64::MAX,
        wall_end: i64::MAX,
        wall_start: i64::MIN,
        least_lead: i64::MIN,
    };

    /// Holds at no instant.
    pub(crate) const NEVER: Self = Self {
        monotonic_end: i64::MIN,
        wall_end: i64::MIN,
        wall_start: i64::MAX,
        least_lead: i64::MAX,
    };

    /// Holds while what began at `began` is younger than `max_age` for certain.
    pub(crate) fn of(began: Stamp, max_age: Duration) -> Self {
        // guarantee 4: steps 2 and 3 as four constants.
        let end = nanos(max_age);
        Self {
            monotonic_end: began.monotonic.saturating_add(end),
            wall_end: began.wall.saturating_add(end),
            wall_start: began.wall,
            least_lead: began.wall.saturating_sub(began.monotonic).saturating_sub(slack(max_age)),
        }
    }

    /// Holds where both hold.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            monotonic_end: self.monotonic_end.min(other.monotonic_end),
            wall_end: self.wall_end.min(other.wall_end),
            wall_start: self.wall_start.max(other.wall_start),
            least_lead: self.least_lead.max(other.least_lead),
        }
    }

    /// Whether this holds at `now`.
    #[inline(always)]
    pub(crate) fn admits(&self, now: Stamp) -> bool {
        now.monotonic < self.monotonic_end
            && now.wall < self.wall_end
            && now.wall >= self.wall_start
            && now.wall - now.monotonic >= self.least_lead
    }

    /// How long after `now` the monotonic clock reaches the end, at the latest.
    pub(crate) fn remaining(&self, now: Stamp) -> Duration {
        duration(self.monotonic_end.saturating_sub(now.monotonic))
    }
}

/// Whether values are refreshed ahead of need, in an environment that freezes between invocations.
///
/// There, a value can be refreshed only while an invocation runs. Refreshed beside this handler, it may
/// spare the next one a wait; but if the next one comes soon, or much later, it is a call for nothing. So
/// it depends on the traffic, and on what a wait is worth.
///
/// Set for all entries and memos of a cache with [`Builder::ahead`](crate::Builder::ahead), for one entry
/// with [`Entry::ahead`](crate::sources::Entry::ahead), for one memo with
/// [`MemoBuilder::ahead`](crate::MemoBuilder::ahead). The last two win over the first.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::{Ahead, Builder, from_fn};
///
/// # async fn fetch() -> Result<u32, std::io::Error> { Ok(7) }
/// let mut builder = Builder::new().ahead(Ahead::Never); // each call is billed, and some latency is fine
/// let prices = builder.add(from_fn("prices", fetch));
/// let limits = builder.add(from_fn("limits", fetch).ahead(Ahead::Always)); // but these must not wait
/// let cache = builder.spawn().await?;
/// assert_eq!(cache.status().entry("limits").unwrap().ahead, Ahead::Always);
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ahead {
    /// Rather wait than call: nothing is refreshed before it has expired, and the invocation that finds
    /// it expired waits.
    Never,
    /// Where the traffic so far makes it likely enough that it spares a wait. One wait is worth six
    /// calls.
    #[default]
    Expected,
    /// Rather call than wait: wherever a gap like one of the last few dozen would make it expire. In
    /// irregular traffic that may be a call for each invocation.
    Always,
}

impl Ahead {
    /// How many calls one wait is worth.
    pub(crate) fn calls_for_a_wait(self) -> u64 {
        match self {
            Self::Never => 0,
            Self::Expected => 6,
            Self::Always => u64::MAX,
        }
    }
}

/// What drives refreshes in the background, and so when a value is due that its user has given no soft
/// bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Timers, at three quarters of the max age.
    Timers,
    /// Invocations, which look [ahead](crate::engine) for themselves. Whatever they expect, a value is
    /// due when it has as much of its life left as a second attempt may need.
    Invocations,
    /// Reads of a key: at three quarters of the max age, or if that is earlier, so long before its end.
    Reads(Duration),
}

/// How old the values of an entry may be, and when they are refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The hard bound: an older value is not served. `None`: it never expires.
    pub(crate) max_age: Option<Duration>,
    /// The soft bound: an older value is served, but due for refresh. `None`: as `ahead` says.
    pub(crate) refresh_after: Option<Duration>,
    /// Whether values are refreshed ahead of need. `None`: as the cache's builder says.
    pub(crate) ahead: Option<Ahead>,
    /// How much longer than `max_age` a value may be served while refreshes fail.
    pub(crate) stale_if_error: Duration,
    /// How long a read waits for an attempt while refreshes fail. `None`: what follows from how long
    /// its source usually takes.
    pub(crate) wait_if_failing: Option<Duration>,
}

impl Policy {
    /// The bound within which a value that was asked for at `began` is fresh.
    pub(crate) fn fresh(&self, began: Stamp) -> Bounds {
        self.max_age.map_or(Bounds::ALWAYS, |age| Bounds::of(began, age))
    }

    /// The bound within which such a value may be served while refreshes fail.
    pub(crate) fn stale(&self, began: Stamp) -> Bounds {
        match self.max_age {
            Some(age) => Bounds::of(began, age.saturating_add(self.stale_if_error)),
            None => Bounds::ALWAYS,
        }
    }

    /// The bound within which such a value is not yet due for a refresh in the background.
    ///
    /// `jitter` in 0..1 brings the refresh forward by up to a tenth, so that environments which
    /// started together do not refresh together. A `lifetime` brings it forward to its end and no
    /// further: what comes before may be the same value. Two refreshes keep `distance` from each
    /// other, or a very short age would be a hot loop; and an age of zero is never due, because every
    /// read fetches.
    pub(crate) fn due(
        &self,
        began: Stamp,
        lifetime: Option<Duration>,
        Rhythm { pace, jitter, distance }: Rhythm,
    ) -> Bounds {
        if self.max_age == Some(Duration::ZERO) {
            return Bounds::ALWAYS;
        }
        let soft = match (self.soft_age(pace, distance), self.max_age) {
            // Refreshed when it expires, and not ahead of it.
            (Some(soft), Some(hard)) if soft >= hard => Some(hard),
            (Some(soft), _) => Some(soft.min(LONGEST_SOFT_AGE).mul_f64(1.0 - 0.1 * jitter)),
            (None, _) => None,
        };
        match soft.into_iter().chain(lifetime).min() {
            Some(age) => Bounds::of(began, age.max(distance)),
            None => Bounds::ALWAYS,
        }
    }

    /// The age at which a value is due for refresh whatever the traffic, if ever.
    pub(crate) fn soft_age(&self, pace: Pace, distance: Duration) -> Option<Duration> {
        let of = |age: Duration| match pace {
            _ if self.ahead == Some(Ahead::Never) => age,
            Pace::Timers => age / 4 * 3,
            Pace::Invocations => {
                let second_attempt = distance.saturating_mul(2).clamp(age / 16, age / 4);
                age - second_attempt
            }
            Pace::Reads(horizon) => age.saturating_sub(horizon.max(age / 4)),
        };
        self.refresh_after.or(self.max_age.map(of))
    }

    /// The max age and what to do for its sake, if the traffic decides when a value is refreshed.
    pub(crate) fn looks_ahead(&self) -> Option<(Duration, Ahead)> {
        let ahead = self.ahead.unwrap_or_default();
        let max_age = self.max_age.filter(|age| !age.is_zero() && self.refresh_after.is_none())?;
        (ahead != Ahead::Never).then_some((max_age, ahead))
    }
}

/// How refreshes in the background follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    pub(crate) pace: Pace,
    /// In 0..1: what the last fetch drew.
    pub(crate) jitter: f64,
    /// The least that lies between two refreshes.
    pub(crate) distance: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(60)),
            refresh_after: None,
            ahead: None,
            stale_if_error: Duration::ZERO,
            wait_if_failing: None,
        }
    }
}

/// How long a source usually takes: the longest of its recent answers, fading by an eighth with each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency(Option<Duration>);

impl Latency {
    /// An answer took so long.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0 = Some(took.max(self.0.unwrap_or_default() / 8 * 7));
    }

    /// The least that lies between the starts of two refreshes in the background: when one has ended,
    /// there is a pause that is as long again.
    pub(crate) fn distance(self) -> Duration {
        let usual = self.0.unwrap_or_default();
        usual.saturating_add(usual.max(LEAST_PAUSE))
    }

    /// How long a read waits for an attempt while its entry fails: long enough for a source that is
    /// well again, short enough to be borne in each invocation of an outage.
    pub(crate) fn wait_if_failing(self) -> Duration {
        let usual = self.0.map_or(LONGEST_WAIT, |usual| usual.saturating_mul(3));
        usual.clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

const LEAST_PAUSE: Duration = Duration::from_millis(100);
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How long ago a fetch with this timeout must have begun for a freeze to have held it up.
pub(crate) fn frozen_after(timeout: Duration) -> Duration {
    timeout.saturating_add(Duration::from_secs(1))
}

/// Longer than any environment lives.
const LONGEST_SOFT_AGE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);
/// The longest pause between two attempts.
pub(crate) const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// How long to wait after so many failures in a row: exponential with full jitter (`jitter` in
/// 0..1), at most half a minute.
pub(crate) fn back_off(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_BACK_OFF * 2u32.pow(doublings)).min(LONGEST_BACK_OFF).mul_f64(jitter)
}

/// At init many environments may have started at once and be throttled together, so the first pause
/// after that is longer: for 1,000 environments in 10 s at 40 requests a second, 1.6 s takes a quarter fewer
/// calls than 0.4 s, and as many of them start (`tests/storm`).
const FIRST_BACK_OFF_OF_INIT_THROTTLED: Duration = Duration::from_millis(1600);
/// The longest pause between two attempts of init.
const LONGEST_BACK_OFF_OF_INIT: Duration = Duration::from_millis(6400);
/// How long before the end of init its last attempt begins at the latest, so that it can be answered.
const LAST_ATTEMPT: Duration = Duration::from_millis(250);

/// How long init waits before it tries again: exponential with full jitter (`jitter` in 0..1). A pause
/// that would last past the end of init, which is `left` away, is cut, so that there is a last attempt: at
/// random in the second half of what is left, or environments that started together would make it together.
/// `None` if no attempt would be answered in time, or the one before was as good as a last one.
pub(crate) fn init_back_off(
    failures: u32,
    is_throttled: bool,
    jitter: f64,
    left: Duration,
) -> Option<Duration> {
    let first = if is_throttled { FIRST_BACK_OFF_OF_INIT_THROTTLED } else { FIRST_BACK_OFF };
    let doublings = failures.saturating_sub(1).min(16);
    let longest = (first * 2u32.pow(doublings)).min(LONGEST_BACK_OFF_OF_INIT);
    let room = left.checked_sub(LAST_ATTEMPT).filter(|room| !room.is_zero())?;
    if failures > 1 && room < first / 4 {
        return None;
    }
    let pause = longest.mul_f64(jitter);
    if pause < room {
        return Some(pause);
    }
    // How far it overshoots is as random as the jitter, and spread over 0..1 again.
    let beyond = (pause - room).div_duration_f64(longest.saturating_sub(room));
    Some(room.mul_f64(1.0 - beyond / 2.0))
}

/// How long after a failure or a cancellation the next invocation may try again. Without this a busy
/// function would be held after each invocation for as long as its source is away.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after so many cancellations in a row with what nobody waits for: what takes
/// longer than the hold limit would otherwise be held for in each invocation.
pub(crate) fn pause(cancelled: u32) -> Duration {
    (RETRY_PAUSE * 2u32.pow(cancelled.clamp(1, 6) - 1)).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;
    const BEGAN: Stamp = Stamp { monotonic: 7 * SECOND, wall: 1_000_000 * SECOND };

    fn after(monotonic: i64, wall: i64) -> Stamp {
        Stamp { monotonic: BEGAN.monotonic + monotonic * SECOND, wall: BEGAN.wall + wall * SECOND }
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const DISTANCE: Duration = Duration::from_millis(100);

    fn rhythm(jitter: f64) -> Rhythm {
        Rhythm { pace: Pace::Timers, jitter, distance: DISTANCE }
    }

    #[test]
    fn age_is_the_larger_of_the_two_clocks() {
        assert_eq!(age(BEGAN, after(5, 5), MINUTE), Some(Duration::from_secs(5)));
        assert_eq!(age(BEGAN, after(5, 605), MINUTE), Some(Duration::from_secs(605)));
    }

    #[test]
    fn a_wall_clock_set_back_proves_nothing() {
        assert_eq!(age(BEGAN, after(5, -3600), MINUTE), None);
        assert_eq!(age(BEGAN, after(3610, 10), MINUTE), None);
        assert!(!Bounds::of(BEGAN, MINUTE).admits(after(5, -3600)));
    }

    #[test]
    fn a_value_is_fresh_before_its_max_age_and_not_at_it() {
        let bounds = Bounds::of(BEGAN, MINUTE);
        let end = BEGAN.later_by(MINUTE);
        assert!(bounds.admits(end.earlier_by(Duration::from_nanos(1))));
        assert!(!bounds.admits(end));
    }

    #[test]
    fn a_wall_clock_a_little_behind_does_not_stretch_the_age() {
        let (began, behind) = (BEGAN, Duration::from_millis(20));
        let now = began.later_by(MINUTE);
        let now = Stamp { wall: now.earlier_by(behind).wall, ..now };
        assert_eq!(age(began, now, MINUTE), Some(MINUTE));
        assert!(!Bounds::of(began, MINUTE).admits(now));
    }

    #[test]
    fn a_wall_clock_is_believed_as_long_as_slewing_explains_how_far_it_is_behind() {
        let now = after(30, 30);
        let behind = |nanoseconds| Stamp { wall: now.wall - slack(MINUTE) - nanoseconds, ..now };
        assert_eq!(age(BEGAN, behind(0), MINUTE), Some(MINUTE / 2));
        assert!(Bounds::of(BEGAN, MINUTE).admits(behind(0)));
        assert_eq!(age(BEGAN, behind(1), MINUTE), None);
        assert!(!Bounds::of(BEGAN, MINUTE).admits(behind(1)));
    }

    #[test]
    fn a_wall_clock_before_the_requests_start_proves_nothing_however_little_it_is() {
        let now = Stamp { wall: BEGAN.wall - 1, ..BEGAN };
        assert_eq!(age(BEGAN, now, MINUTE), None);
        assert!(!Bounds::of(BEGAN, MINUTE).admits(now));
    }

    #[test]
    fn a_short_freeze_expires_nothing_and_a_long_one_does() {
        let bounds = Bounds::of(BEGAN, MINUTE);
        assert!(bounds.admits(after(1, 31)));
        assert!(!bounds.admits(after(1, 61)));
    }

    #[test]
    fn an_age_of_zero_is_never_fresh_and_never_due() {
        let policy = Policy { max_age: Some(Duration::ZERO), ..Policy::default() };
        assert!(!policy.fresh(BEGAN).admits(BEGAN));
        assert_eq!(policy.due(BEGAN, None, rhythm(0.5)), Bounds::ALWAYS);
        assert_eq!(policy.due(BEGAN, Some(MINUTE), rhythm(0.5)), Bounds::ALWAYS);
    }

    #[test]
    fn a_refresh_is_due_at_three_quarters_of_max_age_or_up_to_a_tenth_before() {
        let policy = Policy::default();
        assert!(policy.due(BEGAN, None, rhythm(0.0)).admits(after(44, 44)));
        assert!(!policy.due(BEGAN, None, rhythm(0.0)).admits(after(45, 45)));
        assert!(policy.due(BEGAN, None, rhythm(1.0)).admits(after(40, 40)));
        assert!(!policy.due(BEGAN, None, rhythm(1.0)).admits(after(41, 41)));
    }

    #[test]
    fn whatever_invocations_expect_a_value_is_due_while_there_is_time_for_a_second_attempt() {
        let seconds = Duration::from_secs;
        let soft = |distance| Policy::default().soft_age(Pace::Invocations, distance);
        assert_eq!(soft(DISTANCE), Some(MINUTE * 15 / 16));
        assert_eq!(soft(seconds(5)), Some(seconds(50)));
        assert_eq!(soft(Duration::MAX), Some(seconds(45)));
        for age in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let policy = Policy { max_age: Some(age), ..Policy::default() };
            assert!(policy.soft_age(Pace::Invocations, DISTANCE) <= Some(age));
        }
    }

    #[test]
    fn a_key_is_due_at_three_quarters_or_where_it_would_not_last_until_the_next_invocation() {
        let soft = |horizon| Policy::default().soft_age(Pace::Reads(horizon), DISTANCE);
        assert_eq!(soft(Duration::ZERO), Some(MINUTE / 4 * 3));
        assert_eq!(soft(MINUTE / 2), Some(MINUTE / 2));
        assert_eq!(soft(Duration::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn who_would_rather_wait_refreshes_nothing_before_it_expires() {
        let policy = Policy { ahead: Some(Ahead::Never), ..Policy::default() };
        for pace in [Pace::Timers, Pace::Invocations, Pace::Reads(MINUTE / 2)] {
            assert_eq!(policy.soft_age(pace, DISTANCE), Some(MINUTE), "{pace:?}");
        }
        assert_eq!(policy.looks_ahead(), None);
    }

    #[test]
    fn the_longest_durations_there_are_overflow_nothing() {
        let policy = Policy {
            max_age: Some(Duration::MAX),
            refresh_after: Some(Duration::MAX),
            ahead: None,
            stale_if_error: Duration::MAX,
            wait_if_failing: Some(Duration::MAX),
        };
        let long_ago = BEGAN.earlier_by(Duration::MAX);
        for began in [BEGAN, long_ago, Stamp { monotonic: 0, wall: 0 }] {
            assert!(policy.due(began, None, rhythm(0.0)).and(policy.stale(began)).admits(began));
            assert!(
                Policy { refresh_after: None, ..policy }
                    .due(began, None, rhythm(0.0))
                    .admits(began)
            );
        }
    }

    #[test]
    fn a_soft_bound_at_the_max_age_refreshes_nothing_ahead() {
        let policy = Policy { refresh_after: Some(MINUTE), ..Policy::default() };
        let end = BEGAN.later_by(MINUTE);
        assert!(
            policy.due(BEGAN, None, rhythm(0.9)).admits(end.earlier_by(Duration::from_nanos(1)))
        );
        assert!(!policy.due(BEGAN, None, rhythm(0.9)).admits(end));
    }

    #[test]
    fn refreshes_in_the_background_keep_their_distance_however_short_max_age_and_lifetime_are() {
        let short = Duration::from_millis(1);
        let policy = Policy { max_age: Some(short), ..Policy::default() };
        for (policy, lifetime) in [(policy, None), (Policy::default(), Some(short))] {
            let due = policy.due(BEGAN, lifetime, rhythm(0.9));
            assert!(due.admits(BEGAN.later_by(DISTANCE - short)));
            assert!(!due.admits(BEGAN.later_by(DISTANCE)));
        }
    }

    #[test]
    fn a_source_usually_takes_as_long_as_the_longest_of_its_recent_answers() {
        let milliseconds = Duration::from_millis;
        let mut latency = Latency::default();
        assert_eq!(latency.distance(), milliseconds(100));
        assert_eq!(latency.wait_if_failing(), milliseconds(1000));
        latency.record(milliseconds(5));
        assert_eq!(latency.wait_if_failing(), milliseconds(50));
        latency.record(milliseconds(160));
        latency.record(milliseconds(5));
        assert_eq!(latency.wait_if_failing(), milliseconds(420));
        assert_eq!(latency.distance(), milliseconds(280));
        latency.record(milliseconds(5000));
        assert_eq!(latency.wait_if_failing(), milliseconds(1000));
    }

    #[test]
    fn init_waits_longer_after_it_was_throttled_and_never_past_its_end() {
        let left = Duration::from_secs(60);
        let pause = |failures, is_throttled| init_back_off(failures, is_throttled, 0.999, left);
        let within = |pause: Option<Duration>, limit: f64| {
            let pause = pause.expect("time is left").as_secs_f64();
            assert!(pause < limit && pause > 0.99 * limit, "{pause} of {limit}");
        };
        within(pause(1, false), 0.2);
        within(pause(1, true), 1.6);
        within(pause(2, true), 3.2);
        within(pause(40, true), 6.4);
        assert_eq!(init_back_off(1, true, 0.0, left), Some(Duration::ZERO));
        let left = Duration::from_secs(1);
        for jitter in [0.5, 0.7, 0.9] {
            let pause = init_back_off(3, true, jitter, left).expect("room for a last attempt");
            assert!(pause <= Duration::from_millis(750) && pause >= Duration::from_millis(375));
        }
        assert_eq!(init_back_off(1, false, 0.5, Duration::from_millis(250)), None);
        // One attempt is better than none, and one last attempt is enough.
        let left = Duration::from_millis(600);
        assert!(init_back_off(1, true, 0.5, left).is_some());
        assert_eq!(init_back_off(2, true, 0.5, left), None);
    }

    #[test]
    fn back_off_doubles_up_to_half_a_minute() {
        assert_eq!(back_off(1, 1.0), Duration::from_millis(200));
        assert_eq!(back_off(3, 1.0), Duration::from_millis(800));
        assert_eq!(back_off(u32::MAX, 1.0), LONGEST_BACK_OFF);
        assert_eq!(back_off(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn pauses_double_from_a_second_up_to_half_a_minute() {
        let seconds = [1, 2, 3, 5, 6, u32::MAX].map(|cancelled| pause(cancelled).as_secs());
        assert_eq!(seconds, [1, 2, 4, 16, 30, 30]);
    }

    fn stamps() -> impl Strategy<Value = Stamp> {
        (0..200 * SECOND, 999_900 * SECOND..1_000_200 * SECOND)
            .prop_map(|(monotonic, wall)| Stamp { monotonic, wall })
    }

    proptest! {
        #[test]
        fn bounds_are_age_turned_round(began in stamps(), now in stamps(), max_age in 1u64..120) {
            let max_age = Duration::from_secs(max_age);
            // The monotonic clock never goes back.
            let (began, now) =
                if now.monotonic < began.monotonic { (now, began) } else { (began, now) };
            let young = age(began, now, max_age).is_some_and(|age| age < max_age);
            prop_assert_eq!(Bounds::of(began, max_age).admits(now), young);
        }

        #[test]
        fn joint_bounds_hold_exactly_where_both_do(
            a in stamps(), b in stamps(), now in stamps(), x in 1u64..120, y in 1u64..120
        ) {
            let (a, b) = (
                Bounds::of(a, Duration::from_secs(x)),
                Bounds::of(b, Duration::from_secs(y)),
            );
            prop_assert_eq!(a.and(b).admits(now), a.admits(now) && b.admits(now));
        }
    }
}
