//! What is due, and when: bounds of many things, joined so that one comparison judges them all.
//!
//! A timer could not do this alone. Over a freeze no timer runs, so at each INVOKE every due time
//! has to be compared with both clocks. The tree makes that one comparison when nothing is due,
//! however many entries there are, and its root also says when to wake up.

use std::time::Duration;

use crate::clock::Stamp;
use crate::freshness::Bounds;

/// A tournament tree over [`Bounds`]: each node holds where both its children do.
#[derive(Debug)]
pub(crate) struct BoundsTree {
    /// A heap: node 1 is the root, the children of `n` are `2n` and `2n + 1`, the second half are
    /// the leaves.
    nodes: Vec<Bounds>,
    leaves: usize,
}

impl BoundsTree {
    pub(crate) fn new(bounds: impl ExactSizeIterator<Item = Bounds>) -> Self {
        let leaves = bounds.len().next_power_of_two();
        let mut nodes = vec![Bounds::ALWAYS; leaves];
        nodes.extend(bounds);
        nodes.resize(2 * leaves, Bounds::ALWAYS);
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].and(nodes[2 * node + 1]);
        }
        Self { nodes, leaves }
    }

    /// The bound within which all hold.
    pub(crate) fn all(&self) -> Bounds {
        self.nodes[1]
    }

    pub(crate) fn set(&mut self, index: usize, bounds: Bounds) {
        let mut node = self.leaves + index;
        self.nodes[node] = bounds;
        while let parent @ 1.. = node / 2 {
            node = parent;
            let joint = self.nodes[2 * node].and(self.nodes[2 * node + 1]);
            if self.nodes[node] == joint {
                break;
            }
            self.nodes[node] = joint;
        }
    }

    /// Those whose bound does not hold at `now`, in order.
    pub(crate) fn broken(&self, now: Stamp) -> Vec<usize> {
        let mut broken = Vec::new();
        let mut open = vec![1];
        while let Some(node) = open.pop() {
            if self.nodes[node].admits(now) {
                continue;
            }
            if node >= self.leaves {
                broken.push(node - self.leaves);
            } else {
                open.extend([2 * node + 1, 2 * node]);
            }
        }
        broken
    }

    /// How long the bound of one still holds at the most.
    pub(crate) fn remaining(&self, index: usize, now: Stamp) -> Duration {
        self.nodes[self.leaves + index].remaining(now)
    }

    /// How long after `now` a timer should look again, if ever.
    pub(crate) fn next(&self, now: Stamp) -> Option<Duration> {
        (self.all() != Bounds::ALWAYS).then(|| self.all().remaining(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(seconds: u64) -> Stamp {
        Stamp { monotonic: 0, wall: 0 }.later_by(Duration::from_secs(seconds))
    }

    fn bounds(seconds: u64) -> Bounds {
        Bounds::of(stamp(0), Duration::from_secs(seconds))
    }

    #[test]
    fn an_empty_tree_holds_and_never_wakes() {
        let tree = BoundsTree::new([].into_iter());
        assert!(tree.all().admits(stamp(1)));
        assert_eq!(tree.next(stamp(1)), None);
        assert!(tree.broken(stamp(1)).is_empty());
    }

    #[test]
    fn it_wakes_at_the_first_end() {
        let tree = BoundsTree::new([bounds(30), bounds(20), Bounds::ALWAYS].into_iter());
        assert_eq!(tree.next(stamp(5)), Some(Duration::from_secs(15)));
        assert_eq!(tree.next(stamp(25)), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn the_broken_are_those_that_do_not_hold(
            first in proptest::collection::vec(0u64..100, 0..70),
            changes in proptest::collection::vec((0usize..70, 0u64..100), 0..70),
            now in 0u64..100,
        ) {
            let mut ends = first;
            let mut tree = BoundsTree::new(ends.clone().into_iter().map(bounds));
            for (index, end) in changes {
                if index < ends.len() {
                    ends[index] = end;
                    tree.set(index, bounds(end));
                }
            }
            let expected: Vec<usize> = (0..ends.len()).filter(|&i| ends[i] <= now).collect();
            prop_assert_eq!(tree.all().admits(stamp(now)), expected.is_empty());
            prop_assert_eq!(tree.broken(stamp(now)), expected);
        }
    }
}
