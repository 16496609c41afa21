//! The sidecar as Lambda runs it: the binary in `/opt/extensions` under AWS's own Runtime Interface
//! Emulator, beside functions that are not in Rust, against moto.
#![cfg(feature = "sidecar")]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "support/moto.rs"]
mod moto;
#[path = "support/process.rs"]
mod process;

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_ssm::types::ParameterType;
use emulator::Emulator;
use lambda_cache::{Clock, SystemClock};
use moto::{Moto, REGION};
use process::{free_ports, start, until_it_listens};
use serde_json::Value as Json;
use tokio::process::{Child, Command};

const BINARY: &str = env!("CARGO_BIN_EXE_lambda-cache-extension");
const EXTENSIONS: &str = "/opt/extensions";
const TOKEN: &str = "a session token";
const INVOCATIONS: usize = 150;
/// From one invocation to the next, so that all of them go on across several expirations.
const PACE: Duration = Duration::from_millis(60);
/// What the function reads: a parameter, an item and a secret.
const THINGS: usize = 3;
const MAX_AGES: [Duration; THINGS] =
    [Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(2)];
const CONFIG: &str = "
parameters: [{names: [/app/greeting], max_age: 2s}]
dynamodb:
  - {table: accounts, hashkey: id, hashkeytype: S, hashkeyvalue: '42', name: account, max_age: 3s}
";

