//! A function with every source as a real process, under AWS's own Runtime Interface Emulator, against
//! moto: nothing of ours stands in for anything, and the race of handler and INVOKE event is real.
//! (moto has no AppConfigData.)
#![cfg(all(
    feature = "dynamodb",
    feature = "runtime",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "../examples/function/everything.rs"]
mod everything;
#[path = "../examples/quickstart/function.rs"]
mod function;
#[path = "support/moto.rs"]
mod moto;
#[path = "support/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_sdk_s3::types::CreateBucketConfiguration;
use aws_sdk_ssm::types::ParameterType;
use emulator::Emulator;
use everything::{ACCOUNT, BUCKET, FullReport, MODEL, MORE, SECRET, SETTINGS, TABLE};
use function::{MAX_AGES, PARAMETERS, Seen};
use lambda_cache::{Clock, SystemClock};
use moto::{Moto, REGION};
use tokio::process::Command;

const INVOCATIONS: usize = 200;
/// From one invocation to the next, so that the 200 go on across several expirations.
const PACE: Duration = Duration::from_millis(60);
/// The four parameters, and the rates.
const FEW: usize = MAX_AGES.len();
/// What can change at a source: these, a secret, two objects and an item.
const CHANGING: usize = FEW + 4;
/// Which of these each entry comes from: two are made of the secret, and two of the item.
const COMES_FROM: [usize; FEW + MORE.len()] = [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8];

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER; .ci/run installs both"]
async fn no_value_is_older_than_its_bound_under_awss_own_emulator() {
    let directory = process::directory("rie");
    let world = World::start(&directory).await;
    let describe = |command: &mut Command| {
        command.env("TMPDIR", &directory).env("RATES_FILE", &world.rates);
    };
    let emulator =
        Emulator::start(&example("function"), &world.moto.endpoint, &directory, describe).await;

    let invocations = tokio::select! {
        invocations = traffic(&emulator) => invocations,
        never = world.change_for_ever() => match never {},
    };

    let history = world.history().await;
    let max_ages = max_ages();
    for (number, invocation) in invocations.iter().enumerate() {
        for (entry, history) in history.iter().enumerate() {
            let (seen, version) = invocation.seen(entry);
            let what = format!("invocation {number}, entry {entry}, {seen:?}");
            assert!(seen.age < max_ages[entry] && !seen.stale, "{what}");
            if let Some(successor) = history.get(version) {
                let outdated = invocation.sent.duration_since(*successor).unwrap_or_default();
                assert!(outdated < max_ages[entry], "{what}: outdated for {outdated:?}");
            }
        }
    }
    for (entry, history) in history.iter().enumerate() {
        let versions: Vec<_> = invocations.iter().map(|it| it.seen(entry).1).collect();
        assert!(versions.is_sorted(), "entry {entry} went back to an older version: {versions:?}");
        let seen = BTreeSet::from_iter(versions).len();
        assert!(seen >= 3, "entry {entry}: {seen} of {} versions were seen", history.len());
    }
    let log = fs::read_to_string(&emulator.log).unwrap();
    assert!(log.contains("registered, subscribed to [INVOKE]"), "no extension: {log}");
    let calls = invocations.last().unwrap().report.api_calls;
    let most = INVOCATIONS as u64 / 2;
    assert!((1..most).contains(&calls), "{calls} calls for {INVOCATIONS} invocations");
    report(&invocations, calls, &history);
    fs::remove_dir_all(&directory).unwrap();
}

async fn traffic(emulator: &Emulator) -> Vec<Invocation> {
    let mut invocations = Vec::new();
    for _ in 0..INVOCATIONS {
        // The pace of the traffic: nothing is waited for to become true.
        let pace = tokio::time::sleep(PACE);
        invocations.push(invoke(emulator).await);
        pace.await;
    }
    invocations
}

fn report(invocations: &[Invocation], calls: u64, history: &[Vec<SystemTime>]) {
    let mut took: Vec<_> = invocations.iter().map(|it| it.took).collect();
    took.sort();
    let [median, p99] = [50, 99].map(|percent| took[took.len() * percent / 100]);
    println!("{INVOCATIONS} invocations: p50 {median:.1?}, p99 {p99:.1?}; {calls} API calls");
    for (entry, history) in history.iter().enumerate() {
        let versions: BTreeSet<_> = invocations.iter().map(|it| it.seen(entry).1).collect();
        let oldest = invocations.iter().map(|it| it.seen(entry).0.age).max().unwrap();
        println!(
            "{:<13} {} of {} versions seen; oldest {oldest:.2?}, max age {:?}",
            name(entry),
            versions.len(),
            history.len(),
            max_ages()[entry]
        );
    }
}

/// How old each entry may be.
fn max_ages() -> Vec<Duration> {
    MAX_AGES.into_iter().chain(MORE.map(|(_, max_age)| max_age)).collect()
}

fn name(entry: usize) -> &'static str {
    match entry.checked_sub(FEW) {
        Some(more) => MORE[more].0,
        None => PARAMETERS.get(entry).unwrap_or(&"rates"),
    }
}

