//! Every source against a real moto server: what winterbaume, in process, does not have. (moto has no
//! AppConfigData.)
#![cfg(all(feature = "dynamodb", feature = "s3", feature = "secrets-manager", feature = "ssm"))]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

#[path = "support/moto.rs"]
mod moto;
#[path = "support/process.rs"]
mod process;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_ssm::types::ParameterType;
use aws_types::region::Region;
use lambda_cache::sources::{Role, dynamodb, s3, secrets_manager, ssm};
use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Cache, ErrorKind, Mode};
use moto::{Moto, REGION};
use secrecy::ExposeSecret;
use serde::Deserialize;

const MINUTE: Duration = Duration::from_secs(60);
/// moto's own account.
const ACCOUNT: &str = "123456789012";

struct World {
    moto: Moto,
    config: SdkConfig,
    clock: TestClock,
    directory: PathBuf,
}

impl World {
    async fn new(name: &str) -> Self {
        let directory = process::directory(name);
        let moto = Moto::start(&directory).await;
        Self { config: moto.config(), moto, clock: TestClock::new(), directory }
    }

    fn builder(&self) -> Builder {
        Cache::builder(&self.config).clock(self.clock.clone()).mode(Mode::OnDemand).seed(1)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The log of a test that has failed is worth a look.
        if !std::thread::panicking() {
            _ = fs::remove_dir_all(&self.directory);
        }
    }
}

