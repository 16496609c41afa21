//! The acceptance cases of lambda-cache for Python, A1 to A7 (A8 is in `declarations`).

use std::error::Error as _;

use aws_sdk_ssm::types::ParameterType;
use aws_sdk_ssm::types::error::ParameterNotFound;
use lambda_cache::sources::ssm;
use lambda_cache::{ErrorKind, Key};

use super::steps::{Reading, Steps};
use crate::fixture::{INSTANT, SECOND, World};

fn list(items: [&str; 3]) -> Vec<String> {
    items.map(str::to_owned).to_vec()
}

fn steps(kind: ParameterType, reading: Reading) -> Steps {
    Steps { kind, age: 5 * SECOND, reading }
}

#[tokio::test(start_paused = true)]
async fn a1_one_entry_has_the_name_of_its_last_segment() {
    let world = World::with([("/lambda/something", "1")]).await;
    let mut builder = world.builder();
    let key = builder.add(ssm::parameter("/lambda/something"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.snapshot().await.get(key).unwrap(), "1");
    let named: Key<String> = cache.key("something").unwrap();
    assert_eq!(*cache.get(named).await.unwrap(), "1");
    assert_eq!(cache.key::<String>("/lambda/something").unwrap_err().kind(), ErrorKind::Key);
}

#[tokio::test(start_paused = true)]
async fn a1_two_entries_are_both_in_the_snapshot() {
    let long = "/a/b/zzzzzzz/9/10/11";
    let world = World::with([("/lambda/something", "1"), (long, "eleven")]).await;
    let mut builder = world.builder();
    let something = builder.add(ssm::parameter("/lambda/something"));
    let eleven = builder.add(ssm::parameter(long));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(something).unwrap(), "1");
    assert_eq!(snapshot.get(eleven).unwrap(), "eleven");
    assert_eq!(snapshot.get(cache.key::<String>("11").unwrap()).unwrap(), "eleven");
}

#[tokio::test(start_paused = true)]
async fn a2_a_string_changes_at_exactly_its_max_age() {
    let values = [("old", "old".to_owned()), ("new", "new".to_owned())];
    steps(ParameterType::String, Reading::Snapshot).run(|it| it, values).await;
}

#[tokio::test(start_paused = true)]
async fn a2_a_renamed_entry_changes_at_exactly_its_max_age() {
    let values = [("old", "old".to_owned()), ("new", "new".to_owned())];
    steps(ParameterType::String, Reading::Snapshot).run(|it| it.name("renamed"), values).await;
}

#[tokio::test(start_paused = true)]
async fn a2_a_secure_string_changes_at_exactly_its_max_age() {
    let values = [("old", "old".to_owned()), ("new", "new".to_owned())];
    steps(ParameterType::SecureString, Reading::Snapshot).run(|it| it, values).await;
}

#[tokio::test(start_paused = true)]
async fn a2_a_string_list_changes_at_exactly_its_max_age() {
    let values = [("a,b,c", list(["a", "b", "c"])), ("d,e,f", list(["d", "e", "f"]))];
    steps(ParameterType::StringList, Reading::Snapshot).run(|it| it.string_list(), values).await;
}

