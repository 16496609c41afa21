//! A process that lacks what every call to AWS needs: a region, credentials, and an endpoint that can be.

use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::sidecar::{Setup, Sidecar, setup};

const PARAMETER: &str = "/systemsmanager/parameters/get?name=p";
const SECRET: &str = "/secretsmanager/get?secretId=s";

fn declares_one() -> Setup {
    // No service of this machine's shall be asked.
    setup("parameters: [{names: [p]}]").variable("AWS_EC2_METADATA_DISABLED", "true")
}

/// What both ports answer, which must not be mistaken for a service that cannot be reached: a 500 that
/// says what is missing.
async fn says(sidecar: &Sidecar, missing: &str) {
    for path in [PARAMETER, SECRET] {
        let reply = sidecar.named(path).await;
        let body = reply.json();
        assert_eq!((reply.status, &body["__type"]), (500, &"InternalFailure".into()), "{reply:?}");
        assert!(body["message"].as_str().is_some_and(|it| it.contains(missing)), "{body}");
    }
    let reply = sidecar.get("/parameters?name=p").await;
    assert_eq!((reply.status, reply.text()), (500, "No data found"));
    let reason = reply.header("x-lambda-cache-error").expect("a reason");
    assert!(reason.contains(missing), "{reason}");
}

#[tokio::test]
async fn without_a_region_both_ports_say_that_it_is_missing() {
    let cloud = Cloud::start().await;
    let sidecar = declares_one().without("AWS_REGION").start(&cloud).await;
    says(&sidecar, "AWS_REGION").await;
    assert!(sidecar.log().contains("AWS_REGION"), "{}", sidecar.log());
    assert_eq!(cloud.operations(), [""; 0]);
}

#[tokio::test]
async fn without_credentials_both_ports_say_that_they_are_missing() {
    let cloud = Cloud::start().await;
    let sidecar = declares_one()
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .without("AWS_SESSION_TOKEN")
        .variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", crate::sidecar::TOKEN)
        .start(&cloud)
        .await;
    says(&sidecar, "AWS_ACCESS_KEY_ID").await;
    assert_eq!(cloud.operations(), [""; 0]);
}

#[tokio::test]
async fn credentials_that_cannot_be_loaded_are_missing_too() {
    let cloud = Cloud::start().await;
    let sidecar = declares_one()
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .variable("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "info")
        .variable("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/file")
        .variable("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/reader")
        .start(&cloud)
        .await;
    says(&sidecar, "no credentials").await;
    assert_eq!(cloud.operations(), [""; 0]);
    let log = sidecar.log();
    let lines = log.lines().filter(|line| line.contains("No such file"));
    assert_eq!(lines.count(), 3, "one for each failure:\n{log}");
}

#[tokio::test]
async fn a_region_or_an_endpoint_that_cannot_be_is_said_to_be_so() {
    let cloud = Cloud::start().await;
    for (name, value, words) in [
        ("AWS_REGION", "EU WEST", "AWS_REGION"),
        ("AWS_ENDPOINT_URL", "not a url", "AWS_ENDPOINT_URL"),
    ] {
        let sidecar = declares_one().variable(name, value).start(&cloud).await;
        says(&sidecar, words).await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_a_refusal_and_nothing_that_is_missing() {
    let cloud = Cloud::start().await;
    let config = "parameters: [{names: [p], role: 'arn:aws:iam::111122223333:role/reader'}]";
    let sidecar = setup(config).start(&cloud).await;
    cloud.aws.script(|call| {
        let said = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        (call.service == "sts").then(|| Answer::Say(403, said.to_owned()))
    });
    let reply = sidecar.get("/parameters?name=p").await;
    assert_eq!((reply.status, reply.text()), (502, "No data found"));
    let reason = reply.header("x-lambda-cache-error").expect("a reason");
    assert!(reason.contains("AccessDenied") && !reason.contains("no credentials"), "{reason}");
}
