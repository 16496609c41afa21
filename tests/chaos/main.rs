//! Real processes in bad weather: a function with every source that moto has, and the sidecar beside a
//! function in Python, each under AWS's own Runtime Interface Emulator. What they ask of AWS meets
//! delays, resets, throttling and garbage on its way; they are stopped at any time, also in the middle
//! of an invocation; and everything changes at random, past the weather. What they read is judged by
//! the machine's clock.
//!
//! `CHAOS_SECONDS` is for how long, `CHAOS_SEED` which weather, freezes and changes (processes and
//! sockets have an order of their own, so a seed gives a similar run, not the same).
#![cfg(feature = "sidecar")]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "../support/emulator.rs"]
mod emulator;
mod entries;
mod environment;
mod function;
#[path = "../support/moto.rs"]
mod moto;
mod oracle;
#[path = "../support/process.rs"]
mod process;
mod proxy;
#[path = "../support/sandbox.rs"]
mod sandbox;
mod weather;
mod world;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::process::Command;

use crate::emulator::Emulator;
use crate::environment::{Environment, LONGEST_INVOCATION};
use crate::oracle::{Oracle, Read, after, between, now};
use crate::proxy::Proxy;
use crate::sandbox::{Extensions, Sandbox};
use crate::weather::Weather;
use crate::world::World;

const BINARY: &str = env!("CARGO_BIN_EXE_lambda-cache-extension");
const TOKEN: &str = "a session token";
const CONFIG: &str = "
parameters:
  - {names: [/chaos/greeting], max_age: 1s}
  - {names: [/chaos/hosts], max_age: 1s, stale_if_error: 2s}
  - {names: [/chaos/limits], max_age: 0s}
dynamodb:
  - {table: chaos-table, hashkey: id, hashkeytype: S, hashkeyvalue: account, name: account, max_age: 2s}
