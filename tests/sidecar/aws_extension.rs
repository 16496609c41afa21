//! What clients name, served as AWS's Parameters and Secrets extension serves it.

use serde_json::{Value as Json, json};

use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::sidecar::setup;

#[tokio::test]
async fn a_secret_is_served_with_all_of_its_fields() {
    let cloud = Cloud::start().await;
    cloud.put_secret("/prod/db", "hush").await;
    let sidecar = setup("").start(&cloud).await;
    let reply = sidecar.named("/secretsmanager/get?secretId=%2Fprod%2Fdb").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let secret = reply.json();
    let fields: Vec<_> = secret.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "ARN",
        "CreatedDate",
        "Name",
        "SecretBinary",
        "SecretString",
        "VersionId",
        "VersionStages",
        "ResultMetadata",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert_eq!(secret["SecretString"], "hush");
    assert_eq!(secret["SecretBinary"], Json::Null);
    assert_eq!(secret["VersionStages"], json!(["AWSCURRENT"]));
    assert_eq!(secret["ResultMetadata"], json!({}));
    assert!(secret["CreatedDate"].as_str().unwrap().ends_with('Z'));

    sidecar.named("/secretsmanager/get?secretId=/prod/db").await;
    assert_eq!(cloud.operations(), ["GetSecretValue"], "the second one was a hit");
}

#[tokio::test]
async fn a_parameter_is_served_with_all_of_its_fields() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("/app/x", "hush").await;
    let sidecar = setup("").start(&cloud).await;
    let reply = sidecar.named("/systemsmanager/parameters/get?name=%2Fapp%2Fx").await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    let parameter = &answer["Parameter"];
    assert_eq!(parameter["Value"], "hush");
    assert_eq!(parameter["Name"], "/app/x");
    assert_eq!(parameter["Type"], "String");
    assert_eq!(parameter["Version"], 1);
    assert_eq!(parameter["Selector"], Json::Null);
    assert_eq!(answer["ResultMetadata"], json!({}));
}

