//! The five-step case: the first value is read; the source changes, and still it is the first before
//! the max age; at exactly the max age it is the new one; the source changes back, and still it is the
//! new one; at the max age it is the first again.

use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::sources::{Entry, ssm};
use lambda_cache::{Cache, Key};

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

pub(crate) const NAME: &str = "/app/something";

pub(crate) struct Steps {
    pub(crate) kind: ParameterType,
    pub(crate) age: Duration,
    pub(crate) reading: Reading,
}

impl Steps {
    /// `values` are the parameter's two texts, each with what it is read as.
    pub(crate) async fn run<T: PartialEq + Debug + Send + Sync + 'static>(
        self,
        declare: impl FnOnce(Entry<ssm::OneParameter, String>) -> Entry<ssm::OneParameter, T>,
        values: [(&str, T); 2],
    ) {
        let [(first, read_first), (second, read_second)] = &values;
        let world = World::with([("/app/other", "other")]).await;
        world.aws.put_as(self.kind.clone(), NAME, first).await;
        let mut builder = world.builder();
        let entry = declare(ssm::parameter(NAME));
        let key = builder.add(match self.reading {
            Reading::Within => entry.max_age(HOUR),
            // So that no invocation refreshes it ahead of its max age.
            _ => entry.max_age(self.age).refresh_after(self.age),
        });
        builder.add(ssm::parameter("/app/other").max_age(self.age * 7));
        let function = Function::new(&world, builder.spawn().await.unwrap());
        let expect =
            async |expected: &T, step: &str| self.expect(&function, key, expected, step).await;

        expect(read_first, "at first").await;
        world.aws.put_as(self.kind.clone(), NAME, second).await;
        world.clock.advance(self.age - INSTANT);
        expect(read_first, "before its max age").await;
        world.clock.advance(INSTANT);
        expect(read_second, "at its max age").await;
        world.aws.put_as(self.kind.clone(), NAME, first).await;
        world.clock.freeze(self.age - INSTANT);
        expect(read_second, "changed back, before its max age").await;
        world.clock.freeze(INSTANT);
        expect(read_first, "changed back, at its max age").await;
    }

    async fn expect<T>(&self, function: &Function, key: Key<T>, expected: &T, step: &str)
    where
        T: PartialEq + Debug + Send + Sync + 'static,
    {
        let cache: &Cache = &function.cache;
        let said = format!("{step}, {:?}", self.reading);
        match self.reading {
            Reading::Snapshot => {
                assert_eq!(cache.snapshot().await.get(key).unwrap(), expected, "{said}")
            }
            Reading::Get => assert_eq!(&*cache.get(key).await.unwrap(), expected, "{said}"),
            Reading::Within => {
                assert_eq!(&*cache.get_within(key, self.age).await.unwrap(), expected, "{said}");
            }
            Reading::Invocation(first) => {
                let check = async |snapshot: lambda_cache::Snapshot| {
                    assert_eq!(snapshot.get(key).unwrap(), expected, "{said}");
                };
                function.invoke(first, check).await;
            }
        }
    }
}
