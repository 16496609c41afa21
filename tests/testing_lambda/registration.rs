use lambda_cache::testing::Lambda;

use crate::client::{Client, EXTENSION, register, send, start};

#[tokio::test]
async fn an_extension_is_told_its_id_and_the_function() {
    let lambda = start(Lambda::builder().function_name("prices"));

    let answer = register(&lambda, "cache", &["INVOKE"]).await;

    assert_eq!(answer.status, 200);
    assert!(answer.header("Lambda-Extension-Identifier").is_some());
    let about = answer.json();
    assert_eq!(about["functionName"], "prices");
    assert_eq!(about["functionVersion"], "$LATEST");
    assert!(about["handler"].is_string());
    assert!(about.get("accountId").is_none());
    let extensions = lambda.extensions();
    assert_eq!(extensions.len(), 1);
    assert_eq!(extensions[0].name, "cache");
    assert_eq!(extensions[0].events, ["INVOKE"]);
}

#[tokio::test]
async fn the_account_is_told_to_those_who_accept_it() {
    let lambda = start(Lambda::builder());
    let headers = "lambda-extension-name: a\r\nlambda-extension-accept-feature: x, accountId\r\n";
    let path = format!("{EXTENSION}/register");
    let answer = send(&lambda, "POST", &path, headers, r#"{"events":[]}"#).await.answered().await;
    assert_eq!(answer.json()["accountId"], "123456789012");
}

#[tokio::test]
async fn an_internal_extension_gets_no_shutdown_and_an_external_one_does() {
    let lambda = start(Lambda::builder().external_extension("agent"));

    let refusal = register(&lambda, "cache", &["INVOKE", "SHUTDOWN"]).await;
    assert_eq!(refusal.error_type(), (403, "Extension.InvalidEventType".to_owned()));
    assert!(refusal.body.contains("ShutdownEventNotSupportedForInternalExtension"));

    assert_eq!(register(&lambda, "agent", &["INVOKE", "SHUTDOWN"]).await.status, 200);
    assert_eq!(lambda.counts().refused, 1);
    assert_eq!(lambda.extensions().len(), 1);
}

#[tokio::test]
async fn what_is_no_registration_is_refused() {
    let lambda = start(Lambda::builder());
    let path = format!("{EXTENSION}/register");

    let answer = send(&lambda, "POST", &path, "", r#"{"events":[]}"#).await.answered().await;
    assert_eq!(answer.error_type(), (403, "Extension.InvalidExtensionName".to_owned()));

    let named = "lambda-extension-name: a\r\n";
    for body in ["", "[]", r#"{"events":"INVOKE"}"#, r#"{"events":[1]}"#] {
        let answer = send(&lambda, "POST", &path, named, body).await.answered().await;
        assert_eq!(answer.error_type(), (403, "InvalidRequestFormat".to_owned()), "{body}");
    }

    let answer = register(&lambda, "a", &["INIT"]).await;
    assert_eq!(answer.error_type(), (403, "Extension.InvalidEventType".to_owned()));
}

#[tokio::test]
async fn a_name_registers_once() {
    let lambda = start(Lambda::builder());
    assert_eq!(register(&lambda, "cache", &[]).await.status, 200);
    let refusal = register(&lambda, "cache", &[]).await;
    assert_eq!(refusal.error_type(), (403, "Extension.InvalidExtensionState".to_owned()));
}

#[tokio::test]
async fn the_eleventh_extension_is_refused() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    for number in 1..=9 {
        assert_eq!(register(&lambda, &format!("internal-{number}"), &["INVOKE"]).await.status, 200);
    }
    let refusal = register(&lambda, "internal-10", &["INVOKE"]).await;
    assert_eq!(refusal.error_type(), (403, "Extension.TooManyExtensions".to_owned()));
    assert_eq!(register(&lambda, "agent", &[]).await.status, 200);
}

#[tokio::test]
async fn registration_closes_when_the_runtime_first_asks() {
    let lambda = start(Lambda::builder());
    let _question = Client::runtime(&lambda).asks().await;
    let refusal = register(&lambda, "late", &["INVOKE"]).await;
    assert_eq!(refusal.error_type(), (403, "Extension.RegistrationClosed".to_owned()));
}

#[tokio::test]
async fn who_is_not_registered_gets_no_events() {
    let lambda = start(Lambda::builder());
    let answer = Client::unknown_extension(&lambda).next().await;
    assert_eq!(answer.error_type(), (403, "Extension.UnknownExtensionIdentifier".to_owned()));
}
