//! Nothing the crate prints, logs or puts into an error shows a parameter's value.

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::sources::ssm;
use lambda_cache::{Cache, ErrorKind, Key, Snapshot};
use secrecy::{ExposeSecret, SecretString};

use crate::aws::Answer;
use crate::fixture::{First, Function, HOUR, MINUTE, SECOND, World};
use crate::seen::{SECRET, Seen};

#[derive(Debug, serde::Deserialize)]
struct Database {
    host: String,
}

/// Forms that no value has, each of which serde has words of its own for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "never made")]
enum Form {
    Number(u16),
    Fields { host: u16 },
}

async fn world() -> World {
    let world = World::new();
    for (name, value) in [
        ("/app/password", "hunter2-password"),
        ("/app/database", r#"{"host": "hunter2-host"}"#),
        ("/app/items", "hunter2-a,hunter2-b"),
    ] {
        world.aws.put_as(ParameterType::SecureString, name, value).await;
    }
    world
}

/// A cache with one secret.
async fn password(world: &World) -> (Cache, Key<SecretString>) {
    let mut builder = world.builder();
    let password = builder.add(ssm::parameter("/app/password").secret());
    (builder.spawn().await.unwrap(), password)
}

#[tokio::test(start_paused = true)]
async fn debug_of_whatever_holds_a_value_does_not_show_it() {
    let seen = Seen::listen();
    let world = world().await;
    let mut builder = world.builder();
    let names = ["/app/password", "/app/items"];
    let (text, secret) = (ssm::parameter(names[0]).name("text"), ssm::parameter(names[0]).secret());
    let database = ssm::parameter("/app/database").json::<Database>();
    let items = ssm::parameter(names[1]).string_list();
    let group = ssm::parameters(names).name("group");
    let tree = ssm::path("/app/").recursive().name("tree");
    seen.debug(&(&text, &secret, &database, &items, &group, &tree));
    let (text, secret) = (builder.add(text), builder.add(secret));
    let (database, items) = (builder.add(database), builder.add(items));
    let (group, tree) = (builder.add(group), builder.add(tree));
    seen.debug(&(text, secret, database, items, group, tree));
    seen.debug(&builder);
    let cache = builder.spawn().await.unwrap();

    for round in 0..3 {
        let snapshot = cache.snapshot().await;
        assert!(snapshot.get(text).unwrap().starts_with(SECRET));
        assert!(snapshot.get(secret).unwrap().expose_secret().starts_with(SECRET));
        assert!(snapshot.get(database).unwrap().host.starts_with(SECRET));
        seen.debug(&(&cache, &snapshot, snapshot.version(group), snapshot.age(tree)));
        seen.debug(&(cache.get(text).await, cache.get(secret).await, cache.get(database).await));
        seen.debug(&(cache.get(items).await, cache.get(group).await, cache.peek(tree)));
        seen.debug(&(snapshot.get(secret), snapshot.get(group), snapshot.get(tree)));
        let all = snapshot.get(tree).unwrap();
        seen.debug(&(all.secret("password"), all.version("password")));
        assert!(all.list("items").unwrap()[1].starts_with(SECRET));
        if round == 0 {
            world.aws.put("/app/password", "hunter2-changed").await;
            world.clock.advance(MINUTE);
        } else {
            cache.invalidate(secret).await.unwrap();
            seen.debug(&cache.refresh(tree).await);
            seen.debug(&cache.get_within(secret, std::time::Duration::ZERO).await);
        }
    }
    seen.check(&["/app/password", "refresh{entry=", "outcome=\"changed\"", "\"unchanged\""]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_show_the_value_that_is_kept_or_what_came() {
    let seen = Seen::listen();
    let world = world().await;
    let (cache, password) = password(&world).await;
    let bodies = [
        r#"{"Parameters": [{"Name": "/app/password", "Value": "hunter2-cut"#,
        r#"{"Parameters": [{"Name": "/app/password", "Value": "hunter2" hunter2}]}"#,
        r#"{"Parameters": "hunter2-text"}"#,
        r#"{"Parameters": [{"Name": "/app/password", "Value": "hunter2", "Version": "hunter2"}]}"#,
        r#"{"Parameters": [{"Name": "/app/password", "Value": "hunter2\ud800"}]}"#,
    ];
    for body in bodies {
        world.aws.script(move |_| Some(Answer::Say(200, body.to_owned())));
        world.clock.advance(MINUTE);
        let error = cache.refresh(password).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{body}");
        seen.error(&error);
        seen.debug(&(cache.peek(password), cache.snapshot().await, &cache));
    }
    for answer in [
        || Answer::error(400, "ThrottlingException"),
        || Answer::error(400, "AccessDeniedException"),
        || Answer::Never,
    ] {
        world.aws.script(move |_| Some(answer()));
        seen.error(&cache.refresh(password).await.unwrap_err());
        seen.error(cache.snapshot().await.get(password).as_ref().unwrap_err());
    }
    world.aws.heal();
    world.aws.delete("/app/password").await;
    seen.error(&cache.refresh(password).await.unwrap_err());
    assert!(cache.peek(password).unwrap().expose_secret().starts_with(SECRET));
    seen.check(&[
        "refresh failed",
        "outcome=\"failed\"",
        "ThrottlingException",
        "no such parameter",
    ]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_decoding_does_not_quote_the_value() {
    let seen = Seen::listen();
    let world = world().await;
    let values = [
        "hunter2",
        r#""hunter2-variant""#,
        r#"{"Number": "hunter2-number"}"#,
        r#"{"Fields": {"host": "hunter2-host"}}"#,
        r#"{"Fields": {"hunter2-field": 1}}"#,
        r#"{"hunter2-key": 1}"#,
        r#"["hunter2-item"]"#,
        r#"{"Number": 1} hunter2-trail"#,
    ];
    let mut builder = world.builder();
    let form = builder.add(ssm::parameter("/app/form").json::<Form>().lazy());
    let items = builder.add(ssm::parameter("/app/form").json::<Vec<u8>>().name("items").lazy());
    let cache = builder.spawn().await.unwrap();
    for value in values {
        world.aws.put_as(ParameterType::SecureString, "/app/form", value).await;
        world.clock.advance(SECOND);
        for error in
            [cache.refresh(form).await.unwrap_err(), cache.refresh(items).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Decode, "{value}");
            seen.error(&error);
        }
        seen.debug(&(cache.snapshot().await, &cache));
    }
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/password").json::<u8>());
    builder.add(ssm::parameter("/app/form").json::<Form>());
    seen.error(&builder.spawn().await.unwrap_err());
    seen.check(&["refresh failed", "cannot be used", "line 1 column"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_invocation_traces_shows_no_value() {
    let seen = Seen::listen();
    let world = world().await;
    let (cache, password) = password(&world).await;
    let function = Function::new(&world, cache);
    for first in [First::Handler, First::Extension] {
        world.aws.put("/app/password", "hunter2-changed").await;
        world.clock.freeze(50 * SECOND);
        function.invoke(first, async |snapshot| seen.debug(&snapshot.get(password))).await;
        world.aws.fail(400, "AccessDeniedException");
        world.clock.freeze(HOUR);
        let failed = async |snapshot: Snapshot| seen.error(&snapshot.get(password).unwrap_err());
        function.invoke(first, failed).await;
        world.aws.heal();
        world.clock.freeze(MINUTE);
    }
    seen.check(&[
        "cause=\"probe\"",
        "cause=\"expired\"",
        "invocation request_id=",
        "AccessDeniedException",
    ]);
}
