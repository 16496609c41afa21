//! Many parameters are few calls, made at once.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use aws_sdk_ssm::types::error::ParameterNotFound;
use lambda_cache::sources::ssm;
use lambda_cache::{Builder, Clock, ErrorKind, Key, Snapshot};

use crate::aws::{Answer, Call};
use crate::fixture::{First, Function, MINUTE, SECOND, World};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/app/p{n}")).collect()
}

/// A world in which each parameter's value is its name.
async fn world(count: usize) -> World {
    World::with(names(count).iter().map(|name| (name, name))).await
}

fn add(builder: &mut Builder, count: usize) -> Vec<Key<String>> {
    names(count).into_iter().map(|name| builder.add(ssm::parameter(name))).collect()
}

/// The names of all calls, each of which asks for ten at most.
fn asked(calls: &[Call]) -> BTreeSet<String> {
    let names: Vec<String> = calls.iter().flat_map(Call::names).collect();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(names.len(), set.len(), "a name was asked for twice");
    assert!(calls.iter().all(|call| call.names().len() <= 10));
    set
}

fn expect_all(snapshot: &Snapshot, keys: &[Key<String>]) {
    for (n, &key) in keys.iter().enumerate() {
        assert_eq!(*snapshot.get(key).unwrap(), format!("/app/p{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_parameters_start_with_exactly_five_calls_made_at_once() {
    let world = world(50).await;
    let latency = Duration::from_millis(50);
    world.aws.script(move |_| Some(Answer::Late(latency)));
    let mut builder = world.builder();
    let keys = add(&mut builder, 50);
    let before = world.clock.now().monotonic();
    let cache = builder.spawn().await.unwrap();
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * latency, "it took {took:?}: calls were made one after another");
    let calls = world.aws.calls();
    assert_eq!(calls.len(), 5);
    assert_eq!(asked(&calls), names(50).into_iter().collect());
    expect_all(&cache.snapshot().await, &keys);
    assert_eq!(world.aws.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn twenty_three_expired_names_are_three_calls_for_one_read() {
    let world = world(23).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, 23);
    let cache = builder.spawn().await.unwrap();
    assert_eq!(world.aws.calls().len(), 3);
    let latency = Duration::from_millis(50);
    world.aws.script(move |_| Some(Answer::Late(latency)));
    world.clock.freeze(MINUTE);
    let before = world.clock.now().monotonic();
    expect_all(&cache.snapshot().await, &keys);
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * latency, "it took {took:?}: calls were made one after another");
    let calls = world.aws.calls();
    assert_eq!((calls.len(), asked(&calls).len()), (3, 23));
}

#[tokio::test(start_paused = true)]
async fn twenty_three_due_names_are_three_calls_for_an_invocation() {
    let world = world(23).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, 23);
    let function = Function::new(&world, builder.spawn().await.unwrap());
    world.aws.calls();
    world.clock.freeze(50 * SECOND);
    function.invoke(First::Handler, async |snapshot| expect_all(&snapshot, &keys)).await;
    let calls = world.aws.calls();
    assert_eq!((calls.len(), asked(&calls).len()), (3, 23));
    for &key in &keys {
        assert_eq!(function.cache.peek(key).unwrap().age(), std::time::Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn one_name_of_many_that_does_not_exist_fails_alone() {
    for gone in [0, 9, 10, 22] {
        let world = world(23).await;
        let mut builder = world.builder();
        let keys = add(&mut builder, 23);
        let cache = builder.spawn().await.unwrap();
        world.aws.delete(&format!("/app/p{gone}")).await;
        world.aws.calls();
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        let calls = world.aws.calls();
        assert_eq!((calls.len(), asked(&calls).len()), (3, 23));
        for (n, &key) in keys.iter().enumerate() {
            if n != gone {
                assert_eq!(*snapshot.get(key).unwrap(), format!("/app/p{n}"));
                continue;
            }
            let error = snapshot.get(key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.entry().unwrap(), format!("p{gone}"));
            let cause = error.source().unwrap().downcast_ref::<ParameterNotFound>().unwrap();
            assert!(cause.message().unwrap().ends_with(&format!("/app/p{gone}")), "{cause}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_the_failure_of_its_own_names_alone() {
    let world = world(23).await;
    let mut builder = world.builder();
    let keys = add(&mut builder, 23);
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    world.aws.script(|call| {
        let throttled = call.names().contains(&"/app/p22".to_owned());
        throttled.then(|| Answer::error(400, "ThrottlingException"))
    });
    world.aws.calls();
    let snapshot = cache.snapshot().await;
    let calls = world.aws.calls();
    let throttled = calls.iter().find(|call| call.names().contains(&"/app/p22".to_owned()));
    let throttled = throttled.unwrap();
    for (n, &key) in keys.iter().enumerate() {
        let name = format!("/app/p{n}");
        if throttled.names().contains(&name) {
            assert_eq!(snapshot.get(key).unwrap_err().kind(), ErrorKind::Throttled, "{name}");
        } else {
            assert_eq!(*snapshot.get(key).unwrap(), name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_of_more_than_ten_names_is_several_calls_at_once_which_others_fill_up() {
    let world = world(30).await;
    let latency = Duration::from_millis(50);
    world.aws.script(move |_| Some(Answer::Late(latency)));
    let mut builder = world.builder();
    let group = builder.add(ssm::parameters(names(25)).name("group"));
    let rest: Vec<_> = (25..30).map(|n| ssm::parameter(format!("/app/p{n}"))).collect();
    let rest: Vec<_> = rest.into_iter().map(|entry| builder.add(entry)).collect();
    let before = world.clock.now().monotonic();
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * latency, "it took {took:?}: calls were made one after another");
    let calls = world.aws.calls();
    assert_eq!((calls.len(), asked(&calls).len()), (3, 30));
    let group = snapshot.get(group).unwrap();
    assert_eq!(group.len(), 25);
    for name in names(25) {
        assert_eq!(group.get(&name), Some(&*name));
    }
    for (n, key) in rest.into_iter().enumerate() {
        assert_eq!(*snapshot.get(key).unwrap(), format!("/app/p{}", n + 25));
    }
}

#[tokio::test(start_paused = true)]
async fn entries_with_ages_of_their_own_share_calls_when_they_are_due_together() {
    let world = world(10).await;
    let mut builder = world.builder();
    let ages = (1..=10).map(|age| age * 10 * SECOND);
    for (name, age) in names(10).into_iter().zip(ages) {
        builder.add(ssm::parameter(name).max_age(age));
    }
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    world.clock.advance(50 * SECOND);
    cache.snapshot().await;
    let calls = world.aws.calls();
    assert_eq!((calls.len(), asked(&calls)), (1, names(5).into_iter().collect()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_order_than_asked_for_is_told_apart_by_name() {
    let world = world(23).await;
    world.aws.script(|call| {
        let names = call.names().into_iter().rev();
        Some(Answer::parameters(names.map(|name| super::store::parameter(&name, &name))))
    });
    let mut builder = world.builder();
    let keys = add(&mut builder, 23);
    expect_all(&builder.spawn().await.unwrap().snapshot().await, &keys);
}
