//! The quickstart's function as a real process, under AWS's own Runtime Interface Emulator, against
//! moto: nothing of ours stands in for anything, and the race of handler and INVOKE event is real.
#![cfg(all(feature = "runtime", feature = "ssm"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "../examples/quickstart/function.rs"]
mod function;
#[path = "support/moto.rs"]
mod moto;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use function::{MAX_AGES, PARAMETERS, Report, Seen};
use lambda_cache::{Clock, SystemClock};
use moto::{LIMIT, Moto, REGION, free_ports, program, start, until_it_listens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const INVOCATIONS: usize = 200;
/// From one invocation to the next, so that the 200 go on across several expirations.
const PACE: Duration = Duration::from_millis(60);
/// The four parameters, and the rates.
const ENTRIES: usize = MAX_AGES.len();

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER; .ci/run installs both"]
async fn no_value_is_older_than_its_bound_under_awss_own_emulator() {
    let directory = moto::directory("rie");
    let world = World::start(&directory).await;
    let emulator = Emulator::start(&world, &directory).await;

    let invocations = tokio::select! {
        invocations = traffic(&emulator) => invocations,
        never = world.change_for_ever() => match never {},
    };

    let posts = world.posts();
    let history = world.history().await;
    for (number, invocation) in invocations.iter().enumerate() {
        for (entry, history) in history.iter().enumerate() {
            let (seen, version) = invocation.seen(entry);
            let what = format!("invocation {number}, entry {entry}, {seen:?}");
            assert!(seen.age < MAX_AGES[entry] && !seen.stale, "{what}");
            if let Some(successor) = history.get(version) {
                let outdated = invocation.sent.duration_since(*successor).unwrap_or_default();
                assert!(outdated < MAX_AGES[entry], "{what}: outdated for {outdated:?}");
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
    // The rest are ours: a call for each change.
    let puts: usize = history[..PARAMETERS.len()].iter().map(Vec::len).sum();
    let calls = posts.saturating_sub(puts);
    assert!((1..INVOCATIONS / 4).contains(&calls), "{calls} calls for {INVOCATIONS} invocations");
    report(&invocations, calls, &history);
    fs::remove_dir_all(&directory).unwrap();
}

async fn traffic(emulator: &Emulator) -> Vec<Invocation> {
    let mut invocations = Vec::new();
    for _ in 0..INVOCATIONS {
        // The pace of the traffic: nothing is waited for to become true.
        let pace = tokio::time::sleep(PACE);
        invocations.push(emulator.invoke().await);
        pace.await;
    }
    invocations
}

fn report(invocations: &[Invocation], calls: usize, history: &[Vec<SystemTime>; ENTRIES]) {
    let mut took: Vec<_> = invocations.iter().map(|it| it.took).collect();
    took.sort();
    let [median, p99] = [50, 99].map(|percent| took[took.len() * percent / 100]);
    println!("{INVOCATIONS} invocations: p50 {median:.1?}, p99 {p99:.1?}; {calls} API calls");
    for (entry, history) in history.iter().enumerate() {
        let versions: BTreeSet<_> = invocations.iter().map(|it| it.seen(entry).1).collect();
        let oldest = invocations.iter().map(|it| it.seen(entry).0.age).max().unwrap();
        println!(
            "{:<13} {} of {} versions seen; oldest {oldest:.2?}, max age {:?}",
            PARAMETERS.get(entry).unwrap_or(&"rates"),
            versions.len(),
            history.len(),
            MAX_AGES[entry]
        );
    }
}

/// The sources: Parameter Store, as moto has it, and a file of rates.
struct World {
    moto: Moto,
    client: Client,
    rates: PathBuf,
    /// When each version of the rates came to be; the first is version 1.
    rates_history: Mutex<Vec<SystemTime>>,
}

impl World {
    async fn start(directory: &Path) -> Self {
        let moto = Moto::start(directory).await;
        let world = Self {
            client: Client::new(&moto.config()),
            moto,
            rates: directory.join("rates"),
            rates_history: Mutex::default(),
        };
        for entry in 0..ENTRIES {
            world.change(entry, 1).await;
        }
        world
    }

    async fn change_for_ever(&self) -> Infallible {
        let mut random = fastrand::Rng::with_seed(1);
        loop {
            tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
            self.change(random.usize(..ENTRIES), random.u16(1..)).await;
        }
    }

    /// A new version of one entry's value comes to be.
    async fn change(&self, entry: usize, number: u16) {
        let (kind, value) = match entry {
            0 => (ParameterType::String, format!("hello, {number}")),
            1 => (ParameterType::StringList, format!("host-{number}.example,host.example")),
            2 => (ParameterType::SecureString, format!("correct horse {number}")),
            3 => (ParameterType::String, format!("{{\"requests\": {number}}}")),
            _ => return self.change_rates(),
        };
        let put = self.client.put_parameter().name(PARAMETERS[entry]).r#type(kind).value(value);
        put.overwrite(true).send().await.unwrap();
    }

    /// The rates count their changes, so that they tell their version. A rename, so that nobody
    /// reads half a file.
    fn change_rates(&self) {
        let mut history = self.rates_history.lock().unwrap();
        let new = self.rates.with_extension("new");
        fs::write(&new, (history.len() + 1).to_string()).unwrap();
        fs::rename(&new, &self.rates).unwrap();
        history.push(SystemClock::new().now().wall());
    }

    /// For each entry, when each of its versions came to be, as the source recorded it.
    async fn history(&self) -> [Vec<SystemTime>; ENTRIES] {
        let mut history = std::array::from_fn(|_| Vec::new());
        for (name, history) in PARAMETERS.iter().zip(&mut history) {
            let answer = self.client.get_parameter_history().name(*name).send().await.unwrap();
            for (version, parameter) in (1..).zip(answer.parameters()) {
                assert_eq!(parameter.version(), version, "{name}");
                let modified = SystemTime::try_from(*parameter.last_modified_date().unwrap());
                // moto tells whole milliseconds: by the end of this one, the version was there.
                history.push(modified.unwrap() + Duration::from_millis(1));
            }
        }
        history[PARAMETERS.len()] = self.rates_history.lock().unwrap().clone();
        history
    }

    /// How many calls moto has had, of the function and of ours.
    fn posts(&self) -> usize {
        let log = fs::read_to_string(&self.moto.log).unwrap();
        log.lines().filter(|line| line.contains("\"POST / ")).count()
    }
}

/// AWS's emulator. Its own child, the function, ends with it: the emulator asks the kernel for that.
struct Emulator {
    _process: Child,
    log: PathBuf,
    port: u16,
}

impl Emulator {
    async fn start(world: &World, directory: &Path) -> Self {
        let log = directory.join("emulator.log");
        let [port, runtime_api] = free_ports().await;
        let mut command = Command::new(program("AWS_LAMBDA_RIE", "aws-lambda-rie"));
        command
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{runtime_api}")])
            .arg(example("function"))
            // Whatever this machine knows of AWS is none of the function's business.
            .env_clear()
            .env("AWS_ENDPOINT_URL", &world.moto.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10")
            .env("RATES_FILE", &world.rates);
        let process = start(&mut command, &log);
        until_it_listens(port, &log).await;
        Self { _process: process, log, port }
    }

    async fn invoke(&self) -> Invocation {
        let clock = SystemClock::new();
        let sent = clock.now();
        let answer = tokio::time::timeout(LIMIT, self.post()).await.expect("an answer").unwrap();
        let took = clock.now().monotonic() - sent.monotonic();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let report = serde_json::from_str(body)
            .unwrap_or_else(|error| panic!("{error}: {answer}; see {}", self.log.display()));
        Invocation { sent: sent.wall(), took, report }
    }

    /// HTTP/1.0: an answer in one piece, and the connection closes.
    async fn post(&self) -> std::io::Result<String> {
        let path = "/2015-03-31/functions/function/invocations";
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let request = format!("POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

struct Invocation {
    sent: SystemTime,
    took: Duration,
    report: Report,
}

impl Invocation {
    /// What it saw of an entry, and of which version that was.
    fn seen(&self, entry: usize) -> (&Seen, usize) {
        let seen = self.report.entries[entry].as_ref();
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
