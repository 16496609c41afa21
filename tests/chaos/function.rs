//! The function: it has entries of every kind, reads them in every way, and reports what it read. The
//! emulator runs it: this test's own binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use aws_config::BehaviorVersion;
use fastrand::Rng;
use futures_util::future::join_all;
use lambda_cache::sources::{dynamodb, freeze_safe};
use lambda_cache::{Cache, Error, Memo, Snapshot, Value};
use lambda_runtime::LambdaEvent;
use serde::Deserialize;

use crate::entries::{self, Counted, How, SECOND, WAIT_IF_FAILING, Watched, fetch, report};
use crate::oracle::{Read, after, now};
use crate::world::{KEYS, TABLE, order, parameter};

/// What an invocation is to do.
#[derive(Debug, Deserialize)]
struct Event {
    /// When it was sent.
    sent: u64,
    seed: u64,
}

/// What the emulator is to run for this function: a script in `directory`.
pub(crate) fn bootstrap(directory: &Path) -> PathBuf {
    let path = directory.join("bootstrap");
    let test = std::env::current_exe().unwrap();
    let name = "function::the_function_that_the_emulator_runs";
    let script =
        format!("#!/bin/sh\nexec '{}' --ignored --exact {name} --nocapture\n", test.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[ignore = "not a test: it does something only where the emulator runs it"]
fn the_function_that_the_emulator_runs() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run()).unwrap();
    }
}

async fn run() -> Result<(), lambda_runtime::Error> {
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_ssm::Client::new(&freeze_safe(&aws));
    let mut builder = Cache::builder(&aws);
    let entries: &[_] = entries::declare(&mut builder, &client).leak();
    let parameters = move |name: String| fetch(client.clone(), name);
    let parameters = builder.memo("parameters", parameters).max_age(SECOND);
    let parameters = parameters.wait_if_failing(WAIT_IF_FAILING).max_entries(KEYS - 2).build();
    let orders = dynamodb::items(TABLE).key::<String>("id").consistent().deserialize::<Counted>();
    let orders = builder.memo_from("orders", orders).max_age(2 * SECOND);
    let orders = orders.wait_if_failing(WAIT_IF_FAILING).build();
    let cache = builder.spawn().await?;
    let function = Function { cache: cache.clone(), entries, parameters, orders };
    cache
        .run(move |event: LambdaEvent<Event>, snapshot| {
            let function = function.clone();
            async move { Ok::<_, Error>(function.handle(event.payload, snapshot).await) }
        })
        .await
}

#[derive(Clone)]
struct Function {
    cache: Cache,
    entries: &'static [Watched],
    parameters: Memo<String, u64>,
    orders: Memo<String, Counted>,
}

impl Function {
    /// Everything is read again and again for some time, and nothing waits for another.
    async fn handle(&self, event: Event, snapshot: Snapshot) -> Vec<Read> {
        let mut random = Rng::with_seed(event.seed);
        let mut all: Vec<Pin<Box<dyn Future<Output = Vec<Read>> + Send>>> = Vec::new();
        let longest = random.choice([0, 100, 1000, 3000]).unwrap_or(0);
        let until = after(Duration::from_millis(random.u64(0..=longest)));
        for entry in self.entries {
            all.push(Box::pin(self.read_entry(entry, random.fork(), until)));
        }
        for key in random.choose_multiple(0..KEYS, KEYS / 2) {
            all.push(Box::pin(self.read_memos(key, random.fork(), until)));
        }
        all.push(Box::pin(self.take_snapshots(random.fork(), until)));
        let first = self.in_snapshot(&snapshot, event.sent, now());
        first.into_iter().chain(join_all(all).await.into_iter().flatten()).collect()
    }

    async fn read_entry(&self, entry: &Watched, mut random: Rng, until: u64) -> Vec<Read> {
        let mut reads = Vec::new();
        loop {
            let how = match random.u8(0..60) {
                0 => How::Refresh,
                1 => How::Within(Duration::from_millis(random.u64(0..1000))),
                _ => How::Get,
            };
            reads.push(entry.read_now(&self.cache, how).await);
            if !goes_on(&mut random, until).await {
                return reads;
            }
        }
    }

    async fn read_memos(&self, key: usize, mut random: Rng, until: u64) -> Vec<Read> {
        let mut reads = Vec::new();
        loop {
            let (of_function, of_items) = ("memo of a function", "memo of items");
            reads.push(memo_read(of_function, &self.parameters, parameter(key), 1, |it| *it).await);
            reads.push(memo_read(of_items, &self.orders, order(key), 2, |it| it.count).await);
            if !goes_on(&mut random, until).await {
                return reads;
            }
        }
    }

    async fn take_snapshots(&self, mut random: Rng, until: u64) -> Vec<Read> {
        let mut reads = Vec::new();
        while goes_on(&mut random, until).await {
            let began = now();
            let snapshot = self.cache.snapshot().await;
            reads.extend(self.in_snapshot(&snapshot, began, now()));
        }
        reads
    }

    fn in_snapshot(&self, snapshot: &Snapshot, began: u64, ended: u64) -> Vec<Read> {
        self.entries.iter().filter_map(|it| it.in_snapshot(snapshot, began, ended)).collect()
    }
}

/// Waits for a moment; whether there is time left.
async fn goes_on(random: &mut Rng, until: u64) -> bool {
    let pause = Duration::from_millis(random.u64(0..150));
    let in_time = after(pause) < until;
    if in_time {
        tokio::time::sleep(pause).await;
    }
    in_time
}

async fn memo_read<V: Send + Sync + 'static>(
    what: &str,
    memo: &Memo<String, V>,
    key: String,
    seconds: u32,
    version: impl Fn(&V) -> u64,
) -> Read {
    let began = now();
    let found: Result<Value<V>, Error> = memo.get(key.clone()).await;
    let found = found.map(|it| version(&it));
    report(what.to_owned(), key, seconds * SECOND, began, now(), found)
}
