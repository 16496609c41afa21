//! How an example checks what it claims.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::Error;

/// What an example claims, printed line by line with whether it is true.
pub struct Checks {
    failed: usize,
}

impl Checks {
    pub fn begin() -> Self {
        println!();
        Self { failed: 0 }
    }

    pub fn check(&mut self, claim: impl Display, is_true: bool) {
        self.failed += usize::from(!is_true);
        println!("{} {claim}", if is_true { "ok:    " } else { "FAILED:" });
    }

    pub fn finish(self) -> Result<(), Error> {
        match self.failed {
            0 => Ok(()),
            failed => Err(format!("{failed} claims are not true").into()),
        }
    }
}

/// When each version of a value appeared at its source. Versions count from 1.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<SystemTime>>);

impl History {
    /// The newest version; 0 if there is none yet.
    pub fn newest(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// Adds the next version.
    pub fn record(&self, instant: SystemTime) {
        self.0.lock().expect("no panic").push(instant);
    }

    /// How long a version had been replaced at `instant`; zero if it was the newest.
    pub fn outdated_for(&self, version: usize, instant: SystemTime) -> Duration {
        match self.0.lock().expect("no panic").get(version) {
            Some(successor) => instant.duration_since(*successor).unwrap_or_default(),
            None => Duration::ZERO,
        }
    }
}