/// The sources: AWS, as moto has it, and a file of rates.
struct World {
    moto: Moto,
    ssm: aws_sdk_ssm::Client,
    secrets: aws_sdk_secretsmanager::Client,
    s3: aws_sdk_s3::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    rates: PathBuf,
    /// When each version of what counts its own changes came to be, at the latest; the first is
    /// version 1. Parameters are in here too, and by what their store says of them.
    histories: Mutex<[Vec<SystemTime>; CHANGING]>,
}

impl World {
    async fn start(directory: &Path) -> Self {
        let moto = Moto::start(directory).await;
        let config = moto.config();
        let world = Self {
            ssm: aws_sdk_ssm::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            moto,
            rates: directory.join("rates"),
            histories: Mutex::default(),
        };
        world.create().await;
        for thing in 0..CHANGING {
            world.change(thing, 1).await;
        }
        world
    }

    /// What has to be there before anything can be put into it.
    async fn create(&self) {
        let constraint = CreateBucketConfiguration::builder().location_constraint(REGION.into());
        let bucket = self.s3.create_bucket().bucket(BUCKET);
        bucket.create_bucket_configuration(constraint.build()).send().await.unwrap();
        self.secrets.create_secret().name(SECRET).send().await.unwrap();
        let id = AttributeDefinition::builder().attribute_name("id");
        let id = id.attribute_type(ScalarAttributeType::S).build().unwrap();
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
        let table = self.dynamodb.create_table().table_name(TABLE).attribute_definitions(id);
        let table = table.key_schema(key.build().unwrap());
        table.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }

    async fn change_for_ever(&self) -> Infallible {
        let mut random = fastrand::Rng::with_seed(1);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(30..200))).await;
            self.change(random.usize(..CHANGING), random.u16(1..)).await;
        }
    }

    /// A new version of one thing comes to be.
    async fn change(&self, thing: usize, number: u16) {
        let count = self.histories.lock().unwrap()[thing].len() + 1;
        let counted = format!("{{\"count\": {count}}}");
        match thing {
            0..4 => self.put_parameter(thing, number).await,
            // A rename, so that nobody reads half a file.
            4 => {
                let new = self.rates.with_extension("new");
                fs::write(&new, count.to_string()).unwrap();
                fs::rename(&new, &self.rates).unwrap();
            }
            5 => {
                let put = self.secrets.put_secret_value().secret_id(SECRET);
                put.secret_string(counted).send().await.unwrap();
            }
            6 | 7 => {
                let put = self.s3.put_object().bucket(BUCKET).key([SETTINGS, MODEL][thing - 6]);
                put.body(counted.into_bytes().into()).send().await.unwrap();
            }
            _ => {
                let count = AttributeValue::N(count.to_string());
                let put = self.dynamodb.put_item().table_name(TABLE).item("count", count);
                put.item("id", AttributeValue::S(ACCOUNT.into())).send().await.unwrap();
            }
        }
        self.histories.lock().unwrap()[thing].push(SystemClock::new().now().wall());
    }

    async fn put_parameter(&self, parameter: usize, number: u16) {
        let (kind, value) = match parameter {
            0 => (ParameterType::String, format!("hello, {number}")),
            1 => (ParameterType::StringList, format!("host-{number}.example,host.example")),
            2 => (ParameterType::SecureString, format!("correct horse {number}")),
            _ => (ParameterType::String, format!("{{\"requests\": {number}}}")),
        };
        let put = self.ssm.put_parameter().name(PARAMETERS[parameter]).r#type(kind).value(value);
        put.overwrite(true).send().await.unwrap();
    }

    /// For each entry, when each of its versions came to be: parameters as the source recorded it.
    async fn history(&self) -> Vec<Vec<SystemTime>> {
        let mut histories = self.histories.lock().unwrap().clone();
        for (name, history) in PARAMETERS.iter().zip(&mut histories) {
            history.clear();
            let answer = self.ssm.get_parameter_history().name(*name).send().await.unwrap();
            for (version, parameter) in (1..).zip(answer.parameters()) {
                assert_eq!(parameter.version(), version, "{name}");
                let modified = SystemTime::try_from(*parameter.last_modified_date().unwrap());
                // moto tells whole milliseconds: by the end of this one, the version was there.
                history.push(modified.unwrap() + Duration::from_millis(1));
            }
        }
        COMES_FROM.iter().map(|&thing| histories[thing].clone()).collect()
    }
}

/// One invocation, and when it was sent.
async fn invoke(emulator: &Emulator) -> Invocation {
    let clock = SystemClock::new();
    let sent = clock.now();
    let report = emulator.invoke().await;
    let took = clock.now().monotonic() - sent.monotonic();
    Invocation { sent: sent.wall(), took, report }
}

struct Invocation {
    sent: SystemTime,
    took: Duration,
    report: FullReport,
}

impl Invocation {
    /// What it saw of an entry, and of which version that was.
    fn seen(&self, entry: usize) -> (&Seen, usize) {
        let seen = self.report.report.entries[entry].as_ref();
        let seen = seen.unwrap_or_else(|error| panic!("entry {entry}: {error}"));
        (seen, seen.version.parse().expect("versions are numbers"))
    }
}

/// An example's binary, which lies beside this test's own.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "run `cargo build --example {name}` first");
    path
}
