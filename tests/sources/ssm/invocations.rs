//! The integration cases of lambda-cache for Python, I1 to I11: values persist across invocations,
//! whoever is first to hear of one.

use std::error::Error as _;

use aws_sdk_ssm::types::ParameterType;
use aws_sdk_ssm::types::error::ParameterNotFound;
use lambda_cache::sources::ssm;
use lambda_cache::{ErrorKind, Snapshot};

use super::steps::{Reading, Steps};
use crate::fixture::{First, Function, HOUR, INSTANT, MINUTE, SECOND, World};

const ORDERS: [First; 2] = [First::Handler, First::Extension];

fn text() -> [(&'static str, String); 2] {
    [("old", "old".to_owned()), ("new", "new".to_owned())]
}

fn steps(kind: ParameterType, first: First) -> Steps {
    Steps { kind, age: 5 * SECOND, reading: Reading::Invocation(first) }
}

#[tokio::test(start_paused = true)]
async fn i1_a_string_changes_at_exactly_its_max_age_and_persists_until_then() {
    for first in ORDERS {
        steps(ParameterType::String, first).run(|it| it, text()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i2_a_renamed_entry_changes_at_exactly_its_max_age() {
    for first in ORDERS {
        steps(ParameterType::String, first).run(|it| it.name("renamed"), text()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i3_a_secure_string_changes_at_exactly_a_minute() {
    for first in ORDERS {
        let steps = Steps { age: MINUTE, ..steps(ParameterType::SecureString, first) };
        steps.run(|it| it, text()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i4_a_string_list_changes_at_exactly_its_max_age() {
    for first in ORDERS {
        let split = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let values = [("a,b,c", split("a,b,c")), ("d", split("d"))];
        steps(ParameterType::StringList, first).run(|it| it.string_list(), values).await;
    }
}

/// Four entries with ages of their own, and what of them each invocation should see.
struct Four {
    world: World,
    ages: [u32; 4],
}

const FOUR: [&str; 4] = ["/app/one", "/app/two", "/app/three", "/app/four"];

impl Four {
    async fn new() -> Self {
        Self { world: World::with(FOUR.map(|name| (name, "old"))).await, ages: [20, 30, 40, 60] }
    }

    /// At each whole age, an instant before and after: exactly those are new whose age has come.
    async fn change(&self, see: impl AsyncFn() -> Vec<String>) {
        assert_eq!(see().await, ["old"; 4]);
        for name in FOUR {
            self.world.aws.put(name, "new").await;
        }
        let mut gone_by = std::time::Duration::ZERO;
        for step in [20, 30, 40, 60].map(|age| age * SECOND) {
            for instant in [step - INSTANT, step] {
                // Half of the time the environment runs, half of it it is frozen.
                let gap = instant - gone_by;
                self.world.clock.advance(gap / 2);
                self.world.clock.freeze(gap - gap / 2);
                gone_by = instant;
                let new = self.ages.map(|age| age * SECOND <= gone_by);
                let expected = new.map(|new| if new { "new" } else { "old" });
                assert_eq!(see().await, expected, "after {gone_by:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i5_four_entries_each_change_exactly_at_their_own_age() {
    for first in ORDERS {
        let four = Four::new().await;
        let mut builder = four.world.builder();
        let keys: Vec<_> = FOUR
            .iter()
            .zip(four.ages.map(|age| age * SECOND))
            .map(|(&name, age)| builder.add(ssm::parameter(name).max_age(age).refresh_after(age)))
            .collect();
        let function = Function::new(&four.world, builder.spawn().await.unwrap());
        let handler = async |snapshot: Snapshot| -> Vec<String> {
            keys.iter().map(|&key| snapshot.get(key).unwrap().clone()).collect()
        };
        four.change(async || function.invoke(first, &handler).await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i6_four_entries_read_in_the_handler_each_change_exactly_at_the_readers_age() {
    for first in ORDERS {
        let four = Four::new().await;
        let mut builder = four.world.builder();
        let keys = FOUR.map(|name| builder.add(ssm::parameter(name).max_age(HOUR)));
        let function = Function::new(&four.world, builder.spawn().await.unwrap());
        let handler = async |_: Snapshot| -> Vec<String> {
            let mut seen = Vec::new();
            for (key, age) in keys.iter().zip(four.ages) {
                let value = function.cache.get_within(*key, age * SECOND).await.unwrap();
                seen.push(value.clone());
            }
            seen.iter().map(|value| String::clone(value)).collect()
        };
        four.change(async || function.invoke(first, &handler).await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn i7_four_parameters_as_one_entry_change_together() {
    for first in ORDERS {
        let Four { world, .. } = Four::new().await;
        let mut builder = world.builder();
        let age = 10 * SECOND;
        let all = ssm::parameters(FOUR).name("all").max_age(age).refresh_after(age);
        let all = builder.add(all);
        let function = Function::new(&world, builder.spawn().await.unwrap());
        let see = async || {
            let handler = async |snapshot: Snapshot| {
                let all = snapshot.get(all).unwrap();
                ["one", "two", "three", "four"].map(|name| all.get(name).unwrap().to_owned())
            };
            function.invoke(first, handler).await
        };
        for name in FOUR {
            world.aws.put(name, "new").await;
        }
        world.clock.freeze(age - INSTANT);
        assert_eq!(see().await, ["old"; 4]);
        world.clock.freeze(INSTANT);
        assert_eq!(see().await, ["new"; 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn i8_with_an_age_of_zero_each_invocation_sees_the_latest_value() {
    for first in ORDERS {
        let world = World::with([("/app/x", "0")]).await;
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter("/app/x").max_age(std::time::Duration::ZERO));
        let function = Function::new(&world, builder.spawn().await.unwrap());
        for n in 1..=5 {
            world.aws.put("/app/x", &n.to_string()).await;
            world.aws.calls();
            let handler = async |it: Snapshot| assert_eq!(*it.get(x).unwrap(), n.to_string());
            function.invoke(first, handler).await;
            assert_eq!(world.aws.calls().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i9_what_is_read_once_is_never_fetched_again() {
    for first in ORDERS {
        let world = World::with([("/app/x", "old")]).await;
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter("/app/x").never_expires());
        let function = Function::new(&world, builder.spawn().await.unwrap());
        world.aws.put("/app/x", "new").await;
        for _ in 0..5 {
            world.clock.freeze(24 * 365 * HOUR);
            let handler = async |it: Snapshot| assert_eq!(it.get(x).unwrap(), "old");
            function.invoke(first, handler).await;
        }
        assert_eq!(world.aws.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn i10_a_forced_read_in_one_invocation_is_what_the_next_one_sees() {
    for first in ORDERS {
        let world = World::with([("/app/x", "old")]).await;
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter("/app/x"));
        let function = Function::new(&world, builder.spawn().await.unwrap());
        world.aws.put("/app/x", "new").await;
        let handler = async |snapshot: Snapshot| {
            assert_eq!(snapshot.get(x).unwrap(), "old");
            assert_eq!(*function.cache.refresh(x).await.unwrap(), "new");
        };
        function.invoke(first, handler).await;
        world.clock.freeze(20 * SECOND);
        let handler = async |it: Snapshot| assert_eq!(it.get(x).unwrap(), "new");
        function.invoke(first, handler).await;
        assert_eq!(world.aws.calls().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn i11_the_sdks_error_reaches_the_handler_and_the_next_invocation_recovers() {
    for first in ORDERS {
        let world = World::with([("/app/x", "old")]).await;
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter("/app/x"));
        let function = Function::new(&world, builder.spawn().await.unwrap());
        world.aws.delete("/app/x").await;
        world.clock.freeze(MINUTE);
        let handler = async |snapshot: Snapshot| {
            let error = snapshot.get(x).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.source().unwrap().is::<ParameterNotFound>(), "{error}");
        };
        function.invoke(first, handler).await;
        world.aws.put("/app/x", "new").await;
        world.aws.changed_later("/app/x", MINUTE).await;
        world.clock.freeze(MINUTE);
        let handler = async |it: Snapshot| assert_eq!(it.get(x).unwrap(), "new");
        function.invoke(first, handler).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_refreshed_ahead_whose_soft_bound_is_its_max_age() {
    for first in ORDERS {
        let world = World::with([("/app/x", "1"), ("/app/y", "2")]).await;
        let mut builder = world.builder();
        builder.add(ssm::parameter("/app/x").refresh_after(MINUTE));
        builder.add(ssm::parameter("/app/y").max_age(10 * SECOND).refresh_after(10 * SECOND));
        let function = Function::new(&world, builder.spawn().await.unwrap());
        world.aws.calls();
        for (frozen, calls) in [(10 * SECOND - INSTANT, 0), (INSTANT, 1), (10 * SECOND, 1)] {
            world.clock.freeze(frozen);
            function.invoke(first, async |_| ()).await;
            assert_eq!(world.aws.calls().len(), calls, "after {frozen:?}");
        }
    }
}