secrets: [{names: [chaos/database], max_age: 2s}]
objects: [{uri: 's3://chaos-bucket/settings.json', max_age: 1s}]
";
/// The variable of the emulator that has a function's timeout, in seconds.
const TIMEOUT: &str = "AWS_LAMBDA_FUNCTION_TIMEOUT";
/// How the function in Python names its reads of what is not declared.
const ON_DEMAND: &str = "on demand";
/// The longest pause after failures in a row, and some time for the invocations meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn in_bad_weather_no_value_is_too_old_no_read_hangs_and_no_process_ends() {
    let seed = variable("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let time = Duration::from_secs(variable("CHAOS_SECONDS").unwrap_or(90));
    println!("CHAOS_SEED={seed}, {time:?}");
    let mut random = Rng::with_seed(seed);
    let directory = process::directory("chaos");
    let world = World::start(&directory).await;
    let weather = Arc::new(Weather::new(random.u64(..)));
    let proxy = Proxy::to(&world.moto.endpoint, Arc::clone(&weather)).await;
    let mut chaos = Chaos::start(&directory, &world, &weather, &proxy, &mut random).await;

    let writer = random.u64(..);
    tokio::select! {
        () = chaos.rage(&mut random, time) => {}
        never = world.change_for_ever(writer) => match never {},
    }

    println!("{}\n{} changes", chaos.report(), world.changes());
    for environment in [&chaos.function, &chaos.sidecar] {
        let log = environment.log();
        assert!(!log.contains("panicked at"), "CHAOS_SEED={seed}: {log}");
    }
    let broken = &chaos.oracle.broken;
    assert!(
        broken.is_empty(),
        "CHAOS_SEED={seed}: {} broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
    fs::remove_dir_all(&directory).unwrap();
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

struct Chaos<'a> {
    world: &'a World,
    weather: &'a Weather,
    function: Environment,
    sidecar: Environment,
    _extensions: Extensions,
    oracle: Oracle,
    /// How often the weather has cleared, and the longest that a process took to be well after that.
    clearings: usize,
    slowest_recovery: Duration,
}

impl<'a> Chaos<'a> {
    async fn start(
        directory: &Path,
        world: &'a World,
        weather: &'a Weather,
        proxy: &Proxy,
        random: &mut Rng,
    ) -> Self {
        let extensions = Extensions::none();
        let with_max_age_zero = random.bool();
        let function = function_alone(&proxy.endpoint, directory, with_max_age_zero).await;
        // Its emulator looks for extensions at the first invocation, so that comes first.
        let function = Environment::start(function, random.u64(..)).await;
        let sandbox = beside_the_sidecar(extensions, &proxy.endpoint, directory).await;
        Self {
            world,
            weather,
            function,
            sidecar: Environment::start(sandbox.emulator, random.u64(..)).await,
            _extensions: sandbox.extensions,
            oracle: Oracle::default(),
            clearings: 0,
            slowest_recovery: Duration::ZERO,
        }
    }

    /// Bad weather and clearings, until the time is over or something is broken.
    async fn rage(&mut self, random: &mut Rng, time: Duration) {
        let end = after(time);
        while now() < end && self.oracle.broken.is_empty() {
            self.weather.turns_bad();
            let clearing = after(Duration::from_millis(random.u64(2000..12_000)));
            let (function, sidecar) = (&self.function, &self.sidecar);
            let (of_function, of_sidecar, (), ()) = tokio::join!(
                function.is_busy_until(clearing),
                sidecar.is_busy_until(clearing),
                function.freezes_until(clearing),
                sidecar.freezes_until(clearing),
            );
            self.weather.clears();
            self.clearings += 1;
            self.judge(&of_function, &of_sidecar);
            self.the_first_invocation_is_well().await;
        }
        self.all_is_well_in_the_end().await;
    }

    /// But for what a service that throttles may have asked to be left alone. The sidecar does not know
    /// of handlers: a read that comes before INVOKE may join a fetch that began in the bad weather, so
    /// it is the second invocation that is well; and while a declared entry backs off, its reads do not
    /// wait.
    async fn the_first_invocation_is_well(&mut self) {
        let began = now();
        let (of_function, of_sidecar) = tokio::join!(self.function.invoke(), self.sidecar.invoke());
        self.slowest_recovery = self.slowest_recovery.max(between(began, now()));
        let second = self.sidecar.invoke().await;
        let on_demand = second.iter().filter(|it| it.what.starts_with(ON_DEMAND));
        for read in of_function.iter().chain(on_demand) {
            if matches!(&read.got, Err(failure) if !failure.throttled) {
                self.oracle.broken.push(format!("not well after the weather: {read:?}"));
            }
        }
        self.judge(&of_function, &of_sidecar);
        self.judge(&[], &second);
    }

    async fn all_is_well_in_the_end(&mut self) {
        let began = now();
        loop {
            let (of_function, of_sidecar) =
                tokio::join!(self.function.invoke(), self.sidecar.invoke());
            self.judge(&of_function, &of_sidecar);
            let mut reads = of_function.iter().chain(&of_sidecar);
            let Some(failed) = reads.find(|it| it.got.is_err()) else { return };
            if between(began, now()) > LONGEST_PAUSE {
                self.oracle.broken.push(format!("not well for {LONGEST_PAUSE:?}: {failed:?}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn judge(&mut self, of_function: &[Read], of_sidecar: &[Read]) {
        let histories = self.world.histories.lock().unwrap();
        for (what, environment, reads) in
            [("function", &self.function, of_function), ("sidecar", &self.sidecar, of_sidecar)]
        {
            self.oracle.judge(reads, &environment.freezes(), &histories);
            let changed = environment.changed();
            if !changed.is_empty() {
                let broken = format!("of the {what}, processes ended or came: {changed:?}");
                self.oracle.broken.push(broken);
            }
        }
    }

    fn report(&self) -> String {
        let freezes = [&self.function, &self.sidecar].map(|it| it.freezes());
        let times = freezes.each_ref().map(Vec::len);
        let longest = freezes.iter().flatten().map(|(began, ended)| ended - began).max();
        let longest = Duration::from_nanos(longest.unwrap_or_default());
        format!(
            "{}\n{}\n{times:?} freezes, the longest of {longest:.1?}; the weather cleared {} times, \
             and the first invocations after that took {:.1?} at most",
            self.oracle.report(),
            self.weather.report(),
            self.clearings,
            self.slowest_recovery,
        )
    }
}

/// The function in Rust, alone.
async fn function_alone(endpoint: &str, directory: &Path, with_max_age_zero: bool) -> Emulator {
    let directory = directory.join("function");
    fs::create_dir(&directory).unwrap();
    let bootstrap = function::bootstrap(&directory);
    let describe = |command: &mut Command| {
        command.env("TMPDIR", &directory).env(TIMEOUT, LONGEST_INVOCATION.as_secs().to_string());
        if with_max_age_zero {
            command.env(entries::WITH_MAX_AGE_ZERO, "1");
        }
    };
    Emulator::start(&bootstrap, endpoint, &directory, describe).await
}

/// The function in Python.
async fn beside_the_sidecar(extensions: Extensions, endpoint: &str, directory: &Path) -> Sandbox {
    let timeout = LONGEST_INVOCATION.as_secs().to_string();
    let variables =
        [(TIMEOUT, &*timeout), ("SSM_PARAMETER_STORE_TTL", "1"), ("SECRETS_MANAGER_TTL", "2")];
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/function.py");
    Sandbox::start_with(extensions, endpoint, directory, &function, CONFIG, &variables).await
}