/// The emulator starts whatever is in its one folder, so tests take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn a_function_in_python_never_sees_a_value_past_its_max_age() {
    let _turn = TURN.lock().await;
    let directory = process::directory("sidecar-rie");
    let world = World::start(&directory).await;
    let sandbox = Sandbox::start(&world.moto, &directory, CONFIG).await;

    let traffic = async {
        let mut answers = Vec::new();
        for _ in 0..INVOCATIONS {
            // The pace of the traffic: nothing is waited for to become true.
            let pace = tokio::time::sleep(PACE);
            let sent = SystemClock::new().now().wall();
            answers.push((sent, sandbox.emulator.invoke::<Json>().await));
            pace.await;
        }
        answers
    };
    let answers = tokio::select! {
        answers = traffic => answers,
        never = world.change_for_ever() => match never {},
    };

    let histories = world.histories.lock().unwrap().clone();
    for (thing, history) in histories.iter().enumerate() {
        let versions: Vec<usize> = answers.iter().map(|(_, it)| version(it, thing)).collect();
        assert!(versions.is_sorted(), "thing {thing} went back to an older version: {versions:?}");
        for ((sent, _), version) in answers.iter().zip(&versions) {
            // Versions count from 1, so this is when its successor came to be.
            if let Some(successor) = history.get(*version) {
                let outdated = sent.duration_since(*successor).unwrap_or_default();
                assert!(outdated < MAX_AGES[thing], "thing {thing}: outdated for {outdated:?}");
            }
        }
        let mut seen = versions;
        seen.dedup();
        assert!(seen.len() >= 3, "{} of {} versions were seen", seen.len(), history.len());
        println!("thing {thing}: {} of {} versions seen", seen.len(), history.len());
    }
    let log = fs::read_to_string(&sandbox.emulator.log).unwrap();
    assert!(log.contains("registered, subscribed to [INVOKE SHUTDOWN]"), "no extension: {log}");
    let moto_log = fs::read_to_string(&world.moto.log).unwrap();
    let calls = moto_log.matches("POST / HTTP").count() - world.calls();
    println!("{calls} API calls for {} reads", INVOCATIONS * THINGS);
    assert!((THINGS..INVOCATIONS).contains(&calls), "{calls} API calls");
    drop(sandbox);
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn what_is_wrong_with_config_yaml_is_in_the_functions_log() {
    let _turn = TURN.lock().await;
    let directory = process::directory("sidecar-rie-wrong");
    let moto = Moto::start(&directory).await;
    let wrong = "parameters: [{nams: [a]}]\nsecrets: [{names: [s], max_age: soon}]\n";
    let sandbox = Sandbox::start(&moto, &directory, wrong).await;
    let answer = sandbox.emulator.post().await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 502"), "{answer}");
    let log = fs::read_to_string(&sandbox.emulator.log).unwrap();
    for mistake in ["config.yaml:1:15: unknown field `nams`", "config.yaml:2:33: `max_age`"] {
        assert!(log.contains(mistake), "{mistake} is not in the log:\n{log}");
    }
    assert!(log.contains("First fatal error stored in appctx: Extension.InitError"), "{log}");
    drop(sandbox);
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER, node, and port 4000; .ci/run provides them"]
async fn the_go_extensions_own_function_runs_unchanged() {
    let directory = process::directory("sidecar-go");
    let moto = Moto::start(&directory).await;
    let example = examples().join("go-example");
    let dynamodb = aws_sdk_dynamodb::Client::new(&moto.config());
    create_table(&dynamodb, "DynamoDbTable", &[("pKey", KeyType::Hash), ("sKey", KeyType::Range)])
        .await;
    let mut put = dynamodb.put_item().table_name("DynamoDbTable");
    for (name, text) in [("pKey", "pKey1"), ("sKey", "sKey1"), ("Data", "Data goes here")] {
        put = put.item(name, AttributeValue::S(text.into()));
    }
    put.send().await.unwrap();
    let _sidecar = sidecar(&moto, &directory, &example.join("config.yaml"), [4000, 2773]).await;
    let call = format!("require({:?}).handler({{}}, {{}}, () => {{}})", example.join("index.js"));
    let item = r#"{"Data":"Data goes here","pKey":"pKey1","sKey":"sKey1"}"#;
    let said = node(&call, [4000, 2773]).await;
    assert_eq!(said, format!("Retrieved data from the cache: {item}"));
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER, and node; .ci/run provides them"]
async fn the_function_in_node_reads_from_both_ports() {
    let directory = process::directory("sidecar-node");
    let world = World::start(&directory).await;
    let example = examples().join("nodejs");
    let ports = free_ports().await;
    let _sidecar = sidecar(&world.moto, &directory, &example.join("config.yaml"), ports).await;
    let call = format!(
        "import({:?}).then(it => it.handler()).then(it => console.log(JSON.stringify(it)))",
        example.join("index.mjs")
    );
    let answer: Json = serde_json::from_str(&node(&call, ports).await).unwrap();
    for thing in 0..THINGS {
        assert_eq!(version(&answer, thing), 1, "{answer}");
    }
    fs::remove_dir_all(&directory).unwrap();
}

/// The sidecar outside Lambda, with its log in `directory`, at these two ports.
async fn sidecar(moto: &Moto, directory: &Path, config: &Path, ports: [u16; 2]) -> Child {
    let log = directory.join("sidecar.log");
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env("AWS_ENDPOINT_URL", &moto.endpoint)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("LAMBDA_CACHE_CONFIG", config)
        .env("LAMBDA_CACHE_PORT", ports[0].to_string())
        .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", ports[1].to_string());
    let process = start(&mut command, &log);
    for port in ports {
        until_it_listens(port, &log).await;
    }
    process
}

/// What Node.js prints for this program.
async fn node(program: &str, ports: [u16; 2]) -> String {
    let output = Command::new("node")
        .args(["-e", program])
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("LAMBDA_CACHE_PORT", ports[0].to_string())
        .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", ports[1].to_string())
        .output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Which version of a thing an answer of the function has.
fn version(answer: &Json, thing: usize) -> usize {
    let text =
        |field: &str| answer[field].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let text = match thing {
        0 => text("greeting"),
        1 => answer["account"]["count"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(),
        _ => text("key_version"),
    };
    let digits = text.rsplit([' ', '-']).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{answer}"))
}

/// AWS, as moto has it.
struct World {
    moto: Moto,
    ssm: aws_sdk_ssm::Client,
    secrets: aws_sdk_secretsmanager::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    /// When each version came to be, at the latest.
    histories: Mutex<[Vec<SystemTime>; THINGS]>,
}

impl World {
    async fn start(directory: &Path) -> Self {
        let moto = Moto::start(directory).await;
        let config = moto.config();
        let world = Self {
            ssm: aws_sdk_ssm::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            moto,
            histories: Mutex::default(),
        };
        world.secrets.create_secret().name("/prod/key").send().await.unwrap();
        create_table(&world.dynamodb, "accounts", &[("id", KeyType::Hash)]).await;
        for thing in 0..THINGS {
            world.change(thing).await;
        }
        world
    }

    /// How many of the calls that moto has had were made here: what it took to begin, and a change
    /// each.
    fn calls(&self) -> usize {
        2 + self.histories.lock().unwrap().iter().map(Vec::len).sum::<usize>()
    }

    async fn change_for_ever(&self) -> Infallible {
        let mut random = fastrand::Rng::with_seed(1);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(100..300))).await;
            self.change(random.usize(..THINGS)).await;
        }
    }

    /// A new version of one thing comes to be.
    async fn change(&self, thing: usize) {
        let count = self.histories.lock().unwrap()[thing].len() + 1;
        match thing {
            0 => {
                let put = self.ssm.put_parameter().name("/app/greeting").overwrite(true);
                let put = put.r#type(ParameterType::String).value(format!("hello, {count}"));
                put.send().await.map(drop).unwrap();
            }
            1 => {
                let put = self.dynamodb.put_item().table_name("accounts");
                let put = put.item("id", AttributeValue::S("42".into()));
                let put = put.item("count", AttributeValue::N(count.to_string()));
                put.send().await.map(drop).unwrap();
            }
            _ => {
                let version = format!("00000000-0000-0000-0000-{count:012}");
                let put = self.secrets.put_secret_value().secret_id("/prod/key");
                let put = put.secret_string("hush").client_request_token(version);
                put.send().await.map(drop).unwrap();
            }
        }
        self.histories.lock().unwrap()[thing].push(SystemClock::new().now().wall());
    }
}

async fn create_table(dynamodb: &aws_sdk_dynamodb::Client, name: &str, keys: &[(&str, KeyType)]) {
    let mut table = dynamodb.create_table().table_name(name);
    for (name, kind) in keys {
        let definition = AttributeDefinition::builder().attribute_name(*name);
        let definition = definition.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
        table = table.attribute_definitions(definition).key_schema(key.build().unwrap());
    }
    table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sidecar")
}

/// AWS's emulator, with the sidecar as its extension.
struct Sandbox {
    emulator: Emulator,
    extension: PathBuf,
}

impl Sandbox {
    async fn start(moto: &Moto, directory: &Path, config: &str) -> Self {
        let path = directory.join("config.yaml");
        fs::write(&path, config).unwrap();
        fs::create_dir_all(EXTENSIONS).unwrap();
        let extension = Path::new(EXTENSIONS).join(format!("sidecar-{}", std::process::id()));
        symlink(BINARY, &extension).unwrap();
        let [declared, on_demand] = free_ports().await;
        let describe = |command: &mut Command| {
            command
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("FUNCTION_FILE", examples().join("python/function.py"))
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("AWS_SESSION_TOKEN", TOKEN)
                .env("LAMBDA_CACHE_CONFIG", &path)
                .env("CACHE_EXTENSION_INIT_STARTUP", "true")
                .env("SECRETS_MANAGER_TTL", "2")
                .env("LAMBDA_CACHE_PORT", declared.to_string())
                .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", on_demand.to_string());
        };
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/bootstrap.py");
        let emulator = Emulator::start(&runtime, moto, directory, describe).await;
        Self { emulator, extension }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        fs::remove_file(&self.extension).ok();
    }
}
