//! What a parameter is read as.

use std::sync::Arc;

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::sources::ssm;
use lambda_cache::{Cache, ErrorKind, Key};
use secrecy::{ExposeSecret, SecretString};

use crate::fixture::{MINUTE, SECOND, World};

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Limits {
    requests: u32,
    burst: Option<u32>,
}

#[tokio::test(start_paused = true)]
async fn a_string_is_the_text_as_it_is() {
    for text in ["x", " a, b,, ", "äöü ☃", "line 1\nline \"2\"\\", &"x".repeat(8192)] {
        let world = World::with([("/app/x", text)]).await;
        let mut builder = world.builder();
        let x = builder.add(ssm::parameter("/app/x"));
        let cache = builder.spawn().await.unwrap();
        assert_eq!(*cache.get(x).await.unwrap(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_string_list_is_its_items_or_its_text() {
    let world = World::new();
    for (name, items) in [("/app/hosts", "a,b,c"), ("/app/one", "a"), ("/app/odd", "a, b,")] {
        world.aws.put_as(ParameterType::StringList, name, items).await;
    }
    let mut builder = world.builder();
    let items = ["/app/hosts", "/app/one", "/app/odd"]
        .map(|name| builder.add(ssm::parameter(name).string_list()));
    let text = builder.add(ssm::parameter("/app/hosts").name("text"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(items[0]).unwrap(), &["a", "b", "c"]);
    assert_eq!(snapshot.get(items[1]).unwrap(), &["a"]);
    assert_eq!(snapshot.get(items[2]).unwrap(), &["a", " b", ""]);
    assert_eq!(snapshot.get(text).unwrap(), "a,b,c");
}

#[tokio::test(start_paused = true)]
async fn a_secure_string_is_decrypted_and_can_be_a_secret() {
    let world = World::new();
    world.aws.put_as(ParameterType::SecureString, "/app/password", "hunter2").await;
    let mut builder = world.builder();
    let text = builder.add(ssm::parameter("/app/password"));
    let secret: Key<SecretString> = builder.add(ssm::parameter("/app/password").secret().name("s"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(text).unwrap(), "hunter2");
    assert_eq!(snapshot.get(secret).unwrap().expose_secret(), "hunter2");
    let [call] = &*world.aws.calls() else { panic!("not one call") };
    assert_eq!(call.target, "AmazonSSM.GetParameters");
    assert_eq!(call.body["WithDecryption"], true);

    world.aws.put_as(ParameterType::SecureString, "/app/password", "hunter3").await;
    world.clock.advance(MINUTE);
    assert_eq!(cache.get(secret).await.unwrap().expose_secret(), "hunter3");
}

async fn limits(text: &str) -> (World, Cache, Key<Limits>) {
    let world = World::with([("/app/limits", text)]).await;
    let mut builder = world.builder();
    let limits = builder.add(ssm::parameter("/app/limits").json::<Limits>());
    let cache = builder.spawn().await.unwrap();
    (world, cache, limits)
}

#[tokio::test(start_paused = true)]
async fn json_is_a_value_of_the_users_type() {
    let (world, cache, limits) = limits(r#"{"requests": 7, "burst": 9, "more": []}"#).await;
    assert_eq!(*cache.get(limits).await.unwrap(), Limits { requests: 7, burst: Some(9) });
    world.aws.put("/app/limits", r#"{"requests": 8}"#).await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(*snapshot.get(limits).unwrap(), Limits { requests: 8, burst: None });
}

#[tokio::test(start_paused = true)]
async fn json_of_another_form_is_the_entrys_error_until_it_is_mended() {
    for bad in [" ", "{", "seven", r#"{"requests": "seven"}"#, r#"{"burst": 9}"#, "[7]"] {
        let (world, cache, limits) = limits(r#"{"requests": 7}"#).await;
        world.aws.put("/app/limits", bad).await;
        world.clock.advance(MINUTE);
        let error = cache.snapshot().await.get(limits).unwrap_err();
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Decode, Some("limits")), "{bad}");
        assert_eq!(cache.get(limits).await.unwrap_err().kind(), ErrorKind::Decode, "{bad}");
        let kept = cache.peek(limits).unwrap();
        assert!(kept.requests == 7 && kept.is_stale() && kept.age() == MINUTE, "{kept:?}");

        world.aws.put("/app/limits", r#"{"requests": 8}"#).await;
        world.clock.advance(SECOND);
        assert_eq!(cache.get(limits).await.unwrap().requests, 8, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_parameter_can_be_read_as_several_types_for_one_call() {
    let world = World::with([("/app/x", "[1,2]")]).await;
    let mut builder = world.builder();
    let text = builder.add(ssm::parameter("/app/x").name("text"));
    let items = builder.add(ssm::parameter("/app/x").string_list().name("items"));
    let numbers = builder.add(ssm::parameter("/app/x").json::<Vec<u8>>().name("numbers"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(text).unwrap(), "[1,2]");
    assert_eq!(snapshot.get(items).unwrap(), &["[1", "2]"]);
    assert_eq!(snapshot.get(numbers).unwrap(), &[1, 2]);
    let [call] = &*world.aws.calls() else { panic!("not one call") };
    assert_eq!(call.names(), ["/app/x"]);

    // One that cannot be decoded any more takes no other down.
    world.aws.put("/app/x", "3,4").await;
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(text).unwrap(), "3,4");
    assert_eq!(snapshot.get(items).unwrap(), &["3", "4"]);
    assert_eq!(snapshot.get(numbers).unwrap_err().kind(), ErrorKind::Decode);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_has_not_changed_is_not_decoded_again() {
    let (world, cache, limits) = limits(r#"{"requests": 7}"#).await;
    let before = cache.get(limits).await.unwrap();
    world.clock.advance(MINUTE);
    let after = cache.get(limits).await.unwrap();
    assert_eq!(world.aws.calls().len(), 2);
    assert_eq!((after.age(), after.version().as_str()), (std::time::Duration::ZERO, "1"));
    assert!(Arc::ptr_eq(&before.into_inner(), &after.into_inner()));
}

#[tokio::test(start_paused = true)]
async fn what_is_derived_can_be_decoded_further() {
    let world = World::with([("/app/x", "4")]).await;
    let mut builder = world.builder();
    let square = async |text: String| Ok::<_, std::num::ParseIntError>(format!("[{text}, 16]"));
    let x = builder.add(ssm::parameter("/app/x").derive(square).json::<Vec<u32>>());
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(x).await.unwrap(), [4, 16]);
}
