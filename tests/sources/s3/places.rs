//! Where an object is asked for: regions, access points, other accounts.

use lambda_cache::ErrorKind;
use lambda_cache::sources::s3;

use super::store::s3_error;
use crate::aws::{Answer, Call, HOME};
use crate::fixture::{HOUR, World};
use crate::roles::assume_role;

/// Each object's text says where it was asked for, and in whose name.
fn told(call: &Call) -> Option<Answer> {
    Some(Answer::object("\"1\"", &format!("{} by {}", call.region, call.access_key)))
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_asked_for_in_its_own_region() {
    let world = World::new();
    world.aws.script(told);
    let mut builder = world.builder();
    let home = builder.add(s3::object("s3://conf/object").text());
    let away = s3::object("s3://conf/object").text().region("us-east-1").name("away");
    let away = builder.add(away);
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert!(snapshot.get(home).unwrap().starts_with("eu-west-1 by"));
    assert!(snapshot.get(away).unwrap().starts_with("us-east-1 by"));
    let mut hosts: Vec<_> = world.aws.calls().into_iter().map(|call| call.uri).collect();
    hosts.sort();
    assert!(hosts[0].starts_with("https://conf.s3.eu-west-1.amazonaws.com/object?"), "{hosts:?}");
    assert!(hosts[1].starts_with("https://conf.s3.us-east-1.amazonaws.com/object?"), "{hosts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_access_point_is_asked_in_the_region_of_its_arn() {
    let world = World::new();
    world.aws.script(told);
    let mut builder = world.builder();
    let arn = "arn:aws:s3:us-west-2:111122223333:accesspoint/reader/object/app/settings.json";
    let object = builder.add(s3::object(arn).text());
    let cache = builder.spawn().await.unwrap();
    assert!(cache.get(object).await.unwrap().starts_with("us-west-2 by"));
    assert!(cache.key::<String>("settings.json").is_ok());
    let calls = world.aws.calls();
    let host = "https://reader-111122223333.s3-accesspoint.us-west-2.amazonaws.com/";
    assert!(calls[0].uri.starts_with(&format!("{host}app/settings.json?")), "{}", calls[0].uri);
}

#[tokio::test(start_paused = true)]
async fn a_key_reaches_s3_as_it_is() {
    for (key, path) in [
        ("a//b", "/a//b?"),
        ("a/../b", "/a/../b?"),
        ("a b+c?d#e%20", "/a%20b%2Bc%3Fd%23e%2520?"),
        ("/a", "//a?"),
    ] {
        let world = World::new();
        world.aws.script(told);
        let mut builder = world.builder();
        builder.add(s3::object(format!("s3://conf/{key}")).name("object"));
        builder.spawn().await.unwrap();
        let uri = &world.aws.calls()[0].uri;
        assert!(uri.starts_with(&format!("https://conf.s3.{HOME}.amazonaws.com{path}")), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_and_its_credentials_sign_the_call() {
    let world = World::new();
    let clock = world.clock.clone();
    world.aws.script(move |call| match &*call.service {
        "sts" => Some(assume_role(call, clock.true_now() + HOUR)),
        _ => told(call),
    });
    let mut builder = world.builder();
    let role = "arn:aws:iam::111122223333:role/reader";
    let theirs = builder.add(s3::object("s3://theirs/object").text().assume_role(role));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(*cache.get(theirs).await.unwrap(), "eu-west-1 by reader");
    let services: Vec<_> = world.aws.calls().into_iter().map(|call| call.service).collect();
    assert_eq!(services, ["sts", "s3"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_in_another_region_is_an_error_that_says_what_to_do() {
    let wrong = "The authorization header is malformed; the region 'eu-west-1' is wrong";
    for (status, code, message, region, advice) in [
        (301, "PermanentRedirect", "", Some("us-west-2"), "`.region(\"us-west-2\")`"),
        (301, "PermanentRedirect", "", None, "`.region(..)`"),
        (400, "IllegalLocationConstraintException", "", None, "`.region(..)`"),
        (400, "AuthorizationHeaderMalformed", wrong, Some("us-west-2"), "\"us-west-2\""),
    ] {
        let world = World::new();
        world.aws.script(move |_| {
            let mut response = s3_error(status, code, message);
            if let Some(region) = region {
                response.headers_mut().insert("x-amz-bucket-region", region);
            }
            Some(Answer::Http(Box::new(response)))
        });
        let mut builder = world.builder();
        builder.add(s3::object("s3://conf/object"));
        let error = builder.spawn().await.unwrap_err();
        let [error] = error.others() else { panic!("{error}") };
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        let text = error.to_string();
        assert!(text.contains(advice) && text.contains(code), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_is_malformed_otherwise_has_nothing_to_do_with_regions() {
    let world = World::new();
    world.aws.script(|_| {
        let response = s3_error(400, "AuthorizationHeaderMalformed", "a non-empty key is needed");
        Some(Answer::Http(Box::new(response)))
    });
    let mut builder = world.builder();
    builder.add(s3::object("s3://conf/object"));
    let error = builder.spawn().await.unwrap_err();
    assert!(!error.to_string().contains(".region("), "{error}");
    assert!(error.to_string().contains("non-empty key"), "{error}");
}
