//! When something changed at its source.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// The versions of one thing, the first of which is 1, and when each came to be.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<SystemTime>>);

impl History {
    /// The version that it has now.
    pub fn newest(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// The next version has come to be.
    pub fn record(&self, instant: SystemTime) {
        self.0.lock().expect("no panic").push(instant);
    }

    /// How long before `instant` a version was no longer the newest, if it was not.
    pub fn outdated_for(&self, version: usize, instant: SystemTime) -> Duration {
        match self.0.lock().expect("no panic").get(version) {
            Some(successor) => instant.duration_since(*successor).unwrap_or_default(),
            None => Duration::ZERO,
        }
    }
}
