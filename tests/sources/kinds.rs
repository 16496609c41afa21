//! What a service's error code and its words come to, whichever service it is.

use lambda_cache::sources::{appconfig, dynamodb, secrets_manager, ssm};
use lambda_cache::{Error, ErrorKind};
use serde_json::json;

use crate::aws::Answer;
use crate::fixture::World;

/// The errors of an entry of each service of a JSON protocol, all of which answer so.
async fn errors(code: &'static str, member: &'static str) -> Vec<Error> {
    let world = World::new();
    world.aws.script(move |_| {
        let body = json!({ "__type": code, member: "in the service's words" });
        Some(Answer::Say(400, body.to_string()))
    });
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/x"));
    builder.add(ssm::path("/app/").name("tree"));
    builder.add(secrets_manager::secret("secret"));
    builder.add(dynamodb::item("accounts").key("id", "1"));
    builder.add(dynamodb::query("accounts").key("id", "1").name("query"));
    builder.add(appconfig::configuration("shop", "production", "settings"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others().len(), 6, "{error}");
    error.others().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_fewer_requests_is_throttling_whatever_it_calls_it() {
    for code in [
        "ThrottledException",
        "ThrottlingException",
        "RequestThrottled",
        "RequestThrottledException",
        "LimitExceededException",
        "TooManyRequestsException",
    ] {
        for error in errors(code, "message").await {
            assert_eq!(error.kind(), ErrorKind::Throttled, "{code}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_a_denial_and_the_advice_fits() {
    for code in [
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "AuthFailure",
        "NotAuthorized",
        "UnrecognizedClientException",
        "ExpiredTokenException",
    ] {
        for error in errors(code, "message").await {
            assert_eq!(error.kind(), ErrorKind::Denied, "{code}: {error}");
            assert!(error.to_string().contains("check the credentials"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_services_words_are_in_the_error_in_whichever_case_it_names_them() {
    for code in ["AccessDeniedException", "ValidationException", "InvalidKeyId", "SomethingElse"] {
        for member in ["message", "Message"] {
            for error in errors(code, member).await {
                let text = error.to_string();
                assert!(text.contains(code), "{member}: {text}");
                assert!(text.contains("in the service's words"), "{member}: {text}");
            }
        }
    }
}
