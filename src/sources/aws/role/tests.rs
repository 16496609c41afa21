//! What STS takes and what it does not, by the API reference of AssumeRole.

use super::*;

const READER: &str = "arn:aws:iam::111122223333:role/reader";

#[test]
fn a_role_is_told_by_its_arn() {
    assert!(is_role(READER));
    assert!(is_role("arn:aws-cn:iam::111122223333:role/path/reader"));
    for wrong in [
        "reader",
        "arn:aws:iam::111122223333:user/me",
        "arn:aws:iam::1:role/reader",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/reader ",
    ] {
        assert!(!is_role(wrong), "{wrong}");
    }
}

fn session_name(function: &str) -> String {
    Role::new(READER).session_name_in(Some(function.to_owned())).into_owned()
}

#[test]
fn a_session_is_called_as_its_function_is_as_far_as_sts_takes_it() {
    assert_eq!(session_name("shop-frontend_2"), "shop-frontend_2");
    assert_eq!(session_name("a"), "a-lambda");
    assert_eq!(session_name("a b/ü:$LATEST"), "a-b----LATEST");
    assert_eq!(session_name(&"f".repeat(100)), "f".repeat(64));
    assert_eq!(session_name(""), DEFAULT_SESSION);
    for name in ["a", "a b/ü", &"f".repeat(100), ""] {
        assert_eq!(Role::new(READER).session_name(session_name(name)).check(), Ok(()));
    }
    assert_eq!(Role::new(READER).session_name_in(None), DEFAULT_SESSION);
    let named = Role::new(READER).session_name("mine");
    assert_eq!(named.session_name_in(Some("function".to_owned())), "mine");
}

#[test]
fn everything_that_sts_takes_is_taken() {
    let role = |it: fn(Role) -> Role| it(Role::new(READER)).check();
    assert_eq!(role(|it| it), Ok(()));
    assert_eq!(role(|it| it.external_id("aZ0_+=,.@:/-")), Ok(()));
    assert_eq!(role(|it| it.external_id("x".repeat(1224))), Ok(()));
    assert_eq!(role(|it| it.session_name("aZ0_+=,.@-")), Ok(()));
    assert_eq!(role(|it| it.session_duration(Duration::from_secs(900))), Ok(()));
    assert_eq!(role(|it| it.session_duration(Duration::from_secs(43_200))), Ok(()));
    assert_eq!(role(|it| it.session_tag("Größe ２/_.:/=+-@", "")), Ok(()));
    assert_eq!(role(|it| it.session_tag("k".repeat(128), "v".repeat(256))), Ok(()));
    assert_eq!(role(|it| (0..50).fold(it, |it, n| it.session_tag(n.to_string(), "x"))), Ok(()));
}

#[test]
fn what_sts_would_refuse_is_refused_and_says_what_is_allowed() {
    let refused = |it: fn(Role) -> Role, expected: &str| {
        let problem = it(Role::new(READER)).check().expect_err(expected);
        assert!(problem.starts_with("role arn:aws:iam::111122223333:role/reader: "), "{problem}");
        assert!(problem.contains(expected), "{problem}");
    };
    refused(|it| it.external_id("x"), "the external id: 2 to 1224 letters");
    refused(|it| it.external_id("x".repeat(1225)), "the external id: 2 to 1224 letters");
    refused(|it| it.external_id("x y"), "the external id: 2 to 1224 letters");
    refused(|it| it.session_name("x"), "the session name \"x\": 2 to 64 letters");
    refused(|it| it.session_name("x".repeat(65)), "2 to 64 letters");
    refused(|it| it.session_name("a:b"), "the session name \"a:b\": 2 to 64 letters");
    refused(|it| it.session_name("äö"), "2 to 64 letters");
    refused(|it| it.session_duration(Duration::from_secs(899)), "899s: 15 minutes");
    refused(|it| it.session_duration(Duration::from_secs(43_201)), "12 hours");
    refused(|it| it.session_duration(Duration::from_millis(1_000_500)), "whole seconds");
    refused(|it| it.session_tag("", "x"), "the session tag's key \"\": 1 to 128 letters");
    refused(|it| it.session_tag("a!", "x"), "the session tag's key \"a!\"");
    refused(|it| it.session_tag("a\t", "x"), "1 to 128 letters");
    refused(|it| it.session_tag("k".repeat(129), "x"), "1 to 128 letters");
    refused(|it| it.session_tag("a", "!"), "the value of the session tag \"a\": 0 to 256");
    refused(|it| it.session_tag("a", "v".repeat(257)), "0 to 256");
    refused(|it| it.session_tag("AWS:a", "x"), "AWS keeps aws: for itself");
    refused(|it| it.session_tag("Team", "x").session_tag("team", "y"), "with the key \"team\"");
    refused(
        |it| (0..51).fold(it, |it, n| it.session_tag(n.to_string(), "x")),
        "51 session tags, where 50 are allowed",
    );
}

#[test]
fn the_order_of_tags_makes_no_other_role_and_an_external_id_is_not_printed() {
    let role = Role::new(READER).external_id("hush");
    let one = role.clone().session_tag("a", "1").session_tag("b", "2");
    assert_eq!(one, role.clone().session_tag("b", "2").session_tag("a", "1"));
    assert_ne!(one, role);
    assert_ne!(role, Role::new(READER));
    assert!(!format!("{role:?}").contains("hush"));
}
