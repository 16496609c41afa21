//! The optimum: what could be done by somebody who knew when every invocation comes.

use std::time::Duration;

use crate::play::Cost;

/// The fewest waits there must be, and the fewest calls with no more waits than that.
///
/// A fetch begins with an invocation: beside its handler, which then does not wait, or because its
/// handler waits. Its value serves the invocations that begin less than `max_age` later. The value of
/// init begins at zero, as `begins` count.
///
/// An invocation must wait if `max_age` or more has passed since the one before: no value is as young as
/// that. No other must, since a fetch beside the one before serves it. So these are the fewest waits.
/// Each wait is a call. For the calls in between, let a value have begun with invocation *i*, and let *k*
/// be the first that it does not serve. If *k* need not wait, something between *i* and *k* must fetch;
/// to fetch with *k − 1*, as late as possible, is best, because whatever an earlier fetch serves later
/// on, this one serves too. That is repeated from *k − 1* on.
pub fn clairvoyant(begins: &[Duration], max_age: Duration) -> Cost {
    let mut cost = Cost { invocations: begins.len(), waits: 0, calls: 0 };
    let mut fetched = Duration::ZERO;
    for (number, &begin) in begins.iter().enumerate() {
        if begin - fetched >= max_age {
            cost.waits += 1;
            cost.calls += 1;
            fetched = begin;
        }
        let must_fetch = |&next: &Duration| next - fetched >= max_age && next - begin < max_age;
        if begins.get(number + 1).is_some_and(must_fetch) {
            cost.calls += 1;
            fetched = begin;
        }
    }
    cost
}
