//! When invocations come: the gaps between the last few dozen.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use super::ahead;
use crate::clock::{self, Stamp};
use crate::freshness::{self, Ahead};

/// How many gaps are remembered. More would show rare gaps better, and a change of traffic later.
const REMEMBERED: usize = 48;
/// So many gaps in a row on one side of the median come by chance once in 128 times: rather, this is
/// other traffic, and what came before says nothing of it.
const OTHER_TRAFFIC: i8 = 8;
/// With fewer gaps than this, too little is known of the traffic.
const FEW: usize = 8;

/// The last gaps between invocations, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    last: Option<Stamp>,
    /// Oldest first.
    gaps: VecDeque<u32>,
    /// The same, shortest first.
    sorted: Vec<u32>,
    /// How many of the last gaps in a row were longer than the median or, below zero, shorter.
    run: i8,
}

impl Arrivals {
    /// An invocation comes.
    pub(super) fn arrived(&mut self, now: Stamp) {
        if let Some(last) = self.last.replace(now)
            && let Some(gap) = gap(last, now)
        {
            self.notice_other_traffic(gap);
            if self.gaps.len() == REMEMBERED {
                self.forget_oldest();
            }
            self.gaps.push_back(gap);
            let (Ok(place) | Err(place)) = self.sorted.binary_search(&gap);
            self.sorted.insert(place, gap);
        }
    }

    /// The environment was restored from a snapshot: the gap before says nothing about traffic.
    pub(super) fn interrupted(&mut self) {
        self.last = None;
    }

    /// How long before its end a value is worth a refresh, by what is known of the traffic.
    pub(super) fn horizon(&self, max_age: Duration, ahead: Ahead) -> Duration {
        ahead::horizon(&self.sorted, max_age, ahead)
    }

    /// Whether too little is known of the traffic to expect anything.
    pub(super) fn are_few(&self) -> bool {
        self.sorted.len() < FEW
    }

    fn notice_other_traffic(&mut self, gap: u32) {
        let Some(median) = self.sorted.get(self.sorted.len() / 2) else { return };
        self.run = match gap.cmp(median) {
            Ordering::Less => self.run.min(0) - 1,
            Ordering::Equal => 0,
            Ordering::Greater => self.run.max(0) + 1,
        };
        if self.run.abs() == OTHER_TRAFFIC {
            self.run = 0;
            // This gap is the last of the new ones.
            while self.gaps.len() >= OTHER_TRAFFIC as usize {
                self.forget_oldest();
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.gaps.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
    }
}

/// The time between two invocations, in whole milliseconds, rounded up; `None` if the clocks cannot tell.
fn gap(last: Stamp, now: Stamp) -> Option<u32> {
    let ran = clock::duration(now.monotonic.saturating_sub(last.monotonic));
    let gap = freshness::age(last, now, ran)?;
    Some(u32::try_from(gap.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const BEGAN: Stamp = Stamp { monotonic: 0, wall: 1_000_000_000_000_000 };

    /// Invocations with these gaps, in seconds, each after a freeze.
    fn after(arrivals: &mut Arrivals, gaps: impl IntoIterator<Item = f64>) {
        let mut now = arrivals.last.unwrap_or(BEGAN);
        arrivals.last = Some(now);
        for gap in gaps {
            now.wall = now.later_by(Duration::from_secs_f64(gap)).wall;
            arrivals.arrived(now);
        }
    }

    fn horizon(arrivals: &Arrivals) -> f64 {
        arrivals.horizon(MINUTE, Ahead::Expected).as_secs_f64()
    }

    #[test]
    fn one_gap_tells_a_period() {
        let mut arrivals = Arrivals::default();
        after(&mut arrivals, [20.0]);
        assert!((20.0..20.2).contains(&horizon(&arrivals)));
        assert!(arrivals.are_few());
    }

    #[test]
    fn eight_gaps_are_enough_to_expect_something() {
        let mut arrivals = Arrivals::default();
        after(&mut arrivals, [20.0; FEW - 1]);
        assert!(arrivals.are_few());
        after(&mut arrivals, [20.0]);
        assert!(!arrivals.are_few());
    }

    #[test]
    fn a_gap_that_the_clocks_cannot_tell_is_no_gap() {
        let mut arrivals = Arrivals::default();
        arrivals.arrived(BEGAN);
        arrivals.arrived(Stamp { wall: BEGAN.wall - 1_000_000, ..BEGAN });
        assert!(arrivals.sorted.is_empty());
    }

    #[test]
    fn the_gap_over_a_snapshot_is_no_gap() {
        let mut arrivals = Arrivals::default();
        after(&mut arrivals, [1.0]);
        arrivals.interrupted();
        arrivals.arrived(BEGAN.later_by(MINUTE * 60));
        assert_eq!(arrivals.sorted, [1000]);
    }

    #[test]
    fn the_oldest_gaps_are_forgotten() {
        let mut arrivals = Arrivals::default();
        after(&mut arrivals, (0..1000).map(|n| f64::from(n * 37 % 50)));
        assert_eq!((arrivals.gaps.len(), arrivals.sorted.len()), (REMEMBERED, REMEMBERED));
        let mut sorted: Vec<u32> = arrivals.gaps.iter().copied().collect();
        sorted.sort_unstable();
        assert_eq!(arrivals.sorted, sorted);
    }

    #[test]
    fn other_traffic_is_noticed_within_eight_gaps() {
        for (before, now) in [(1.0, 30.0), (30.0, 1.0), (45.0, 25.0)] {
            let mut arrivals = Arrivals::default();
            after(&mut arrivals, [before; 100]);
            after(&mut arrivals, [now; 8]);
            assert_eq!(arrivals.sorted, [(now * 1000.0) as u32; 8], "{before} to {now}");
        }
    }

    #[test]
    fn a_pause_between_bursts_is_no_other_traffic() {
        let mut arrivals = Arrivals::default();
        for _ in 0..10 {
            after(&mut arrivals, [0.5; 20].into_iter().chain([40.0]));
        }
        assert_eq!(arrivals.sorted.len(), REMEMBERED);
    }

    #[test]
    fn what_is_remembered_takes_a_few_hundred_bytes() {
        let mut arrivals = Arrivals::default();
        after(&mut arrivals, [1.0; 1000]);
        let gaps = arrivals.gaps.capacity() + arrivals.sorted.capacity();
        assert!(size_of::<Arrivals>() + gaps * size_of::<u32>() <= 640);
    }
}
