//! The five-step case: the first value is read; the source changes, and still it is the first before
//! the max age; at exactly the max age it is the new one; the source changes back, and still it is the
//! new one; at the max age it is the first again.

use std::fmt::Debug;
use std::time::Duration;

use lambda_cache::sources::{Declare, Entry};
use lambda_cache::{Cache, Key, from_fn};

use crate::fixture::{First, Function, HOUR, INSTANT, World};

/// How the value is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    /// From a snapshot, without invocations.
    Snapshot,
    /// The entry alone, without invocations.
    Get,
    /// The entry alone, within the age as the reader's own bound: the entry itself allows an hour.
    Within,
    /// From the handler's snapshot, in invocations of this order.
    Invocation(First),
}

pub(crate) struct Steps {
    pub(crate) age: Duration,
    pub(crate) reading: Reading,
}

impl Steps {
    /// Takes an entry through the steps. `change` gives the source its first (0) or second (1) value;
    /// `show` says which of `values` the entry holds.
    pub(crate) async fn run<D, T, V>(
        self,
        world: &World,
        entry: Entry<D, T>,
        change: impl AsyncFn(usize),
        show: impl Fn(&T) -> V,
        values: [V; 2],
    ) where
        D: Declare + 'static,
        T: Send + Sync + 'static,
        V: PartialEq + Debug,
    {
        change(0).await;
        let mut builder = world.builder();
        let key = builder.add(match self.reading {
            Reading::Within => entry.max_age(HOUR),
            // So that no invocation refreshes it ahead of its max age.
            _ => entry.max_age(self.age).refresh_after(self.age),
        });
        let other = async || Ok::<_, std::fmt::Error>(());
        builder.add(from_fn("other", other).max_age(self.age * 7));
        let function = Function::new(world, builder.spawn().await.unwrap());
        let [first, second] = &values;
        let expect = async |expected: &V, step: &str| {
            let found = self.read(&function, key, &show).await;
            assert_eq!(found, *expected, "{step}, {:?}", self.reading);
        };

        expect(first, "at first").await;
        change(1).await;
        world.clock.advance(self.age - INSTANT);
        expect(first, "before its max age").await;
        world.clock.advance(INSTANT);
        expect(second, "at its max age").await;
        change(0).await;
        world.clock.freeze(self.age - INSTANT);
        expect(second, "changed back, before its max age").await;
        world.clock.freeze(INSTANT);
        expect(first, "changed back, at its max age").await;
    }

    async fn read<T, V>(&self, function: &Function, key: Key<T>, show: impl Fn(&T) -> V) -> V
    where
        T: Send + Sync + 'static,
    {
        let cache: &Cache = &function.cache;
        match self.reading {
            Reading::Snapshot => show(cache.snapshot().await.get(key).unwrap()),
            Reading::Get => show(&*cache.get(key).await.unwrap()),
            Reading::Within => show(&*cache.get_within(key, self.age).await.unwrap()),
            Reading::Invocation(first) => {
                let read =
                    async |snapshot: lambda_cache::Snapshot| show(snapshot.get(key).unwrap());
                function.invoke(first, read).await
            }
        }
    }
}
