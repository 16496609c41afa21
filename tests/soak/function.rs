//! A function under many invocations, in a process of its own: this test's own binary, with the real
//! runtime and extension, in a Lambda of this process.

use std::io;
use std::time::Duration;

use lambda_cache::testing::Lambda;
use lambda_cache::{Cache, Error, Key, Memo, Snapshot, from_fn};
use lambda_runtime::LambdaEvent;
use tokio::process::Command;

use crate::growth::{Growth, frees_at_once};
use crate::variable;

const ENTRIES: usize = 20;
/// They expire every few invocations.
const MAX_AGE: Duration = Duration::from_millis(300);
const KEYS: usize = 1000;
const KEPT: usize = 100;
const LONGEST_VALUE: usize = 4000;
const SAMPLES: u64 = 100;
/// The same for all: lambda_runtime puts it into the environment's variables, and glibc keeps each value
/// that a variable has ever had (some 150 bytes for a trace id), which hides what the cache keeps.
const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0";

#[tokio::test]
#[ignore = "takes its time; .ci/run runs it"]
async fn a_function_does_not_grow_with_its_invocations() {
    let invocations = variable("SOAK_INVOCATIONS", 20_000);
    let lambda =
        Lambda::builder().timeout(Duration::from_secs(30)).bind().unwrap().start().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "function::the_function_that_is_invoked";
    command.args(["--ignored", "--exact", test, "--nocapture"]);
    frees_at_once(&mut command);
    let process = lambda.spawn(command).unwrap();
    lambda.ready().await.unwrap();
    let mut growth = Growth::of(process);
    let (mut read, mut failed) = (0, 0);
    for number in 0..invocations {
        let invocation = lambda.invocation(number).trace_id(TRACE).start().unwrap();
        let answer = invocation.over().await.unwrap();
        let [values, errors]: [u64; 2] = answer.json().unwrap();
        read += values;
        failed += errors;
        if number % invocations.div_ceil(SAMPLES) == 0 {
            growth.sample();
        }
    }
    println!("{invocations} invocations, {read} values read, {failed} errors");
    lambda.shutdown().await.unwrap();
    growth.is_none("the function");
}

#[test]
#[ignore = "not a test: it does something only where a Lambda runs it"]
fn the_function_that_is_invoked() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run()).unwrap();
    }
}

async fn run() -> Result<(), lambda_runtime::Error> {
    let mut builder = Cache::builder(&aws_config::SdkConfig::builder().build());
    let entry = |number: usize| {
        // Init waits for none, since one may fail.
        from_fn(format!("entry {number}"), changing).max_age(MAX_AGE).in_background()
    };
    let mut keys: Vec<Key<String>> =
        (0..ENTRIES - 1).map(|number| builder.add(entry(number))).collect();
    keys.push(
        builder.add(entry(ENTRIES - 1).derive(async |text: String| io::Result::Ok(text + "."))),
    );
    let memo =
        builder.memo("memo", |_: usize| changing()).max_age(MAX_AGE).max_entries(KEPT).build();
    let cache = builder.spawn().await?;
    let function = Function { cache: cache.clone(), keys, memo };
    cache
        .run(move |_: LambdaEvent<u64>, snapshot| {
            let function = function.clone();
            async move { Ok::<_, Error>(function.handle(&snapshot).await) }
        })
        .await
}

/// A value of some length, or now and then an error.
async fn changing() -> io::Result<String> {
    match fastrand::u8(0..100) {
        0 => Err(io::Error::other("as the test wants it")),
        1 => {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(String::new())
        }
        _ => Ok("x".repeat(fastrand::usize(0..LONGEST_VALUE))),
    }
}

#[derive(Clone)]
struct Function {
    cache: Cache,
    keys: Vec<Key<String>>,
    memo: Memo<usize, String>,
}

impl Function {
    /// Reads in every way, and gives how many values and how many errors came.
    async fn handle(&self, snapshot: &Snapshot) -> [u64; 2] {
        let mut results: Vec<bool> =
            self.keys.iter().map(|&key| snapshot.get(key).is_ok()).collect();
        let key = self.keys[fastrand::usize(..ENTRIES)];
        results.push(self.cache.get(key).await.is_ok());
        results.push(self.memo.get(fastrand::usize(..KEYS)).await.is_ok());
        match if std::env::var_os("FEW").is_some() { 50 } else { fastrand::u8(0..100) } {
            0 => results.push(self.cache.refresh(key).await.is_ok()),
            1 => results.push(self.cache.invalidate(key).await.is_ok()),
            2 => results.push(self.cache.get_within(key, Duration::ZERO).await.is_ok()),
            // Readers that leave, and a watch that nobody waits for.
            3 => drop(tokio::time::timeout(Duration::ZERO, self.cache.refresh(key)).await),
            4 => drop(tokio::time::timeout(Duration::ZERO, self.memo.get(KEYS)).await),
            5 => drop(self.cache.changed(key)),
            _ => {}
        }
        let values = results.iter().filter(|it| **it).count();
        [values, results.len() - values].map(|it| u64::try_from(it).unwrap())
    }
}
