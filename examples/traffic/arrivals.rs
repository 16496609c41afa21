//! When invocations come: the kinds of traffic that a function may have.

use std::f64::consts::TAU;
use std::time::Duration;

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Traffic {
    /// One invocation each so many seconds.
    Every(f64),
    /// The same, each gap up to a tenth shorter or longer.
    About(f64),
    /// Independent callers: exponential gaps of this mean, in seconds.
    Poisson(f64),
    /// 5 to 50 invocations, two a second, and then a pause of this mean, in seconds.
    Bursts(f64),
    /// Independent callers, one each 5 seconds by day and one each 90 seconds by night.
    Diurnal,
}

impl Traffic {
    pub fn name(self) -> String {
        match self {
            Self::Every(period) => format!("every {period} s"),
            Self::About(period) => format!("every {period} s ± 10 %"),
            Self::Poisson(mean) => format!("Poisson, mean {mean} s"),
            Self::Bursts(pause) => format!("bursts, pauses of mean {pause} s"),
            Self::Diurnal => "by day and by night".to_owned(),
        }
    }

    /// The gaps between so many invocations; the same seed gives the same gaps.
    pub fn gaps(self, invocations: usize, seed: u64) -> Vec<Duration> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut left_in_burst = 0_u32;
        let mut time = 0.0;
        let gap = |_| {
            let gap = match self {
                Self::Every(period) => period,
                Self::About(period) => period * (0.9 + 0.2 * random.f64()),
                Self::Poisson(mean) => exponential(&mut random, mean),
                Self::Bursts(pause) => {
                    if left_in_burst == 0 {
                        left_in_burst = random.u32(5..=50);
                    }
                    left_in_burst -= 1;
                    if left_in_burst == 0 { exponential(&mut random, pause) } else { 0.5 }
                }
                Self::Diurnal => {
                    let night = 0.5 + 0.5 * (TAU * time / 86_400.0).cos();
                    exponential(&mut random, 5.0 + 85.0 * night)
                }
            };
            time += gap;
            Duration::from_secs_f64(gap)
        };
        (1..invocations).map(gap).collect()
    }
}

fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -mean * (1.0 - random.f64()).ln()
}
