//! What the refresher asks of a memo: to start what it has to, and to let go of it.

use std::collections::HashSet;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::batch::Batch;
use super::family::Family;
use crate::clock::Stamp;
use crate::refresher::{Keyed, Launch};

impl<K, V> Keyed for Family<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn launch(self: Arc<Self>, launch: &mut Launch<'_>) {
        // What has gone or expired since it was read is left to whoever needs it.
        let is_fresh =
            |key: &K| self.kept.peek(key).is_some_and(|it| it.fresh(launch.now).is_some());
        let taken = self.flights().take(launch.ahead, is_fresh);
        if taken.is_empty() {
            return;
        }
        for keys in self.plan(taken) {
            let (number, jitter) = ((launch.number)(), launch.random.f64());
            let batch = Batch { number, began: launch.now, timeout: launch.timeout, jitter };
            self.flights().start(Arc::clone(&keys), number, launch.now);
            let fetch = Arc::clone(&self).fetch(keys, batch);
            launch.batches.push((number, Box::pin(fetch)));
        }
    }

    fn is_wanted(&self, batch: u64) -> bool {
        self.flights().is_wanted(batch)
    }

    fn put_back(&self, batch: u64) {
        self.flights().put_back(batch);
    }

    fn cancel(&self, batch: u64, now: Stamp) {
        let mut flights = self.flights();
        for key in flights.put_back(batch) {
            if let Some(known) = self.kept.peek(&key) {
                self.kept.replace(key, known.cancelled(now));
            }
        }
    }

    fn age_by_witness(&self, witness: i64, now: Stamp) {
        let policy = &self.design.definition.policy;
        let _flights = self.flights();
        for (key, known) in self.kept.iter() {
            if let Some(older) = known.slot.aged_by_witness(policy, witness, known.aged, now) {
                self.kept.replace(key, known.aged(older, policy, now));
            }
        }
    }

    fn clear(&self) {
        let _flights = self.flights();
        self.kept.clear();
    }

    fn reset(&self) {
        // A source that cannot connect anew says so at its next fetch.
        _ = catch_unwind(AssertUnwindSafe(|| self.design.answers.reset()));
    }
}

impl<K, V> Family<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The batches of keys as their source would have them. What it leaves out, or all if its code
    /// panics, goes one by one.
    fn plan(&self, keys: Vec<K>) -> Vec<Arc<[K]>> {
        if keys.len() == 1 {
            return vec![Arc::from(keys)];
        }
        let answers = &self.design.answers;
        let plan = catch_unwind(AssertUnwindSafe(|| answers.plan(keys.clone())));
        let mut left: HashSet<&K> = keys.iter().collect();
        let mut batches: Vec<Arc<[K]>> = Vec::new();
        for batch in plan.unwrap_or_default() {
            batches.push(batch.into_iter().filter(|key| left.remove(key)).collect());
        }
        batches.retain(|batch| !batch.is_empty());
        let left = keys.iter().filter(|key| left.contains(key));
        batches.extend(left.map(|key| Arc::from([key.clone()])));
        batches
    }
}
