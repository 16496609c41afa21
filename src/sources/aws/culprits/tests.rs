//! Random histories of what a service refuses.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::error::ErrorKind;

/// A service that refuses each call with one of these items in it.
#[derive(Default)]
struct Service {
    refused: Mutex<BTreeSet<u32>>,
    /// The items of each call.
    calls: Mutex<Vec<Vec<u32>>>,
}

impl BatchCall<u32> for Service {
    type Answer = u32;

    const LIMIT: usize = 10;

    async fn call(&self, items: &[u32]) -> Result<Vec<Result<u32, FetchError>>, CallError> {
        self.calls.lock().expect("calls").push(items.to_vec());
        let refused = self.refused.lock().expect("refused items");
        match items.iter().find(|item| refused.contains(item)) {
            Some(item) => {
                let cause = format!("{item} is refused");
                Err(CallError::SomeItems(FetchError::new(ErrorKind::Denied, cause)))
            }
            None => Ok(items.iter().map(|&item| Ok(item)).collect()),
        }
    }
}

impl Service {
    fn refuse(&self, items: impl IntoIterator<Item = u32>) {
        *self.refused.lock().expect("refused items") = items.into_iter().collect();
    }

    /// Which items fail, and in how many calls that is found out.
    fn ask(&self, culprits: &Culprits<u32>, items: &BTreeSet<u32>) -> (BTreeSet<u32>, usize) {
        self.calls.lock().expect("calls").clear();
        let asked = culprits.ask(self, items.iter().copied().collect());
        let results = futures_util::future::FutureExt::now_or_never(asked).expect("no waiting");
        assert!(results.keys().copied().collect::<BTreeSet<_>>() == *items, "one result each");
        let mut failed = BTreeSet::new();
        for (item, result) in results {
            match result {
                Ok(answer) => assert_eq!(answer, item),
                Err(error) => {
                    assert_eq!(error.cause.to_string(), format!("{item} is refused"));
                    failed.insert(item);
                }
            }
        }
        let calls = self.calls.lock().expect("calls");
        assert!(calls.iter().all(|items| (1..=Self::LIMIT).contains(&items.len())));
        (failed, calls.len())
    }
}

fn items() -> impl Strategy<Value = BTreeSet<u32>> {
    prop::collection::btree_set(0..25u32, 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn an_item_fails_only_by_its_own_fault_and_a_stable_state_costs_two_calls_for_ten_culprits(
        history in prop::collection::vec((items(), items()), 1..8)
    ) {
        let (service, culprits) = (Service::default(), Culprits::default());
        for (refused, asked) in history {
            service.refuse(refused.iter().copied());
            let known: HashSet<u32> =
                asked.iter().copied().filter(|item| culprits.contains(item)).collect();
            let (failed, calls) = service.ask(&culprits, &asked);
            for item in &asked {
                let is_refused = refused.contains(item);
                prop_assert!(!is_refused || failed.contains(item), "{item} is refused");
                // One that was a culprit may have to wait for its turn.
                let may_fail = is_refused || known.contains(item);
                prop_assert!(may_fail || !failed.contains(item), "{item} is innocent");
            }
            prop_assert!(calls <= asked.len() + 2 * asked.len().div_ceil(10) + 2);

            // It takes as many rounds as there are culprits until all that are well are known.
            for _ in 0..asked.len() {
                service.ask(&culprits, &asked);
            }
            let at_fault: BTreeSet<u32> = asked.intersection(&refused).copied().collect();
            let (failed, calls) = service.ask(&culprits, &asked);
            prop_assert_eq!(&failed, &at_fault);
            let (well, ill) = (asked.len() - at_fault.len(), at_fault.len());
            // A lone item that is refused need not be remembered.
            let stable = well.div_ceil(10) + 2 * ill.div_ceil(10);
            prop_assert!(calls <= stable + 1, "{calls} calls, {stable} expected");
        }
    }
}

#[test]
fn the_culprits_that_are_remembered_are_bounded() {
    let (service, culprits) = (Service::default(), Culprits::default());
    let all: BTreeSet<u32> = (0..2 * MOST as u32).collect();
    service.refuse(all.iter().copied());
    assert_eq!(service.ask(&culprits, &all).0, all);
    assert_eq!(culprits.memory().culprits.len(), MOST);
}
