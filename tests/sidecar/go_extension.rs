//! What config.yaml declares, served as the Go extension serves it.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue as Value, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};

use crate::aws::{Answer, HOME};
use crate::cloud::Cloud;
use crate::sidecar::setup;

/// The Go extension's own example.
const GO: &str = "
parameters:
  - region: us-west-2
    names:
      - CacheExtensions_Parameter1
dynamodb:
  - table: DynamoDbTable
    hashkey: pKey
    hashkeytype: S
    hashkeyvalue: pKey1
    sortkey: sKey
    sortkeytype: S
    sortkeyvalue: sKey1
";

async fn put_item(cloud: &Cloud, more: impl IntoIterator<Item = (&'static str, Value)>) {
    let dynamodb = aws_sdk_dynamodb::Client::new(&cloud.aws.direct(HOME));
    let keys = [("pKey", KeyType::Hash), ("sKey", KeyType::Range)];
    let mut table = dynamodb.create_table().table_name("DynamoDbTable");
    for (name, kind) in keys {
        let definition = AttributeDefinition::builder().attribute_name(name);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        table = table.attribute_definitions(definition).key_schema(key.build().unwrap());
    }
    table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    let mut put = dynamodb.put_item().table_name("DynamoDbTable");
    put = put.item("pKey", Value::S("pKey1".into())).item("sKey", Value::S("sKey1".into()));
    for (name, value) in more {
        put = put.item(name, value);
    }
    put.send().await.unwrap();
}

#[tokio::test]
async fn the_go_extensions_own_example_is_served() {
    let cloud = Cloud::start().await;
    cloud.put_parameter_in("us-west-2", "CacheExtensions_Parameter1", "hush, a parameter").await;
    put_item(&cloud, [("Data", Value::S("hush goes here".into()))]).await;
    let sidecar = setup(GO).start(&cloud).await;
    assert!(cloud.aws.calls().is_empty(), "nothing is fetched before it is asked for");

    let reply = sidecar.get("/parameters?name=CacheExtensions_Parameter1").await;
    assert_eq!((reply.status, reply.text()), (200, "hush, a parameter"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let reply = sidecar.get("/dynamodb?name=DynamoDbTable-pKey1-sKey1").await;
    let item = r#"{"Data":"hush goes here","pKey":"pKey1","sKey":"sKey1"}"#;
    assert_eq!((reply.status, reply.text()), (200, item));
    let regions: Vec<_> = cloud.aws.calls().into_iter().map(|it| it.region).collect();
    assert_eq!(regions, ["us-west-2", HOME]);

    sidecar.get("/parameters?name=CacheExtensions_Parameter1").await;
    sidecar.get("/dynamodb?name=DynamoDbTable-pKey1-sKey1").await;
    assert!(cloud.aws.calls().is_empty(), "what is fresh is not fetched");
}

#[tokio::test]
async fn an_item_keeps_attributes_of_all_types() {
    let cloud = Cloud::start().await;
    let list = Value::L(vec![Value::N("1".into()), Value::Null(true), Value::Bool(false)]);
    let map = Value::M([("deep".to_owned(), list.clone())].into());
    let attributes = [
        ("number", Value::N("12345678901234567890.5".into())),
        ("bytes", Value::B(Blob::new(*b"hi"))),
        ("yes", Value::Bool(true)),
        ("nothing", Value::Null(true)),
        ("list", list),
        ("map", map),
        ("texts", Value::Ss(vec!["a".into()])),
        ("numbers", Value::Ns(vec!["7".into()])),
        ("blobs", Value::Bs(vec![Blob::new(*b"hi")])),
    ];
    put_item(&cloud, attributes).await;
    let sidecar = setup(GO).start(&cloud).await;
    let reply = sidecar.get("/dynamodb?name=DynamoDbTable-pKey1-sKey1").await;
    let expected = concat!(
        r#"{"blobs":["aGk="],"bytes":"aGk=","list":["1",null,false],"map":{"deep":["1",null,false]},"#,
        r#""nothing":null,"number":"12345678901234567890.5","numbers":["7"],"pKey":"pKey1","#,
        r#""sKey":"sKey1","texts":["a"],"yes":true}"#,
    );
    assert_eq!(reply.text(), expected);
}

#[tokio::test]
async fn what_is_not_declared_or_not_there_is_no_data() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("/app/other", "hush").await;
    let sidecar = setup("parameters: [{names: [/app/missing]}]").start(&cloud).await;
    for path in [
        "/parameters?name=/app/missing",
        "/parameters?name=/app/other",
        "/parameters?name=",
        "/secrets?name=/app/missing",
        "/anything?name=/app/missing",
    ] {
        let reply = sidecar.get(path).await;
        assert_eq!((reply.status, reply.text()), (200, "No data found"), "{path}");
    }
    let calls = cloud.aws.calls();
    assert!(calls.iter().all(|it| !it.text.contains("/app/other")), "{calls:?}");
    for path in ["/", "/parameters", "/parameters/x?name=y", "//?name=x"] {
        assert_eq!(sidecar.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_source_that_fails_is_an_error_that_no_client_takes_for_a_value() {
    let cloud = Cloud::start().await;
    let config = "parameters: [{names: [a]}, {names: [b], region: us-east-1}]";
    let sidecar = setup(config).start(&cloud).await;
    cloud.aws.script(|call| {
        let denied = call.region == HOME;
        Some(match denied {
            true => Answer::error(400, "AccessDeniedException"),
            false => Answer::error(400, "ThrottlingException"),
        })
    });
    for (name, status, word) in [("a", 502, "AccessDenied"), ("b", 503, "Throttling")] {
        let reply = sidecar.get(&format!("/parameters?name={name}")).await;
        assert_eq!((reply.status, reply.text()), (status, "No data found"));
        let reason = reply.header("x-lambda-cache-error").expect("a reason");
        assert!(reason.contains(word) && reason.contains("parameters/"), "{reason}");
    }
}

#[tokio::test]
async fn at_init_everything_is_loaded_in_one_call_and_what_fails_is_logged_and_served_as_such() {
    let cloud = Cloud::start().await;
    for name in ["a", "b", "c"] {
        cloud.put_parameter(name, "hush").await;
    }
    let config = "
parameters: [{names: [a, b, c, missing]}]
secrets: [{names: [denied]}]
";
    cloud.aws.script(|call| {
        (call.service == "secretsmanager").then(|| Answer::error(400, "AccessDeniedException"))
    });
    let sidecar =
        setup(config).variable("CACHE_EXTENSION_INIT_STARTUP", "true").start(&cloud).await;
    for name in ["a", "b", "c"] {
        assert_eq!(sidecar.get(&format!("/parameters?name={name}")).await.text(), "hush");
    }
    let calls = cloud.aws.calls();
    let parameters: Vec<_> = calls.iter().filter(|it| it.service == "ssm").collect();
    assert_eq!(parameters.len(), 1, "{parameters:?}");
    assert_eq!(sidecar.get("/secrets?name=denied").await.status, 502);
    let log = sidecar.log();
    for failed in ["parameters/missing", "secrets/denied"] {
        assert!(log.contains(failed), "{failed} is not in the log:\n{log}");
    }
}

#[tokio::test]
async fn secrets_and_objects_and_configurations_are_served_too() {
    let cloud = Cloud::start().await;
    let config = cloud.aws.direct(HOME);
    cloud.put_secret("/prod/text", "hush").await;
    let s3 = aws_sdk_s3::Client::new(&config);
    s3.create_bucket()
        .bucket("conf")
        .create_bucket_configuration(
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(HOME.into())
                .build(),
        )
        .send()
        .await
        .unwrap();
    s3.put_object().bucket("conf").key("a.bin").body(vec![0, 255].into()).send().await.unwrap();
    let config = "
secrets: [{names: [/prod/text]}, {names: [/prod/binary], name: binary}]
objects: [{uri: s3://conf/a.bin}]
configurations: [{application: shop, environment: prod, configuration: flags}]
";
    cloud.aws.script(|call| match (&*call.service, call.operation()) {
        ("secretsmanager", _) if call.text.contains("/prod/binary") => {
            let secret =
                r#"{"ARN":"arn:x","Name":"/prod/binary","VersionId":"v","SecretBinary":"AP8="}"#;
            Some(Answer::Say(
                200,
                match call.operation() {
                    "GetSecretValue" => secret.to_owned(),
                    _ => format!(r#"{{"SecretValues":[{secret}]}}"#),
                },
            ))
        }
        ("appconfig", _) if call.method == "POST" => {
            Some(Answer::Say(201, r#"{"InitialConfigurationToken":"t"}"#.to_owned()))
        }
        ("appconfig", _) => Some(Answer::Say(200, r#"{"on":true}"#.to_owned())),
        _ => None,
    });
    let sidecar = setup(config).start(&cloud).await;
    let reply = sidecar.get("/secrets?name=%2Fprod%2Ftext").await;
    assert_eq!((reply.status, reply.text()), (200, "hush"));
    for path in ["/secrets?name=binary", "/objects?name=s3://conf/a.bin"] {
        let reply = sidecar.get(path).await;
        assert_eq!((reply.status, &*reply.body), (200, &[0, 255][..]), "{path}");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    }
    let reply = sidecar.get("/configurations?name=shop-prod-flags").await;
    assert_eq!((reply.status, reply.text()), (200, r#"{"on":true}"#));
}

#[tokio::test]
async fn keys_of_all_three_types_are_asked_for_as_such() {
    let cloud = Cloud::start().await;
    let config = "
dynamodb:
  - {table: tab, hashkey: id, hashkeytype: N, hashkeyvalue: 007}
  - {table: tab, hashkey: id, hashkeytype: B, hashkeyvalue: aGk=}
  - {table: tab, hashkey: id, hashkeytype: S, hashkeyvalue: x, sortkey: at, sortkeytype: N, sortkeyvalue: -1.5}
";
    cloud.aws.fail(400, "ResourceNotFoundException");
    let sidecar = setup(config).start(&cloud).await;
    for (name, key) in [
        ("tab-007", r#"{"id":{"N":"7"}}"#),
        ("tab-aGk%3D", r#"{"id":{"B":"aGk="}}"#),
        ("tab-x--1.5", r#"{"at":{"N":"-1.5"},"id":{"S":"x"}}"#),
    ] {
        let reply = sidecar.get(&format!("/dynamodb?name={name}")).await;
        assert_eq!((reply.status, reply.text()), (200, "No data found"), "{name}");
        let asked: Vec<_> = cloud.aws.calls().into_iter().map(|it| it.body).collect();
        let asked = asked.iter().find_map(|it| match &it["Key"] {
            serde_json::Value::Null => it["RequestItems"]["tab"]["Keys"].get(0),
            key => Some(key),
        });
        assert_eq!(asked.expect("a key").to_string(), key);
    }
}

#[tokio::test]
async fn names_are_what_they_are_however_they_are_encoded() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("/app/a.b-c_d", "hush").await;
    let config =
        "parameters: [{names: [/app/a.b-c_d], name: 'm\u{fc}de & so on'}, {names: [/app/a.b-c_d]}]";
    let sidecar = setup(config).start(&cloud).await;
    for name in [
        "/app/a.b-c_d",
        "%2Fapp%2Fa.b-c_d",
        "%2fapp%2fa%2Eb-c_d",
        "m%C3%BCde+%26+so+on",
        "m%C3%BCde%20%26%20so%20on",
    ] {
        let reply = sidecar.get(&format!("/parameters?name={name}")).await;
        assert_eq!((reply.status, reply.text()), (200, "hush"), "{name}");
    }
    let reply = sidecar.get("/parameters?name=%FF").await;
    assert_eq!((reply.status, reply.text()), (400, "a query parameter is not UTF-8"));
}
