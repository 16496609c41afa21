use lambda_cache::testing::{Fault, Lambda};

use crate::client::{Client, EXTENSION, send, start};

#[tokio::test]
async fn the_next_answers_are_the_faults_and_then_the_event() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let _next = Client::runtime(&lambda).asks().await;
    lambda.fail_next("another", Fault::Close);
    lambda.fail_next("cache", Fault::refused());
    lambda.fail_next("cache", Fault::Status(500, "sorry".to_owned()));
    lambda.fail_next("cache", Fault::Malformed("{\"eventType\":\"LUNCH\"}".to_owned()));
    lambda.fail_next("cache", Fault::Close);

    assert_eq!(extension.next().await.status, 403);
    assert!(!lambda.extensions()[0].is_asking);
    let failure = extension.next().await;
    assert_eq!((failure.status, &*failure.body), (500, "sorry"));
    let malformed = extension.next().await;
    assert_eq!((malformed.status, malformed.json()["eventType"].as_str()), (200, Some("LUNCH")));
    assert!(extension.asks().await.answer().await.is_none());
    assert!(lambda.extensions()[0].is_asking);

    let invocation = lambda.invocation("ping").start().unwrap();
    assert_eq!(extension.next().await.json()["requestId"], invocation.request_id());
}

#[tokio::test]
async fn who_is_asking_gets_the_fault_now() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let question = extension.asks().await;
    lambda.fail_next("cache", Fault::Close);
    assert!(question.answer().await.is_none());

    let question = extension.asks().await;
    lambda.fail_next("cache", Fault::failed());
    assert_eq!(question.answered().await.status, 500);
}

#[tokio::test]
async fn a_registration_can_fail() {
    let lambda = start(Lambda::builder());
    let path = format!("{EXTENSION}/register");
    let register = || send(&lambda, "POST", &path, "lambda-extension-name: a\r\n", "{}");
    lambda.fail_register(Fault::failed());
    lambda.fail_register(Fault::Close);
    lambda.fail_register(Fault::Malformed("?".to_owned()));

    assert_eq!(register().await.answered().await.status, 500);
    assert!(register().await.answer().await.is_none());
    let malformed = register().await.answered().await;
    assert_eq!((malformed.status, &*malformed.body), (200, "?"));
    assert!(malformed.header("lambda-extension-identifier").is_none());
    assert!(lambda.extensions().is_empty());
    assert_eq!(register().await.answered().await.status, 200);
}
