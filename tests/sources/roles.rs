//! Entries of other accounts: a role is assumed once for all entries that want it, and again before
//! its credentials expire.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_types::sdk_config::TimeSource;
use lambda_cache::sources::{Role, dynamodb, ssm};
use lambda_cache::testing::{Invocations, TestClock};
use lambda_cache::{Builder, Cache, Clock, ErrorKind, Mode};
use serde_json::json;

use crate::aws::{Answer, Call, HOME};
use crate::fixture::{HOUR, MINUTE, SECOND, World};

pub(crate) const READER: &str = "arn:aws:iam::111122223333:role/reader";
const OTHER: &str = "arn:aws:iam::444455556666:role/path/other";

/// The SDK's clock is the test's.
#[derive(Debug, Clone)]
struct Wall(TestClock);

impl TimeSource for Wall {
    fn now(&self) -> SystemTime {
        self.0.now().wall()
    }
}

/// An account in which a role's credentials last an hour, and each parameter's value says whose
/// credentials read it.
fn world() -> World {
    let world = World::new();
    let clock = world.clock.clone();
    world.aws.script(move |call| match &*call.service {
        "sts" => Some(assume_role(call, clock.now().wall() + HOUR)),
        _ => Some(parameters(call)),
    });
    world
}

/// As STS answers: keys that are called as the role is.
pub(crate) fn assume_role(call: &Call, expires: SystemTime) -> Answer {
    let role = if call.text.contains("reader") { "reader" } else { "other" };
    let expires = DateTime::from(expires).fmt(Format::DateTime).unwrap();
    Answer::Say(
        200,
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
             <AccessKeyId>{role}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>token</SessionToken><Expiration>{expires}</Expiration></Credentials>\
             <AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/{role}/s</Arn>\
             <AssumedRoleId>id</AssumedRoleId></AssumedRoleUser>\
             </AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

fn parameters(call: &Call) -> Answer {
    let found = call.body["Names"].as_array().into_iter().flatten().map(|name| {
        let value = format!("for {} in {}", call.access_key, call.region);
        json!({ "Name": name, "Type": "String", "Value": value, "Version": 1, "ARN": name })
    });
    let found: Vec<_> = found.collect();
    Answer::Say(200, json!({ "Parameters": found, "InvalidParameters": [] }).to_string())
}

/// Of caches whose SDKs go by the test's clock.
pub(crate) fn builder(world: &World) -> Builder {
    let config: SdkConfig = world.aws.config();
    let config = config.into_builder().time_source(Wall(world.clock.clone())).build();
    Cache::builder(&config).clock(world.clock.clone()).mode(Mode::OnDemand).seed(1)
}

/// How often roles were assumed, and how often parameters were asked for.
fn count(calls: &[Call]) -> (usize, usize) {
    let sts = calls.iter().filter(|call| call.service == "sts").count();
    (sts, calls.len() - sts)
}

#[tokio::test(start_paused = true)]
async fn a_role_is_assumed_once_for_all_entries_and_regions_that_want_it() {
    let world = world();
    let mut builder = builder(&world);
    let own = builder.add(ssm::parameter("/app/x"));
    let theirs = builder.add(ssm::parameter("/app/x").assume_role(READER).name("theirs"));
    let too = builder.add(ssm::parameter("/app/y").assume_role(READER));
    let away = ssm::parameter("/app/z").assume_role(READER).region("us-east-1");
    let away = builder.add(away);
    let other = builder.add(ssm::path("/app/").assume_role(OTHER).name("other"));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert!(snapshot.get(own).unwrap().ends_with("in eu-west-1"));
    assert!(!snapshot.get(own).unwrap().contains("reader"));
    assert_eq!(snapshot.get(theirs).unwrap(), "for reader in eu-west-1");
    assert_eq!(snapshot.get(too).unwrap(), "for reader in eu-west-1");
    assert_eq!(snapshot.get(away).unwrap(), "for reader in us-east-1");
    assert!(snapshot.get(other).unwrap().is_empty());
    let calls = world.aws.calls();
    assert_eq!(count(&calls), (2, 4), "{calls:?}");
}

/// What an entry with this role asks of STS.
async fn assumed(role: impl Into<Role>) -> Vec<(String, String)> {
    let world = world();
    let mut builder = builder(&world);
    builder.add(ssm::parameter("/app/x").assume_role(role));
    builder.spawn().await.unwrap();
    let calls = world.aws.calls();
    let call = calls.iter().find(|call| call.service == "sts").unwrap();
    form_urlencoded::parse(call.text.as_bytes()).into_owned().collect()
}

const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

fn value<'a>(asked: &'a [(String, String)], name: &str) -> Option<&'a str> {
    asked.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_session_has_the_functions_name_unless_the_role_says_another() {
    for (function, role, name) in [
        (Some("shop-frontend"), Role::new(READER), "shop-frontend"),
        (Some("f"), Role::new(READER), "f-lambda"),
        (None, Role::new(READER), "lambda-cache"),
        (Some("shop-frontend"), Role::new(READER).session_name("other"), "other"),
    ] {
        let asked = temp_env::async_with_vars([(FUNCTION_NAME, function)], assumed(role)).await;
        assert_eq!(value(&asked, "RoleSessionName"), Some(name));
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_role_says_reaches_sts() {
    let role = Role::new(READER)
        .external_id("shop:42")
        .session_duration(15 * MINUTE)
        .session_tag("team", "shop")
        .session_tag("stage", "");
    let asked = assumed(role).await;
    for (name, expected) in [
        ("RoleArn", READER),
        ("ExternalId", "shop:42"),
        ("DurationSeconds", "900"),
        ("Tags.member.1.Key", "stage"),
        ("Tags.member.1.Value", ""),
        ("Tags.member.2.Key", "team"),
        ("Tags.member.2.Value", "shop"),
    ] {
        assert_eq!(value(&asked, name), Some(expected), "{name}");
    }
    let asked = assumed(READER).await;
    for name in ["ExternalId", "DurationSeconds", "Tags", "Tags.member.1.Key"] {
        assert_eq!(value(&asked, name), None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn equal_roles_share_a_session_and_calls_and_others_do_not() {
    let world = world();
    let mut builder = builder(&world);
    let shop = || Role::new(READER).external_id("shop");
    for (name, role) in [
        ("a", shop().session_tag("x", "1").session_tag("y", "2")),
        ("b", shop().session_tag("y", "2").session_tag("x", "1")),
        ("c", shop()),
        ("d", READER.into()),
        ("e", Role::new(READER)),
    ] {
        builder.add(ssm::parameter(format!("/app/{name}")).assume_role(role));
    }
    let cache = builder.spawn().await.unwrap();
    assert_eq!(count(&world.aws.calls()), (3, 3));
    // A memo is no different.
    world.aws.script(|call| {
        let empty = r#"{"Responses": {}, "UnprocessedKeys": {}}"#;
        (call.service == "dynamodb").then(|| Answer::Say(200, empty.to_owned()))
    });
    let accounts = dynamodb::items("accounts").key::<String>("id").assume_role(shop());
    let accounts = cache.memo_from("accounts", accounts).build().unwrap();
    accounts.get(&"42".to_owned()).await.unwrap_err();
    assert_eq!(count(&world.aws.calls()), (0, 1));
}

#[tokio::test]
async fn a_service_is_asked_with_what_sts_gave() {
    let world = World::new();
    let ssm = aws_sdk_ssm::Client::new(&world.aws.direct(HOME));
    let put = ssm.put_parameter().name("/app/x").value("theirs").r#type("String".into());
    put.send().await.unwrap();
    let mut builder = world.builder();
    let own = ssm::parameter("/app/x").name("own").max_age(HOUR);
    let own = builder.add(own);
    let role = Role::new(READER).external_id("shop").session_duration(HOUR);
    let theirs = builder.add(ssm::parameter("/app/x").assume_role(role));
    let snapshot = builder.spawn().await.unwrap().snapshot().await;
    assert_eq!(snapshot.get(own).unwrap(), snapshot.get(theirs).unwrap());
    let calls = world.aws.calls();
    assert_eq!(count(&calls), (1, 2));
    let mut keys: Vec<_> = calls.iter().map(|call| (&*call.service, &*call.access_key)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3, "STS and one read have the function's own key: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_before_they_expire_and_not_sooner() {
    let world = world();
    let mut builder = builder(&world);
    let theirs = builder.add(ssm::parameter("/app/x").assume_role(READER));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(count(&world.aws.calls()), (1, 1));
    for _ in 0..59 {
        world.clock.freeze(MINUTE);
        cache.snapshot().await.get(theirs).unwrap();
    }
    assert_eq!(count(&world.aws.calls()), (0, 59));
    world.clock.freeze(MINUTE - SECOND);
    cache.refresh(theirs).await.unwrap();
    assert_eq!(count(&world.aws.calls()), (1, 1), "a second before they expire");
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_assumed_is_the_error_of_its_entries_alone() {
    let world = world();
    let mut builder = builder(&world);
    let own = builder.add(ssm::parameter("/app/x"));
    let theirs = builder.add(ssm::parameter("/app/y").assume_role(READER).lazy());
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|call| match &*call.service {
        "sts" => Some(Answer::Say(
            403,
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
             <Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>"
                .to_owned(),
        )),
        _ => Some(parameters(call)),
    });
    let error = cache.get(theirs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let text = error.to_string();
    assert!(text.contains("entry \"y\"") && text.contains("sts:AssumeRole"), "{text}");
    cache.refresh(own).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_assumption_that_hangs_has_the_fetchs_deadline() {
    let world = world();
    let mut builder = builder(&world).operation_timeout(2 * SECOND);
    let theirs = builder.add(ssm::parameter("/app/x").assume_role(READER).lazy());
    let cache = builder.spawn().await.unwrap();
    world.aws.script(|call| (call.service == "sts").then_some(Answer::Never));
    let before = world.clock.now().monotonic();
    assert_eq!(cache.get(theirs).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(
        world.clock.now().monotonic() - before <= 2 * SECOND + Duration::from_millis(1),
        "{:?}",
        world.clock.now().monotonic() - before
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_the_role_is_assumed_anew() {
    let world = world();
    let mut builder = builder(&world).mode(Mode::SnapStart);
    let theirs = builder.add(ssm::parameter("/app/x").assume_role(READER));
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &world.clock);
    world.aws.calls();
    invocations.before_snapshot().await.unwrap();
    invocations.after_restore().await.unwrap();
    cache.get(theirs).await.unwrap();
    assert_eq!(count(&world.aws.calls()), (1, 1));
}

#[tokio::test]
async fn what_sts_would_refuse_is_an_error_when_declared() {
    let world = World::new();
    let role = || Role::new(READER);
    for (wrong, expected) in [
        ("".into(), "ARN of a role"),
        ("reader".into(), "ARN of a role"),
        ("arn:aws:iam::111122223333:user/me".into(), "ARN of a role"),
        (role().external_id("hush hush"), "external id"),
        (role().session_name("a b"), "session name"),
        (role().session_duration(MINUTE), "15 minutes to 12 hours"),
        (role().session_tag("aws:x", "y"), "session tag"),
    ] {
        let mut builder = builder(&world);
        builder.add(ssm::parameter("/app/x").assume_role(wrong));
        let error = builder.spawn().await.unwrap_err();
        assert_eq!(error.others()[0].kind(), ErrorKind::Declaration);
        assert_eq!(error.others()[0].entry(), Some("x"));
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
    let wrong =
        dynamodb::items("accounts").key::<String>("id").assume_role(role().session_name("a b"));
    let cache = builder(&world).spawn().await.unwrap();
    let error = cache.memo_from("memo", wrong).build().unwrap_err();
    assert!(error.to_string().contains("session name"), "{error}");
    assert!(world.aws.calls().is_empty());
}
