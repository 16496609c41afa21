//! Which requests share calls.

use super::{Decryption, Kind, Request};

/// How many names a GetParameters call takes.
pub(super) const LIMIT: usize = 10;

/// Splits requests into batches: each path one of its own, and names packed so that together they
/// need no more calls than their number does. A group of more than ten names is a batch of several
/// calls, whose last one others may fill up.
pub(super) fn batches(due: Vec<Request>) -> Vec<Vec<Request>> {
    let mut batches: Vec<Vec<Request>> = Vec::new();
    let mut names: Vec<(Decryption, usize, Request)> = Vec::new();
    for request in due {
        match &request.0 {
            Kind::Path(..) => batches.push(vec![request]),
            Kind::Names(decryption, list) => names.push((*decryption, list.len(), request)),
        }
    }
    names.sort_by_key(|&(decryption, names, _)| (decryption, std::cmp::Reverse(names)));
    for of_one_kind in names.chunk_by(|a, b| a.0 == b.0) {
        batches.extend(pack(of_one_kind.iter().map(|(_, names, request)| (*names, request))));
    }
    batches
}

/// First fit, largest first.
fn pack<'a>(requests: impl Iterator<Item = (usize, &'a Request)>) -> Vec<Vec<Request>> {
    let mut bins: Vec<(usize, Vec<Request>)> = Vec::new();
    // Before this, bins are full.
    let mut open = 0;
    for (names, request) in requests {
        while bins.get(open).is_some_and(|(room, _)| *room == 0) {
            open += 1;
        }
        match bins[open..].iter_mut().find(|(room, _)| *room >= names) {
            Some((room, bin)) => {
                *room -= names;
                bin.push(request.clone());
            }
            None => bins.push((names.next_multiple_of(LIMIT) - names, vec![request.clone()])),
        }
    }
    bins.into_iter().map(|(_, bin)| bin).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Depth;
    use super::*;

    fn group(names: usize, tag: usize) -> Request {
        let names = (0..names).map(|name| format!("/{tag}/{name}")).collect();
        Request(Kind::Names(Decryption::Decrypted, names))
    }

    fn calls(batches: &[Vec<Request>]) -> usize {
        let names = |request: &Request| request.names().len();
        batches.iter().map(|batch| batch.iter().map(names).sum::<usize>().div_ceil(LIMIT)).sum()
    }

    #[test]
    fn twenty_three_names_are_three_calls() {
        let batches = batches((0..23).map(|tag| group(1, tag)).collect());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
    }

    #[test]
    fn single_names_fill_up_what_groups_leave() {
        let due = [15, 1, 1, 1, 4, 1].iter().enumerate().map(|(tag, &names)| group(names, tag));
        assert_eq!(calls(&batches(due.collect())), 3);
    }

    #[test]
    fn paths_and_what_is_not_decrypted_have_calls_of_their_own() {
        let stored = Request(Kind::Names(Decryption::AsStored, vec!["/0/0".to_owned()]));
        let path = Request(Kind::Path(Depth::Children, "/0".to_owned()));
        assert_eq!(batches(vec![group(1, 0), stored, path, group(1, 1)]).len(), 3);
    }
}
