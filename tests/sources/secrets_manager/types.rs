//! What a secret is decoded to, which version of it is asked for, and what is declared wrongly.

use lambda_cache::ErrorKind;
use lambda_cache::sources::secrets_manager;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::store::{say, value, version_id};
use crate::fixture::{MINUTE, World};

#[derive(Debug, Deserialize)]
struct Database {
    host: String,
    port: u16,
    password: SecretString,
}

const JSON: &str = r#"{"host": "h", "port": 5432, "password": "hun\"ter2", "nothing": null}"#;

#[tokio::test(start_paused = true)]
async fn a_secret_is_text_json_or_one_field_of_it_from_one_call() {
    let world = World::new();
    world.aws.put_secret("/prod/db", JSON).await;
    let secret = || secrets_manager::secret("/prod/db");
    let mut builder = world.builder();
    let text = builder.add(secret());
    let json = builder.add(secret().json::<Database>().name("json"));
    let password = builder.add(secret().field("password").name("password"));
    let port = builder.add(secret().field("port").name("port"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(text).unwrap().expose_secret(), JSON);
    let json = snapshot.get(json).unwrap();
    assert_eq!((json.host.as_str(), json.port), ("h", 5432));
    assert_eq!(json.password.expose_secret(), "hun\"ter2");
    assert_eq!(snapshot.get(password).unwrap().expose_secret(), "hun\"ter2");
    assert_eq!(snapshot.get(port).unwrap().expose_secret(), "5432");
    assert_eq!(world.aws.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_chosen_of_a_secret_is_what_is_decoded_further() {
    let world = World::new();
    world.aws.put_secret("db", r#"{"main": {"host": "h", "ports": [1, 2]}, "ports": 7}"#).await;
    let mut builder = world.builder();
    let main = || secrets_manager::secret("db").field("main");
    let host = builder.add(main().field("host").name("host"));
    let ports = builder.add(main().field("ports").json::<Vec<u16>>().name("ports"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(host).unwrap().expose_secret(), "h");
    assert_eq!(snapshot.get(ports).unwrap(), &[1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_a_secret_is_not_is_an_error_that_shows_nothing_of_it() {
    let world = World::new();
    world.aws.put_secret("text", "hunter2").await;
    world.aws.put_secret("json", JSON).await;
    let mut builder = world.builder();
    builder.add(secrets_manager::secret("text").binary().name("a"));
    builder.add(secrets_manager::secret("text").json::<Database>().name("b"));
    builder.add(secrets_manager::secret("text").field("password").name("c"));
    builder.add(secrets_manager::secret("json").field("user").name("d"));
    builder.add(secrets_manager::secret("json").field("nothing").name("e"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others().len(), 5);
    assert!(error.others().iter().all(|it| it.kind() == ErrorKind::Decode), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2") && !text.contains("hun\\\"ter2"), "{text}");
    assert!(text.contains("no field `user`") && text.contains("no field `nothing`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_no_text() {
    let world = World::new();
    world.aws.say_binary_secret(b"hunter2", 1);
    let mut builder = world.builder();
    builder.add(secrets_manager::secret("binary"));
    let text = builder.spawn().await.unwrap_err().to_string();
    assert!(text.contains("declare the entry with `.binary()`"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn either_form_has_bytes() {
    let world = World::new();
    world.aws.say_binary_secret(&[0, 255], 1);
    let mut builder = world.builder();
    let bytes = builder.add(secrets_manager::secret("binary").bytes());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.get(bytes).await.unwrap().expose_secret(), [0, 255]);

    let world = World::new();
    world.aws.put_secret("text", "hunter2").await;
    let mut builder = world.builder();
    let bytes = builder.add(secrets_manager::secret("text").bytes());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.get(bytes).await.unwrap().expose_secret(), b"hunter2");
}

#[tokio::test(start_paused = true)]
async fn a_stage_or_an_id_asks_for_that_version_and_current_is_no_other() {
    let world = World::new();
    world.aws.script(|_| Some(say(value("db", "v", 1))));
    let mut builder = world.builder();
    let secret = || secrets_manager::secret("db");
    builder.add(secret().version_stage("AWSPREVIOUS").name("previous"));
    builder.add(secret().version_id(version_id(1)).never_expires().name("fixed"));
    builder.add(secret().name("current"));
    builder.add(secret().version_stage("AWSCURRENT").name("too"));
    builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    let asked = |name: &str, value: &str| calls.iter().any(|call| call.body[name] == value);
    assert!(asked("VersionStage", "AWSPREVIOUS") && asked("VersionId", &version_id(1)));
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_the_same_version_is_kept_and_not_decoded_again() {
    let world = World::new();
    world.aws.put_secret("db", JSON).await;
    let mut builder = world.builder();
    let db = builder.add(secrets_manager::secret("db").json::<Database>());
    let cache = builder.spawn().await.unwrap();
    let first = cache.get(db).await.unwrap();
    world.clock.advance(MINUTE);
    let second = cache.get(db).await.unwrap();
    assert!(second.age() < MINUTE && second.version() == first.version());
    assert!(std::sync::Arc::ptr_eq(&first.into_inner(), &second.into_inner()));
    assert_eq!(world.aws.calls().len(), 2);
}

#[tokio::test]
async fn what_is_declared_wrongly_is_an_error_with_its_entry() {
    let world = World::new();
    let secret = secrets_manager::secret;
    for (wrong, entry) in [
        (secret(""), None),
        (secret("a b"), Some("a b")),
        (secret("prod/"), None),
        (secret("arn:aws:ssm:eu-west-1:123456789012:parameter/x"), Some("x")),
        (secret("db").version_id(""), Some("db")),
        (secret("db").version_stage(""), Some("db")),
        (secret("db").region(""), Some("db")),
    ] {
        let mut builder = world.builder();
        builder.add(wrong);
        let error = builder.spawn().await.unwrap_err();
        assert_eq!(error.others()[0].kind(), ErrorKind::Declaration);
        assert_eq!(error.others()[0].entry(), entry, "{error}");
    }
    let mut builder = world.builder();
    builder.add(secret("db").version_id("x").with_previous());
    assert!(builder.spawn().await.unwrap_err().to_string().contains("with_previous"));
    assert!(world.aws.calls().is_empty());
}
