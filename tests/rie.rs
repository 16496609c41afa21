//! The quickstart's function as a real process, under AWS's own Runtime Interface Emulator, against
//! moto: nothing of ours stands in for anything.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, dead_code)]

#[path = "../examples/quickstart/function.rs"]
mod function;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Credentials;
use aws_sdk_ssm::types::ParameterType;
use function::{MAX_AGES, PARAMETERS, Report};
use lambda_cache::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const INVOCATIONS: usize = 200;
/// From one invocation to the next: so that the 200 go on across several expirations.
const PACE: Duration = Duration::from_millis(60);
const INVOKE: &str = "/2015-03-31/functions/function/invocations";

#[tokio::test]
#[ignore = "needs AWS's Runtime Interface Emulator and moto: their paths in AWS_LAMBDA_RIE and MOTO_SERVER"]
async fn no_value_is_older_than_its_bound_under_awss_own_emulator() {
    let clock = SystemClock::new();
    let [moto, gateway, runtime_api] = free_ports().await;
    let _moto = start(Command::new(path_of("MOTO_SERVER")).args(["-p", &moto.to_string()]));
    let world = World::new(moto).await;
    let rates_file = std::env::temp_dir().join(format!("lambda-cache-rates-{moto}"));
    std::fs::write(&rates_file, "1").unwrap();
    let _function = start(
        Command::new(path_of("AWS_LAMBDA_RIE"))
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{gateway}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{runtime_api}")])
            .arg(example("function"))
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{moto}"))
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10")
            .env("RATES_FILE", &rates_file),
    );
    until_it_listens(gateway).await;

    let mut random = fastrand::Rng::with_seed(1);
    // For each entry, when each of its versions came to be: the first is version 1.
    let mut history: [Vec<SystemTime>; 5] = std::array::from_fn(|_| vec![clock.now().wall()]);
    let mut seen: Vec<(SystemTime, Report)> = Vec::new();
    for _ in 0..INVOCATIONS {
        let pace = tokio::time::sleep(PACE);
        if random.u8(..8) == 0 {
            let entry = random.usize(..5);
            let version = history[entry].len() + 1;
            match PARAMETERS.get(entry) {
                Some(_) => world.put(entry, version).await,
                None => std::fs::write(&rates_file, version.to_string()).unwrap(),
            }
            history[entry].push(clock.now().wall());
        }
        let sent = clock.now().wall();
        let answer = post(gateway, INVOKE).await;
        let report = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
        seen.push((sent, report));
        pace.await;
    }
    for (entry, name) in PARAMETERS.iter().enumerate() {
        assert_eq!(world.versions(name).await, history[entry].len(), "moto knows them all");
    }
    std::fs::remove_file(&rates_file).unwrap();

    for (number, (sent, report)) in seen.iter().enumerate() {
        for (entry, seen) in report.entries.iter().enumerate() {
            let seen = seen.as_ref().unwrap_or_else(|error| panic!("{number}: {error}"));
            let max_age = MAX_AGES[entry];
            assert!(seen.age < max_age && !seen.stale, "{number}, {entry}: {seen:?}");
            let version: usize = seen.version.parse().unwrap();
            // By when its successor was there, as the source has it: the put had returned.
            if let Some(successor) = history[entry].get(version) {
                let outdated = sent.duration_since(*successor).unwrap_or_default();
                assert!(outdated < max_age, "{number}, {entry}: outdated for {outdated:?}");
            }
        }
    }
    for (entry, versions) in history.iter().enumerate() {
        let last = seen.last().unwrap().1.entries[entry].as_ref().unwrap();
        assert!(versions.len() > 2, "entry {entry} hardly changed");
        assert!(last.version.parse::<usize>().unwrap() > 1, "entry {entry} was never refreshed");
    }
}

/// Parameter Store, as moto has it.
struct World {
    client: Client,
}

impl World {
    async fn new(port: u16) -> Self {
        until_it_listens(port).await;
        let config = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(aws_sdk_ssm::config::SharedCredentialsProvider::new(
                Credentials::new("test", "test", None, None, "test"),
            ))
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let world = Self { client: Client::new(&config) };
        for entry in 0..PARAMETERS.len() {
            world.put(entry, 1).await;
        }
        world
    }

    async fn put(&self, entry: usize, version: usize) {
        let (kind, value) = match entry {
            1 => (ParameterType::StringList, format!("host-{version}.example,host.example")),
            2 => (ParameterType::SecureString, format!("correct horse {version}")),
            3 => (ParameterType::String, format!("{{\"requests\": {version}}}")),
            _ => (ParameterType::String, format!("hello, for the {version}. time")),
        };
        let put = self.client.put_parameter().name(PARAMETERS[entry]).r#type(kind).value(value);
        let put = put.overwrite(true).send().await.unwrap();
        assert_eq!(put.version(), i64::try_from(version).unwrap());
    }

    async fn versions(&self, name: &str) -> usize {
        let history = self.client.get_parameter_history().name(name).send().await.unwrap();
        history.parameters().iter().map(|it| it.version()).max().unwrap_or(0).try_into().unwrap()
    }
}

fn path_of(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")).into()
}

/// An example's binary, which lies beside this test's own.
fn example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.ancestors().nth(2).unwrap_or(Path::new("")).join("examples").join(name);
    assert!(path.exists(), "run `cargo build --example {name}` first");
    path
}

/// Ends with the test.
fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn free_ports() -> [u16; 3] {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    std::array::from_fn(|n| listeners[n].local_addr().unwrap().port())
}

/// Other programs say in no other way that they are ready.
async fn until_it_listens(port: u16) {
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listens).await.expect("it starts");
}

async fn post(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    body.to_owned()
}
