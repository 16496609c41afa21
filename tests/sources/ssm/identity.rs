//! An entry never holds another one's value; entries that ask for the same share a fetch.

use lambda_cache::sources::ssm;

use super::store::{arn, parameter};
use crate::aws::{Answer, Call};
use crate::fixture::{MINUTE, World};

/// The names of each call, and whether it asks for plain text.
fn asked(calls: Vec<Call>) -> Vec<(Vec<String>, bool)> {
    let mut asked: Vec<_> = calls
        .iter()
        .map(|call| (call.names(), call.body["WithDecryption"].as_bool().unwrap()))
        .collect();
    asked.sort();
    asked
}

#[tokio::test(start_paused = true)]
async fn equal_last_segments_are_told_apart() {
    let world = World::with([("/prod/x", "prod"), ("/test/x", "test"), ("x", "bare")]).await;
    let mut builder = world.builder();
    let prod = builder.add(ssm::parameter("/prod/x").name("prod"));
    let test = builder.add(ssm::parameter("/test/x").name("test"));
    let bare = builder.add(ssm::parameter("x"));
    let cache = builder.spawn().await.unwrap();
    for round in 0..3 {
        let snapshot = cache.snapshot().await;
        let values = [prod, test, bare].map(|key| snapshot.get(key).unwrap().clone());
        let is = |name: &str| if round == 0 { name.to_owned() } else { format!("{name} {round}") };
        assert_eq!(values, [is("prod"), is("test"), is("bare")]);
        for (name, value) in [("/prod/x", "prod"), ("/test/x", "test"), ("x", "bare")] {
            world.aws.put(name, &format!("{value} {}", round + 1)).await;
        }
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.aws.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn names_that_differ_only_in_case_are_told_apart() {
    let names = ["/app/key", "/app/Key", "/app/KEY", "/App/key"];
    let world = World::with(names.map(|name| (name, name))).await;
    let mut builder = world.builder();
    let keys = names.map(|name| builder.add(ssm::parameter(name).name(name)));
    let group = builder.add(ssm::parameters(names).name("group"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(keys.map(|key| snapshot.get(key).unwrap().clone()), names);
    let group = snapshot.get(group).unwrap();
    assert_eq!(names.map(|name| group.get(name).unwrap()), names);
    assert_eq!((group.get("Key"), group.get("KEY")), (Some("/app/Key"), Some("/app/KEY")));
    assert_eq!(group.get("key"), None);
}

#[tokio::test(start_paused = true)]
async fn decrypted_and_not_are_told_apart() {
    let world = World::new();
    world.aws.script(|call| {
        let value = if call.body["WithDecryption"] == true { "plain" } else { "cipher" };
        let names = call.names();
        Some(Answer::parameters(names.iter().map(|it| parameter(it, &format!("{value} {it}")))))
    });
    let mut builder = world.builder();
    let plain = builder.add(ssm::parameter("/app/x"));
    let cipher = builder.add(ssm::parameter("/app/x").without_decryption().name("cipher"));
    let other = builder.add(ssm::parameter("/app/y").without_decryption());
    let cache = builder.spawn().await.unwrap();
    for _ in 0..2 {
        let snapshot = cache.snapshot().await;
        let values = [plain, cipher, other].map(|key| snapshot.get(key).unwrap().clone());
        assert_eq!(values, ["plain /app/x", "cipher /app/x", "cipher /app/y"]);
        let (x, y) = ("/app/x".to_owned(), "/app/y".to_owned());
        let expected = [(vec![x.clone()], true), (vec![x, y], false)];
        assert_eq!(asked(world.aws.calls()), expected);
        world.clock.advance(MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_ask_for_the_same_share_one_fetch() {
    let world = World::with([("/app/a", "a"), ("/app/b", "b")]).await;
    let mut builder = world.builder();
    let first = builder.add(ssm::parameter("/app/a").name("first"));
    let second = builder.add(ssm::parameter("/app/a").name("second").max_age(2 * MINUTE));
    let one = builder.add(ssm::parameters(["/app/a", "/app/b"]).name("one"));
    let two = builder.add(ssm::parameters(["/app/b", "/app/a", "/app/b"]).name("two"));
    let cache = builder.spawn().await.unwrap();
    let twice = cache.get(two).await.unwrap();
    assert_eq!((twice.len(), twice.get("b")), (2, Some("b")), "a name given twice is one");
    let both = vec!["/app/a".to_owned(), "/app/b".to_owned()];
    assert_eq!(asked(world.aws.calls()), [(both.clone(), true)]);
    world.aws.put("/app/a", "new").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(asked(world.aws.calls()), [(both, true)]);
    assert_eq!(snapshot.get(first).unwrap(), "new");
    // What one of them asked for is news for the other, too, although it has not expired.
    assert_eq!(snapshot.get(second).unwrap(), "new");
    assert_eq!(snapshot.get(one).unwrap().get("a"), Some("new"));
    assert_eq!(snapshot.get(two).unwrap().get("a"), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn concurrent_readers_share_one_fetch() {
    let world = World::with([("/app/a", "a")]).await;
    let mut builder = world.builder();
    let a = builder.add(ssm::parameter("/app/a"));
    let cache = builder.spawn().await.unwrap();
    world.aws.calls();
    world.aws.script(|_| Some(Answer::Late(std::time::Duration::from_millis(50))));
    world.clock.freeze(MINUTE);
    let readers = (0..100).map(|_| cache.get(a));
    for value in futures_util::future::join_all(readers).await {
        assert_eq!(*value.unwrap(), "a");
    }
    assert_eq!(world.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_arn_is_a_name_like_any_other() {
    let (x, y) = (arn("/app/x"), arn("/app/y"));
    let world = World::new();
    world.aws.script(|call| {
        let name = |asked: &str| format!("/app/{}", asked.rsplit('/').next().unwrap());
        let names = call.names().into_iter().map(move |asked| name(&asked));
        Some(Answer::parameters(names.map(|name| parameter(&name, &name))))
    });
    let mut builder = world.builder();
    let by_arn = builder.add(ssm::parameter(x.clone()));
    let by_name = builder.add(ssm::parameter("/app/y"));
    let group = builder.add(ssm::parameters([x.clone(), y]).name("group"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(by_arn).unwrap(), "/app/x");
    assert_eq!(snapshot.get(by_name).unwrap(), "/app/y");
    assert_eq!(snapshot.get(group).unwrap().get("y"), Some("/app/y"));
    assert_eq!(snapshot.get(cache.key::<String>("x").unwrap()).unwrap(), "/app/x");
    assert!(world.aws.calls()[0].names().contains(&x));
}
