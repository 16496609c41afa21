//! What there is none of, and what is kept of that.

use std::time::Duration;

use serde_json::json;

use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::sidecar::{Setup, setup};

const SECRET: &str = "/secretsmanager/get?secretId=s";
const PARAMETER: &str = "/systemsmanager/parameters/get?name=p";
const BOTH: [&str; 2] = [SECRET, PARAMETER];

fn keeps_for(seconds: u64) -> Setup {
    setup("").variable("LAMBDA_CACHE_NOT_FOUND_TTL", seconds)
}

#[tokio::test]
async fn that_there_is_none_is_not_kept_unless_that_is_wanted() {
    let cloud = Cloud::start().await;
    let sidecar = setup("").start(&cloud).await;
    for _ in 0..3 {
        assert_eq!(sidecar.named(SECRET).await.status, 400);
    }
    assert_eq!(cloud.operations(), ["GetSecretValue"; 3]);
}

#[tokio::test]
async fn that_there_is_none_is_kept_for_its_time_with_the_services_words() {
    let cloud = Cloud::start().await;
    let sidecar = keeps_for(3600).start(&cloud).await;
    for path in BOTH {
        let first = sidecar.named(path).await;
        assert_eq!(first.status, 400);
        let kind = first.json()["__type"].as_str().unwrap().to_owned();
        assert!(kind.ends_with("NotFound") || kind.ends_with("NotFoundException"), "{kind}");
        for _ in 0..3 {
            let again = sidecar.named(path).await;
            assert_eq!((again.status, again.json()), (400, first.json()));
        }
    }
    assert_eq!(cloud.operations(), ["GetSecretValue", "GetParameter"]);
    let log = sidecar.log();
    assert_eq!(log.lines().filter(|line| line.contains("WARN")).count(), 2, "a line each:\n{log}");
    // Who cannot wait asks for now.
    cloud.put_secret("s", "hush").await;
    assert_eq!(sidecar.named(&format!("{SECRET}&refreshNow=true")).await.status, 200);
    assert_eq!(sidecar.named(SECRET).await.json()["SecretString"], "hush");
}

#[tokio::test]
async fn after_its_time_what_has_come_to_be_is_found() {
    let cloud = Cloud::start().await;
    let sidecar = keeps_for(1).start(&cloud).await;
    assert_eq!(sidecar.named(SECRET).await.status, 400);
    cloud.put_secret("s", "hush").await;
    let found = async {
        while sidecar.named(SECRET).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("it asks again");
    assert_eq!(cloud.operations(), ["GetSecretValue"; 2]);
}

#[tokio::test]
async fn no_other_error_is_kept() {
    let cloud = Cloud::start().await;
    let sidecar = keeps_for(3600).start(&cloud).await;
    for code in ["AccessDeniedException", "ThrottlingException", "InvalidRequestException"] {
        let said = json!({"__type": code, "message": "as the test said"}).to_string();
        cloud.aws.script(move |_| Some(Answer::Say(400, said.clone())));
        cloud.operations();
        for _ in 0..3 {
            assert_eq!(sidecar.named(PARAMETER).await.json()["__type"], code);
        }
        let calls = cloud.operations().len();
        assert!(calls >= 3, "{calls} calls for 3 requests: {code}");
    }
}