#[tokio::test]
async fn clients_may_have_a_slash_too_many() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    let sidecar = setup("").start(&cloud).await;
    for path in [
        "/systemsmanager/parameters/get/?name=p&withDecryption=True",
        "//systemsmanager/parameters/get?name=p",
        "/secretsmanager/get/?secretId=s",
        "//secretsmanager/get?secretId=s",
    ] {
        assert_eq!(sidecar.named(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_what_the_service_is_asked_for() {
    let cloud = Cloud::start().await;
    cloud.aws.fail(400, "ParameterNotFound");
    let sidecar = setup("").start(&cloud).await;
    for (path, asked) in [
        ("/systemsmanager/parameters/get?name=a", json!({"Name": "a", "WithDecryption": false})),
        (
            "/systemsmanager/parameters/get?name=a&version=3&withDecryption=true",
            json!({"Name": "a:3", "WithDecryption": true}),
        ),
        (
            "/systemsmanager/parameters/get?name=a&label=blue",
            json!({"Name": "a:blue", "WithDecryption": false}),
        ),
        // Of both the first counts, as AWS documents it.
        (
            "/systemsmanager/parameters/get?name=b&version=3&label=blue",
            json!({"Name": "b:3", "WithDecryption": false}),
        ),
        (
            "/systemsmanager/parameters/get?label=blue&name=b&version=3",
            json!({"Name": "b:blue", "WithDecryption": false}),
        ),
        (
            "/systemsmanager/parameters/get?name=c&version=&label=blue",
            json!({"Name": "c:blue", "WithDecryption": false}),
        ),
        (
            "/systemsmanager/parameters/get?name=c&label=&version=",
            json!({"Name": "c", "WithDecryption": false}),
        ),
        ("/secretsmanager/get?secretId=s&versionId=v", json!({"SecretId": "s", "VersionId": "v"})),
        (
            "/secretsmanager/get?secretId=s&versionStage=AWSPREVIOUS&versionId=",
            json!({"SecretId": "s", "VersionStage": "AWSPREVIOUS"}),
        ),
        (
            "/secretsmanager/get?secretId=s&versionId=v&versionStage=AWSPENDING",
            json!({"SecretId": "s", "VersionId": "v", "VersionStage": "AWSPENDING"}),
        ),
    ] {
        sidecar.named(path).await;
        let calls = cloud.aws.calls();
        assert_eq!(calls.iter().map(|it| it.body.clone()).collect::<Vec<_>>(), [asked], "{path}");
    }
}

#[tokio::test]
async fn errors_carry_the_services_own_status_and_words() {
    let cloud = Cloud::start().await;
    let sidecar = setup("").start(&cloud).await;
    let words = json!({"__type": "AccessDeniedException", "Message": "you may not"});
    let said = words.to_string();
    cloud.aws.script(move |_| Some(Answer::Say(400, said.clone())));
    let reply = sidecar.named("/secretsmanager/get?secretId=a").await;
    assert_eq!((reply.status, reply.json()), (400, words));
    cloud.aws.script(|_| Some(Answer::Break));
    let reply = sidecar.named("/secretsmanager/get?secretId=a").await;
    assert_eq!((reply.status, &reply.json()["__type"]), (502, &json!("ConnectionError")));
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_an_error_to_the_client_too() {
    let cloud = Cloud::start().await;
    let sidecar = setup("").start(&cloud).await;
    let paths = ["/secretsmanager/get?secretId=a", "/systemsmanager/parameters/get?name=a"];
    for said in ["<html>", r#"{"Parameters": [{"Na"#, "[]"] {
        cloud.aws.script(move |_| Some(Answer::Say(200, said.to_owned())));
        for path in paths {
            let reply = sidecar.named(path).await;
            let expected = json!({"__type": "ConnectionError", "message": "Response Error"});
            assert_eq!((reply.status, reply.json()), (502, expected), "{path} {said}");
        }
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_its_time_is_a_timeout() {
    let cloud = Cloud::start().await;
    let sidecar = setup("").variable("SSM_PARAMETER_STORE_TIMEOUT_MILLIS", 50).start(&cloud).await;
    cloud.aws.script(|_| Some(Answer::Never));
    let reply = sidecar.named("/systemsmanager/parameters/get?name=a").await;
    let timeout = json!({"__type": "TimeoutError", "message": "Timeout"});
    assert_eq!((reply.status, reply.json()), (504, timeout));
}

#[tokio::test]
async fn refresh_now_fetches_and_what_it_brings_is_served_from_then_on() {
    let cloud = Cloud::start().await;
    cloud.put_secret("s", "hush 1").await;
    let sidecar = setup("").start(&cloud).await;
    sidecar.named("/secretsmanager/get?secretId=s").await;
    cloud.put_secret("s", "hush 2").await;
    let value = async |query: &str| {
        let reply = sidecar.named(&format!("/secretsmanager/get?secretId=s{query}")).await;
        reply.json()["SecretString"].as_str().unwrap().to_owned()
    };
    assert_eq!(value("").await, "hush 1");
    assert_eq!(value("&refreshNow=true").await, "hush 2");
    assert_eq!(value("&refreshNow=false").await, "hush 2");
    assert_eq!(cloud.operations(), ["GetSecretValue"; 2]);
}

#[tokio::test]
async fn without_a_ttl_or_a_cache_every_request_fetches() {
    for (name, value) in [
        ("SECRETS_MANAGER_TTL", "0"),
        ("PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED", "false"),
        ("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", "0"),
    ] {
        let cloud = Cloud::start().await;
        cloud.put_secret("s", "hush").await;
        let sidecar = setup("").variable(name, value).start(&cloud).await;
        for _ in 0..3 {
            let reply = sidecar.named("/secretsmanager/get?secretId=s").await;
            assert_eq!(reply.json()["SecretString"], "hush", "{name}");
        }
        assert_eq!(cloud.operations(), ["GetSecretValue"; 3], "{name}");
    }
}