async fn put_parameter(config: &SdkConfig, name: &str, kind: ParameterType, value: &str) {
    let put = aws_sdk_ssm::Client::new(config).put_parameter();
    put.name(name).r#type(kind).value(value).overwrite(true).send().await.unwrap();
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER; .ci/run installs it"]
async fn parameters() {
    let world = World::new("moto-ssm").await;
    let client = aws_sdk_ssm::Client::new(&world.config);
    for text in ["one", "two", "three"] {
        put_parameter(&world.config, "/app/x", ParameterType::String, text).await;
    }
    let label = client.label_parameter_version().name("/app/x").parameter_version(2);
    label.labels("live").send().await.unwrap();
    put_parameter(&world.config, "/app/secret", ParameterType::SecureString, "hunter2").await;
    for n in 0..23 {
        let name = format!("/many/{n:02}");
        put_parameter(&world.config, &name, ParameterType::String, &name).await;
    }
    let secrets = aws_sdk_secretsmanager::Client::new(&world.config);
    secrets.create_secret().name("referenced").secret_string("told").send().await.unwrap();

    let mut builder = world.builder();
    let newest = builder.add(ssm::parameter("/app/x"));
    let first = builder.add(ssm::parameter("/app/x").version(1).name("first"));
    let live = builder.add(ssm::parameter("/app/x").label("live").name("live"));
    let gone = builder.add(ssm::parameter("/app/x").label("gone").name("gone").in_background());
    let third = builder.add(ssm::parameter("/app/x").version(3).name("third"));
    let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app/x");
    let by_arn = builder.add(ssm::parameter(arn).name("by arn"));
    let plain = builder.add(ssm::parameter("/app/secret").secret());
    let stored = ssm::parameter("/app/secret").without_decryption().name("stored");
    let stored = builder.add(stored);
    let through = ssm::parameter("/aws/reference/secretsmanager/referenced").name("through");
    let through = builder.add(through);
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(newest).unwrap(), "three");
    assert_eq!(snapshot.version(newest).unwrap().as_str(), "3");
    assert_eq!(snapshot.get(first).unwrap(), "one");
    assert_eq!(snapshot.get(live).unwrap(), "two");
    assert_eq!(cache.get(gone).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(snapshot.get(third).unwrap(), "three");
    assert_eq!(snapshot.get(by_arn).unwrap(), "three");
    assert_eq!(snapshot.get(plain).unwrap().expose_secret(), "hunter2");
    assert_ne!(snapshot.get(stored).unwrap(), "hunter2");
    assert_eq!(snapshot.get(through).unwrap(), "told");

    put_parameter(&world.config, "/app/x", ParameterType::String, "four").await;
    world.clock.advance(MINUTE);
    assert_eq!(cache.snapshot().await.get(newest).unwrap(), "four");

    let mut builder = world.builder();
    for n in 0..23 {
        builder.add(ssm::parameter(format!("/many/{n:02}")));
    }
    assert_eq!(builder.spawn().await.unwrap().status().api_calls(), 3);
    let mut builder = world.builder();
    let tree = builder.add(ssm::path("/many/").name("tree"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.get(tree).await.unwrap().len(), 23);
    assert_eq!(cache.status().api_calls(), 3, "three pages");
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER; .ci/run installs it"]
async fn accounts_and_regions() {
    let world = World::new("moto-sts").await;
    let arn = "arn:aws:iam::111122223333:role/reader";
    let role = AssumeRoleProvider::builder(arn)
        .session_name("test")
        .configure(&world.config.clone().into_builder().time_source(aws_time_source()).build());
    let theirs = SharedCredentialsProvider::new(role.build().await);
    let theirs = world.config.clone().into_builder().credentials_provider(theirs).build();
    let away = world.config.clone().into_builder().region(Region::new("us-east-1")).build();
    put_parameter(&world.config, "/app/x", ParameterType::String, "ours").await;
    put_parameter(&theirs, "/app/x", ParameterType::String, "theirs").await;
    put_parameter(&theirs, "/app/only", ParameterType::String, "only theirs").await;
    put_parameter(&away, "/app/x", ParameterType::String, "away").await;

    let mut builder = world.builder();
    let ours = builder.add(ssm::parameter("/app/x"));
    let role = Role::new(arn).external_id("shop").session_duration(Duration::from_secs(900));
    let role = role.session_tag("team", "shop");
    let theirs = ssm::parameter("/app/x").assume_role(role.clone()).name("theirs");
    let theirs = builder.add(theirs);
    let only = builder.add(ssm::parameter("/app/only").assume_role(role));
    let away = builder.add(ssm::parameter("/app/x").region("us-east-1").name("away"));
    let missing = builder.add(ssm::parameter("/app/only").name("missing").lazy());
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(ours).unwrap(), "ours");
    assert_eq!(snapshot.get(theirs).unwrap(), "theirs");
    assert_eq!(snapshot.get(only).unwrap(), "only theirs");
    assert_eq!(snapshot.get(away).unwrap(), "away");
    assert_eq!(cache.get(missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    let calls = cache.status().api_calls();
    assert_eq!(calls, 5, "three places, one role, and what is missing");
}

fn aws_time_source() -> aws_types::sdk_config::SharedTimeSource {
    aws_types::sdk_config::SharedTimeSource::default()
}

#[derive(Debug, Deserialize)]
struct Database {
    host: String,
    port: u16,
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER; .ci/run installs it"]
async fn secrets() {
    let world = World::new("moto-secrets").await;
    let client = aws_sdk_secretsmanager::Client::new(&world.config);
    let json = |port: u16| format!(r#"{{"host": "h", "port": {port}}}"#);
    let created =
        client.create_secret().name("prod/db").secret_string(json(1)).send().await.unwrap();
    let bytes = aws_sdk_secretsmanager::primitives::Blob::new([0, 159, 146, 150]);
    client.create_secret().name("prod/key").secret_binary(bytes).send().await.unwrap();
    for n in 0..23 {
        let create = client.create_secret().name(format!("many/{n:02}"));
        create.secret_string(n.to_string()).send().await.unwrap();
    }
    let secret = |name: &str| secrets_manager::secret(name);
    let first = created.version_id().unwrap().to_owned();

    let mut builder = world.builder();
    let db = builder.add(secret("prod/db").json::<Database>());
    let port = builder.add(secret("prod/db").field("port").name("port"));
    let by_arn = secret(created.arn().unwrap()).json::<Database>().name("by arn");
    let by_arn = builder.add(by_arn);
    let fixed = builder.add(secret("prod/db").version_id(&first).name("fixed").never_expires());
    let pair = secret("prod/db").field("port").with_previous().name("pair");
    let pair = builder.add(pair);
    let key = builder.add(secret("prod/key").binary());
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    let found = snapshot.get(db).unwrap();
    assert_eq!((found.host.as_str(), found.port), ("h", 1));
    assert_eq!(snapshot.version(db).unwrap().as_str(), first);
    assert_eq!(snapshot.get(port).unwrap().expose_secret(), "1");
    assert_eq!(snapshot.get(by_arn).unwrap().port, 1);
    assert!(snapshot.get(pair).unwrap().previous.is_none());
    assert_eq!(snapshot.get(key).unwrap().expose_secret(), [0, 159, 146, 150]);

    let put = client.put_secret_value().secret_id("prod/db").secret_string(json(2));
    put.send().await.unwrap();
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(db).unwrap().port, 2);
    assert_eq!(snapshot.get(fixed).unwrap().expose_secret(), json(1));
    let found = snapshot.get(pair).unwrap();
    assert_eq!(found.current.expose_secret(), "2");
    assert_eq!(found.previous.as_ref().unwrap().expose_secret(), "1");

    let mut builder = world.builder();
    let many = |n| builder.add(secret(&format!("many/{n:02}")));
    let many: Vec<_> = (0..23).map(many).collect();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.status().api_calls(), 2);
    let delete = client.delete_secret().secret_id("many/07");
    delete.force_delete_without_recovery(true).send().await.unwrap();
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    for (n, &key) in many.iter().enumerate() {
        match snapshot.get(key) {
            Ok(secret) => assert_eq!(secret.expose_secret(), n.to_string()),
            Err(error) => assert_eq!((error.kind(), n), (ErrorKind::NotFound, 7), "{error}"),
        }
    }
    assert!(snapshot.get(many[7]).is_err());
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER; .ci/run installs it"]
async fn objects() {
    let world = World::new("moto-s3").await;
    let client = aws_sdk_s3::Client::new(&world.config);
    let constraint = aws_sdk_s3::types::CreateBucketConfiguration::builder()
        .location_constraint(REGION.into())
        .build();
    let create = client.create_bucket().bucket("conf").create_bucket_configuration(constraint);
    create.send().await.unwrap();
    let put = async |key: &str, body: Vec<u8>| {
        client.put_object().bucket("conf").key(key).body(body.into()).send().await.unwrap();
    };
    put("app.json", br#"{"host": "h", "port": 1}"#.to_vec()).await;
    put("model.bin", vec![1; 20_000_000]).await;
    let file = world.directory.join("model.bin");

    let mut builder = world.builder();
    let text = builder.add(s3::object("s3://conf/app.json").text());
    let json = builder.add(s3::object("s3://conf/app.json").json::<Database>().name("json"));
    let model = s3::object("s3://conf/model.bin").to_file(&file);
    let model = builder.add(model);
    let missing = builder.add(s3::object("s3://conf/missing").lazy());
    let nowhere = builder.add(s3::object("s3://nowhere/missing").lazy().name("nowhere"));
    let cache = builder.operation_timeout(MINUTE).spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    assert!(snapshot.get(text).unwrap().contains("port"));
    assert_eq!(snapshot.get(json).unwrap().port, 1);
    assert_eq!(*snapshot.get(model).unwrap(), file);
    assert_eq!(fs::metadata(&file).unwrap().len(), 20_000_000);
    assert_eq!(cache.get(missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(cache.get(nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);

    let written = fs::metadata(&file).unwrap().modified().unwrap();
    world.clock.advance(MINUTE);
    cache.snapshot().await.get(model).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
    let log = fs::read_to_string(&world.moto.log).unwrap();
    let answers = log.lines().filter(|line| line.contains("GET /conf/model.bin"));
    assert_eq!(answers.filter(|line| line.contains(" 304 ")).count(), 1, "{log}");

    put("model.bin", vec![2; 1_000_000]).await;
    world.clock.advance(MINUTE);
    cache.snapshot().await.get(model).unwrap();
    assert_eq!(fs::read(&file).unwrap(), vec![2; 1_000_000]);
    client.delete_object().bucket("conf").key("model.bin").send().await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(cache.get(model).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read(&file).unwrap().len(), 1_000_000, "the old file stays");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Account {
    id: String,
    number: u32,
    name: String,
    tags: Vec<String>,
    active: bool,
    nothing: Option<String>,
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER; .ci/run installs it"]
async fn items() {
    let world = World::new("moto-dynamodb").await;
    let client = aws_sdk_dynamodb::Client::new(&world.config);
    let attribute = |name: &str, kind| {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
        attribute.build().unwrap()
    };
    let key = |name: &str, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    client
        .create_table()
        .table_name("accounts")
        .attribute_definitions(attribute("id", ScalarAttributeType::S))
        .attribute_definitions(attribute("number", ScalarAttributeType::N))
        .key_schema(key("id", KeyType::Hash))
        .key_schema(key("number", KeyType::Range))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = async |id: &str, number: u32, name: &str| {
        let item = HashMap::from([
            ("id".to_owned(), text(id)),
            ("number".to_owned(), AttributeValue::N(number.to_string())),
            ("name".to_owned(), text(name)),
            ("tags".to_owned(), AttributeValue::L(vec![text("a"), text("b")])),
            ("active".to_owned(), AttributeValue::Bool(true)),
            ("nothing".to_owned(), AttributeValue::Null(true)),
        ]);
        client.put_item().table_name("accounts").set_item(Some(item)).send().await.unwrap();
    };
    for number in 0..250 {
        put("many", number, &format!("name {number}")).await;
    }
    put("42", 1, "old").await;

    let item =
        |id: &str, number: u32| dynamodb::item("accounts").key("id", id).sort_key("number", number);
    let mut builder = world.builder();
    let account = builder.add(item("42", 1).consistent().deserialize::<Account>());
    let name = builder.add(item("42", 1).projection(["name"]).name("name"));
    let none = builder.add(item("nobody", 1).deserialize::<Option<Account>>().name("none"));
    let missing = builder.add(item("nobody", 1).name("missing").lazy());
    let query = dynamodb::query("accounts").key("id", "many").descending();
    let query = query.sort_key("number", dynamodb::Condition::between(10, 239));
    let query = builder.add(query.deserialize::<Account>().name("query"));
    let cache = builder.spawn().await.unwrap();
    let snapshot = cache.snapshot().await;
    let found = snapshot.get(account).unwrap();
    assert_eq!((found.name.as_str(), found.tags.len(), &found.nothing), ("old", 2, &None));
    assert_eq!(snapshot.get(name).unwrap().attributes().len(), 1);
    assert!(snapshot.get(none).unwrap().is_none());
    assert_eq!(cache.get(missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    let found = snapshot.get(query).unwrap();
    assert_eq!((found.len(), found[0].number, found[229].number), (230, 239, 10));

    put("42", 1, "new").await;
    world.clock.advance(MINUTE);
    assert_eq!(cache.snapshot().await.get(account).unwrap().name, "new");

    let mut builder = world.builder();
    let keys: Vec<_> =
        (0..250).map(|n| builder.add(item("many", n).deserialize::<Account>())).collect();
    let cache = builder.spawn().await.unwrap();
    assert_eq!(cache.status().api_calls(), 3);
    let snapshot = cache.snapshot().await;
    for (number, &key) in keys.iter().enumerate() {
        assert_eq!(snapshot.get(key).unwrap().name, format!("name {number}"));
    }

    let accounts = dynamodb::items("accounts").key::<String>("id").sort_key::<u32>("number");
    let accounts = cache.memo_from("accounts", accounts.deserialize::<Account>());
    let accounts = accounts.build().unwrap();
    let reads = (0..150).map(|number| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.get(("many".to_owned(), number)).await })
    });
    for (number, read) in reads.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(read.await.unwrap().unwrap().name, format!("name {number}"));
    }
    assert!(accounts.stats().api_calls <= 3, "{:?}", accounts.stats());
}