#[tokio::test(start_paused = true)]
async fn a3_a_forced_read_is_fresh_at_once() {
    let world = World::with([("/app/x", "first")]).await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x").max_age(10 * SECOND));
    let cache = builder.spawn().await.unwrap();
    world.aws.put("/app/x", "second").await;
    world.clock.advance(5 * SECOND);
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "first");
    world.clock.advance(5 * SECOND);
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "second");
    world.aws.put("/app/x", "first").await;
    assert_eq!(*cache.get(x).await.unwrap(), "second");
    assert_eq!(*cache.refresh(x).await.unwrap(), "first");
    assert_eq!(cache.snapshot().await.get(x).unwrap(), "first");
    world.aws.put("/app/x", "second").await;
    assert_eq!(*cache.get_within(x, std::time::Duration::ZERO).await.unwrap(), "second");
    assert_eq!(world.aws.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a4_with_an_age_of_zero_each_read_sees_the_latest_value() {
    let world = World::with([("/app/x", "0")]).await;
    let mut builder = world.builder();
    let x = builder.add(ssm::parameter("/app/x").max_age(std::time::Duration::ZERO));
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    for n in 1..=5 {
        world.aws.put("/app/x", &n.to_string()).await;
        assert_eq!(*cache.snapshot().await.get(x).unwrap(), n.to_string());
        world.aws.put("/app/x", &(-n).to_string()).await;
        assert_eq!(*cache.get(x).await.unwrap(), (-n).to_string());
    }
    assert_eq!(world.aws.calls().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a5_an_entry_read_alone_changes_at_exactly_its_max_age() {
    for reading in [Reading::Get, Reading::Within] {
        for kind in [ParameterType::String, ParameterType::SecureString] {
            let values = [("old", "old".to_owned()), ("new", "new".to_owned())];
            steps(kind, reading).run(|it| it, values).await;
        }
        let values = [("a,b,c", list(["a", "b", "c"])), ("d,e,f", list(["d", "e", "f"]))];
        steps(ParameterType::StringList, reading).run(|it| it.string_list(), values).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a6_four_parameters_of_mixed_types_change_together_as_one_entry() {
    use ParameterType::{SecureString, String as Text, StringList};
    let names = ["/app/one", "/app/two", "/app/list", "/app/secure"];
    let old = [(Text, "1"), (Text, "2"), (StringList, "a,b,c"), (SecureString, "s")];
    let new = [(Text, "new 1"), (Text, "new 2"), (StringList, "d,e"), (SecureString, "new s")];
    let world = World::new();
    let put = async |values: &[(ParameterType, &str); 4]| {
        for (name, (kind, value)) in names.iter().zip(values) {
            world.aws.put_as(kind.clone(), name, value).await;
        }
    };
    put(&old).await;
    let mut builder = world.builder();
    let all = builder.add(ssm::parameters(names).name("all").max_age(10 * SECOND));
    let cache = builder.spawn().await.unwrap();
    let is = async |expected: &[(ParameterType, &str); 4], step: &str| {
        let snapshot = cache.snapshot().await;
        let all = snapshot.get(all).unwrap();
        for (name, (_, value)) in names.iter().zip(expected) {
            assert_eq!(all.get(name), Some(*value), "{name} {step}");
        }
        let items: Vec<&str> = expected[2].1.split(',').collect();
        assert_eq!(all.list("list").unwrap(), items, "{step}");
    };
    is(&old, "at first").await;
    put(&new).await;
    world.clock.advance(10 * SECOND - INSTANT);
    is(&old, "before its max age").await;
    world.clock.advance(INSTANT);
    is(&new, "at its max age").await;
    put(&old).await;
    world.clock.freeze(10 * SECOND - INSTANT);
    is(&new, "changed back, before its max age").await;
    world.clock.freeze(INSTANT);
    is(&old, "changed back, at its max age").await;
    assert_eq!(world.aws.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a7_an_unknown_name_is_the_sdks_own_error_at_init() {
    let world = World::with([("/app/known", "1")]).await;
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/known"));
    builder.add(ssm::parameter("/app/unknown"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Init);
    let [error] = error.others() else { panic!("{error}") };
    assert_eq!((error.kind(), error.entry()), (ErrorKind::NotFound, Some("unknown")));
    assert!(error.source().unwrap().is::<ParameterNotFound>(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a7_an_unknown_name_is_the_sdks_own_error_in_the_handler() {
    let world = World::with([("/app/known", "1"), ("/app/gone", "2")]).await;
    let mut builder = world.builder();
    let unknown = builder.add(ssm::parameter("/app/unknown").lazy());
    let gone = builder.add(ssm::parameter("/app/gone"));
    let known = builder.add(ssm::parameter("/app/known"));
    let cache = builder.spawn().await.unwrap();
    let error = cache.get(unknown).await.unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::NotFound, Some("unknown")));
    assert!(error.source().unwrap().is::<ParameterNotFound>(), "{error}");

    // The old value is kept but not served.
    world.aws.delete("/app/gone").await;
    world.clock.advance(60 * SECOND);
    let snapshot = cache.snapshot().await;
    let error = snapshot.get(gone).unwrap_err();
    assert_eq!((error.kind(), error.age()), (ErrorKind::NotFound, Some(60 * SECOND)));
    assert!(error.source().unwrap().is::<ParameterNotFound>(), "{error}");
    assert_eq!(*cache.peek(gone).unwrap(), "2");
    assert_eq!(snapshot.get(known).unwrap(), "1");
}
