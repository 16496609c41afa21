//! Nothing the crate prints, logs or puts into an error shows a secret, and none outlives its readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::sources::secrets_manager;
use lambda_cache::{ErrorKind, Key};
use secrecy::zeroize::ZeroizeOnDrop;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::store::say;
use crate::aws::Answer;
use crate::fixture::{MINUTE, World};
use crate::seen::{SECRET, Seen};

const JSON: &str = r#"{"password": "hunter2-password", "port": "hunter2-port"}"#;

#[tokio::test(start_paused = true)]
async fn debug_of_whatever_holds_a_secret_does_not_show_it() {
    let seen = Seen::listen();
    let world = World::new();
    world.aws.put_secret("/prod/db", "hunter2-old").await;
    world.aws.put_secret("/prod/db", JSON).await;
    let mut builder = world.builder();
    let secret = || secrets_manager::secret("/prod/db");
    let (text, password) = (secret(), secret().field("password").name("password"));
    let pair = secret().with_previous().follow_rotation().name("pair");
    seen.debug(&(&text, &password, &pair));
    let (text, password, pair) = (builder.add(text), builder.add(password), builder.add(pair));
    seen.debug(&(text, password, pair, &builder));
    let cache = builder.spawn().await.unwrap();
    for _ in 0..2 {
        let snapshot = cache.snapshot().await;
        assert!(snapshot.get(password).unwrap().expose_secret().starts_with(SECRET));
        assert!(snapshot.get(pair).unwrap().previous.is_some());
        seen.debug(&(&cache, &snapshot, snapshot.version(pair), snapshot.age(text)));
        seen.debug(&(snapshot.get(text), snapshot.get(password), snapshot.get(pair)));
        seen.debug(&(cache.get(text).await, cache.peek(password), cache.refresh(pair).await));
        world.aws.put_secret("/prod/db", &JSON.replace("port", "more")).await;
        world.clock.advance(MINUTE);
    }
    seen.check(&["secretsmanager:GetSecretValue /prod/db", "outcome=\"changed\""]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_show_the_secret_that_is_kept_or_what_came() {
    let seen = Seen::listen();
    let world = World::new();
    for name in ["a", "b"] {
        world.aws.put_secret(name, JSON).await;
    }
    let mut builder = world.builder();
    let secret = |name| secrets_manager::secret(name).wait_if_failing(MINUTE).field("password");
    let keys = ["a", "b"].map(|name| builder.add(secret(name)));
    let cache = builder.spawn().await.unwrap();
    for body in [
        r#"{"Name": "a", "SecretString": "hunter2-cut"#,
        r#"{"SecretValues": [{"Name": "a", "SecretString": "hunter2" hunter2}]}"#,
        r#"{"SecretValues": "hunter2", "SecretString": ["hunter2"]}"#,
        r#"{"SecretValues": [{"Name": "a", "SecretBinary": "hunter2?"}], "SecretBinary": "hunter2?"}"#,
    ] {
        world.aws.script(move |_| Some(Answer::Say(200, body.to_owned())));
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        seen.error(snapshot.get(keys[0]).as_ref().unwrap_err());
        let error = cache.refresh(keys[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{body}");
        seen.error(&error);
        seen.debug(&(snapshot, cache.peek(keys[0]), &cache));
    }
    for code in ["ThrottlingException", "AccessDeniedException", "DecryptionFailure"] {
        world.aws.fail(400, code);
        world.clock.advance(MINUTE);
        seen.error(cache.snapshot().await.get(keys[1]).as_ref().unwrap_err());
    }
    assert!(cache.peek(keys[0]).unwrap().expose_secret().starts_with(SECRET));
    seen.check(&["refresh failed", "DecryptionFailure"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_decoding_does_not_quote_the_secret() {
    let seen = Seen::listen();
    for text in [
        "hunter2",
        r#""hunter2""#,
        r#"["hunter2"]"#,
        r#"{"password": "hunter2"} hunter2"#,
        r#"{"hunter2-key": 1}"#,
        r#"{"password": {"hunter2": "hunter2"}}"#,
        r#"{"password": null, "x": "hunter2"}"#,
    ] {
        let world = World::new();
        world.aws.script(move |_| {
            Some(say(serde_json::json!({ "SecretString": text, "VersionId": "v" })))
        });
        let mut builder = world.builder();
        let secret = || secrets_manager::secret("x").field("password");
        builder.add(secret().field("x").name("deeper"));
        builder.add(secret().json::<u16>().name("number"));
        let error = builder.spawn().await.unwrap_err();
        assert!(error.others().iter().all(|it| it.kind() == ErrorKind::Decode), "{error}");
        assert_eq!(error.others().len(), 2, "{error}");
        seen.error(&error);
    }
    seen.check(&["refresh failed", "`password`", "`x`"]);
}

/// Whatever is of this type wipes itself.
fn wiped_at_its_end<T: ZeroizeOnDrop>(_: Key<T>) {}

#[tokio::test(start_paused = true)]
async fn what_a_secret_is_read_as_is_wiped_at_its_end() {
    let world = World::new();
    let mut builder = world.builder();
    let secret = || secrets_manager::secret("x").lazy();
    wiped_at_its_end::<SecretString>(builder.add(secret().name("text")));
    wiped_at_its_end::<SecretString>(builder.add(secret().field("x").name("field")));
    wiped_at_its_end::<SecretSlice<u8>>(builder.add(secret().binary().name("bytes")));
}

/// Says when it is gone.
struct Told(Arc<AtomicUsize>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_has_changed_ends_with_the_last_snapshot_that_holds_it() {
    let world = World::new();
    world.aws.put_secret("x", "old").await;
    let gone = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&gone);
    let mut builder = world.builder();
    let x = builder.add(secrets_manager::secret("x").derive(move |_| {
        let told = Told(Arc::clone(&told));
        async move { Ok::<_, std::fmt::Error>(told) }
    }));
    let cache = builder.spawn().await.unwrap();
    let gone = || gone.load(Ordering::Relaxed);
    let (snapshot, value) = (cache.snapshot().await, cache.get(x).await.unwrap());
    world.aws.put_secret("x", "new").await;
    world.clock.advance(MINUTE);
    cache.snapshot().await.get(x).unwrap();
    assert_eq!(gone(), 0, "two readers hold it");
    drop(snapshot);
    assert_eq!(gone(), 0, "one reader holds it");
    drop(value);
    assert_eq!(gone(), 1);
}
