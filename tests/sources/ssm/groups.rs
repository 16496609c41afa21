//! Several parameters as one entry.

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::ErrorKind;
use lambda_cache::sources::ssm;
use secrecy::ExposeSecret;

use crate::aws::Answer;
use crate::fixture::{MINUTE, World};

#[tokio::test(start_paused = true)]
async fn a_group_is_one_call_and_is_read_by_full_name_and_by_last_segment() {
    let world = World::with([("/app/a", "1"), ("/app/deep/b", "2"), ("plain", "3")]).await;
    world.aws.put_as(ParameterType::StringList, "/app/items", "x,y").await;
    world.aws.put_as(ParameterType::SecureString, "/app/password", "hunter2").await;
    let names = ["/app/a", "/app/deep/b", "plain", "/app/items", "/app/password"];
    let mut builder = world.builder();
    let all = builder.add(ssm::parameters(names).name("all"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    let [call] = &*world.aws.calls() else { panic!("not one call") };
    assert_eq!(call.body["WithDecryption"], true);
    let all = snapshot.get(all).unwrap();
    for (name, value) in [("/app/a", "1"), ("a", "1"), ("/app/deep/b", "2"), ("b", "2")] {
        assert_eq!(all.get(name), Some(value), "{name}");
    }
    assert_eq!(all.get("plain"), Some("3"));
    assert_eq!(all.list("items").unwrap(), ["x", "y"]);
    assert_eq!(all.secret("password").unwrap().expose_secret(), "hunter2");
    assert_eq!(all.version("a").unwrap().as_str(), "1");
    for name in ["", "/", "app", "deep/b", "/app/A", "A", "/app/a/"] {
        assert_eq!(all.get(name), None, "{name}");
    }
    let mut sorted = names;
    sorted.sort();
    assert!(all.names().eq(sorted) && all.len() == 5 && !all.is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_a_group_a_last_segment_of_two_names_stands_for_neither() {
    let world = World::with([("/prod/x", "prod"), ("/test/x", "test"), ("x", "bare")]).await;
    let mut builder = world.builder();
    let two = builder.add(ssm::parameters(["/prod/x", "/test/x"]).name("two"));
    let three = builder.add(ssm::parameters(["/prod/x", "/test/x", "x"]).name("three"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(two).unwrap().get("x"), None);
    assert_eq!(snapshot.get(two).unwrap().get("/prod/x"), Some("prod"));
    assert_eq!(snapshot.get(two).unwrap().get("/test/x"), Some("test"));
    // A full name is never ambiguous.
    assert_eq!(snapshot.get(three).unwrap().get("x"), Some("bare"));
}

#[tokio::test(start_paused = true)]
async fn names_of_a_group_that_do_not_exist_are_all_reported_and_no_other() {
    let world = World::with((0..12).map(|n| (format!("/app/there{n:02}"), "1"))).await;
    let there = (0..12).map(|n| format!("/app/there{n:02}"));
    let gone = ["/app/absent1", "/zzz/absent2"].map(str::to_owned);
    let mut builder = world.builder();
    builder.add(ssm::parameters(there.chain(gone.clone())).name("group"));
    let error = builder.spawn().await.unwrap_err();
    let [error] = error.others() else { panic!("{error}") };
    assert_eq!((error.kind(), error.entry()), (ErrorKind::NotFound, Some("group")));
    let cause = std::error::Error::source(error).unwrap().to_string();
    assert!(gone.iter().all(|name| cause.contains(name)), "{cause}");
    assert!(!cause.contains("there"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_service_fails_is_not_said_to_be_absent() {
    let names: Vec<String> = (0..20).map(|n| format!("/app/{n:02}")).collect();
    let world = World::with(names.iter().filter(|it| !it.ends_with("/00")).map(|it| (it, "1")));
    let world = world.await;
    world.aws.script(|call| {
        let last = call.names().contains(&"/app/19".to_owned());
        last.then(|| Answer::error(400, "AccessDeniedException"))
    });
    let mut builder = world.builder();
    builder.add(ssm::parameters(names).name("group"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_change_to_one_parameter_of_a_group_is_a_change_to_the_group() {
    let world = World::with([("/app/a", "1"), ("/app/b", "1")]).await;
    let mut builder = world.builder();
    let group = builder.add(ssm::parameters(["/app/a", "/app/b"]).name("group"));
    let cache = builder.spawn().await.unwrap();
    let first = cache.get(group).await.unwrap();
    world.clock.advance(MINUTE);
    let same = cache.get(group).await.unwrap();
    assert_eq!((first.version(), same.age()), (same.version(), std::time::Duration::ZERO));
    for (name, other) in [("/app/a", "/app/b"), ("/app/b", "/app/a")] {
        let before = cache.get(group).await.unwrap();
        world.aws.put(name, "2").await;
        world.clock.advance(MINUTE);
        let after = cache.get(group).await.unwrap();
        assert_eq!((before.get(name), after.get(name)), (Some("1"), Some("2")));
        assert_eq!(before.get(other), after.get(other));
        assert_ne!(before.version(), after.version());
    }
}
