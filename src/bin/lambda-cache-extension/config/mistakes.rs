//! [`Mistakes`]: what is wrong with a file, and where.

use std::collections::BTreeSet;

use super::Place;
use crate::messages::Problem;

/// What is wrong with one file, each mistake once: what is wrong with an anchor's node is found
/// wherever there is an alias of it.
#[derive(Default)]
pub(super) struct Mistakes(BTreeSet<(Place, String)>);

impl Mistakes {
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.0.insert((place, message.into()));
    }

    /// In the order in which they stand in the file at `path`.
    pub(super) fn in_order(self, path: &str) -> impl Iterator<Item = Problem> {
        self.0.into_iter().map(move |(place, message)| place.problem(path, message))
    }
}
