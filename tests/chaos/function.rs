//! The function: it has entries of every kind, reads them in every way, and reports what it read. The
//! emulator runs it: this test's own binary.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use aws_config::BehaviorVersion;
use fastrand::Rng;
use futures_util::future::join_all;
use lambda_cache::sources::{dynamodb, freeze_safe, s3, secrets_manager, ssm};
use lambda_cache::{Builder, Cache, Error, ErrorKind, Key, Memo, Snapshot, Value, from_fn};
use lambda_runtime::LambdaEvent;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::oracle::{Failure, Read, after, now};
use crate::world::{ACCOUNT, BUCKET, KEYS, TABLE, order, parameter, version};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a fetch takes on a busy machine, so that what is judged is not how fast it is.
const WAIT_IF_FAILING: Duration = Duration::from_secs(3);
const STALE_IF_ERROR: Duration = Duration::from_secs(2);
/// The variable that gives the function an entry that is never fresh.
pub(crate) const WITH_MAX_AGE_ZERO: &str = "WITH_MAX_AGE_ZERO";

/// What an invocation is to do.
#[derive(Debug, Deserialize)]
struct Event {
    /// When it was sent.
    sent: u64,
    seed: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Counted {
    count: u64,
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
    let entries: &[_] = entries(&mut builder, &client).leak();
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

/// Reads a parameter, as users' own functions do.
async fn fetch(
    client: aws_sdk_ssm::Client,
    name: String,
) -> Result<u64, Box<dyn StdError + Send + Sync>> {
    let answer = client.get_parameter().name(name).send().await?;
    let parameter = answer.parameter().and_then(|it| it.value()).ok_or("no parameter")?;
    Ok(version(parameter))
}

async fn connect(database: Counted) -> Result<u64, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(database.count)
}

fn entries(builder: &mut Builder, client: &aws_sdk_ssm::Client) -> Vec<Watched> {
    let mut all = Vec::new();
    let mut add = |thing, seconds, stale, key: Box<dyn AnyKey>| {
        all.push(Watched { thing, max_age: seconds * SECOND, stale, key });
    };
    macro_rules! entry {
        ($thing:expr, $seconds:expr, $entry:expr, $version:expr) => {
            let entry = $entry.max_age($seconds * SECOND).wait_if_failing(WAIT_IF_FAILING);
            add($thing, $seconds, Duration::ZERO, watched(builder.add(entry), $version));
        };
    }
    let secret = secrets_manager::secret;
    let object = |key| s3::object(format!("s3://{BUCKET}/{key}"));
    let item = || dynamodb::item(TABLE).key("id", ACCOUNT).deserialize::<Counted>();
    let rates = {
        let client = client.clone();
        move || fetch(client.clone(), "/chaos/rates".to_owned())
    };
    entry!("/chaos/greeting", 1, ssm::parameter("/chaos/greeting"), |it: &String| version(it));
    // Every snapshot waits for a fetch of it, so it is not always there.
    if std::env::var_os(WITH_MAX_AGE_ZERO).is_some() {
        let always = ssm::parameter("/chaos/greeting").name("always").lazy();
        entry!("/chaos/greeting", 0, always, |it: &String| version(it));
    }
    let password = ssm::parameter("/chaos/password").secret();
    entry!("/chaos/password", 2, password, |it| version(it.expose_secret()));
    let limits = ssm::parameter("/chaos/limits").json::<Counted>();
    entry!("/chaos/limits", 3, limits, |it| it.count);
    entry!("/chaos/rates", 1, from_fn("rates", rates), |it| *it);
    let database = secret("chaos/database").json::<Counted>();
    entry!("chaos/database", 2, database, |it| it.count);
    let pool = secret("chaos/database").json::<Counted>().name("pool").derive(connect);
    entry!("chaos/database", 1, pool, |it| *it);
    let pair = secret("chaos/key").with_previous();
    entry!("chaos/key", 2, pair, |it| version(it.current.expose_secret()));
    entry!("settings.json", 1, object("settings.json").json::<Counted>(), |it| it.count);
    let model = object("model.json").to_temporary_file();
    // A newer file may have replaced it.
    entry!("model.json", 2, model, |it: &PathBuf| version(&fs::read_to_string(it).unwrap()));
    entry!(ACCOUNT, 1, item().consistent().name("item").lazy(), |it| it.count);
    entry!(ACCOUNT, 2, item().name("background").in_background(), |it| it.count);
    let query = dynamodb::query(TABLE).key("id", ACCOUNT).deserialize::<Counted>();
    entry!(ACCOUNT, 2, query.name("query"), |it| it.first().map_or(u64::MAX, |it| it.count));

    let hosts = ssm::parameter("/chaos/hosts").string_list().max_age(SECOND);
    let hosts = hosts.stale_if_error(STALE_IF_ERROR).wait_if_failing(WAIT_IF_FAILING);
    let hosts = watched(builder.add(hosts), |it: &Vec<String>| version(&it[0]));
    add("/chaos/hosts", 1, STALE_IF_ERROR, hosts);
    let tree = ssm::path("/tree/").name("tree").max_age(2 * SECOND);
    let tree = builder.add(tree.wait_if_failing(WAIT_IF_FAILING));
    let both = ssm::parameters(["/tree/left", "/tree/right"]).name("both").max_age(SECOND);
    let both = builder.add(both.wait_if_failing(WAIT_IF_FAILING));
    for (key, seconds) in [(tree, 2), (both, 1)] {
        let left = |it: &ssm::Parameters| it.get("/tree/left").map_or(u64::MAX, version);
        add("/tree/left", seconds, Duration::ZERO, watched(key, left));
        let right =
            |it: &ssm::Parameters| version(it.secret("/tree/right").unwrap().expose_secret());
        add("/tree/right", seconds, Duration::ZERO, watched(key, right));
    }
    all
}

/// An entry, and what it holds.
struct Watched {
    thing: &'static str,
    max_age: Duration,
    stale: Duration,
    key: Box<dyn AnyKey>,
}

/// A version, and whether it is stale.
type Found = Result<(u64, bool), Error>;

#[derive(Debug, Clone, Copy)]
enum How {
    Get,
    Within(Duration),
    Refresh,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Within(_) => "get_within",
            Self::Refresh => "refresh",
        })
    }
}

trait AnyKey: Send + Sync {
    fn in_snapshot(&self, snapshot: &Snapshot) -> Found;
    fn read<'a>(
        &'a self,
        cache: &'a Cache,
        how: How,
    ) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>>;
}

struct Typed<T, F> {
    key: Key<T>,
    version: F,
}

fn watched<T, F>(key: Key<T>, version: F) -> Box<dyn AnyKey>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> u64 + Send + Sync + 'static,
{
    Box::new(Typed { key, version })
}

impl<T, F> AnyKey for Typed<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> u64 + Send + Sync + 'static,
{
    fn in_snapshot(&self, snapshot: &Snapshot) -> Found {
        let value = snapshot.get(self.key)?;
        Ok(((self.version)(value), snapshot.is_stale(self.key)?))
    }

    fn read<'a>(
        &'a self,
        cache: &'a Cache,
        how: How,
    ) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(async move {
            let value = match how {
                How::Get => cache.get(self.key).await?,
                How::Within(age) => cache.get_within(self.key, age).await?,
                How::Refresh => cache.refresh(self.key).await?,
            };
            Ok(((self.version)(&value), value.is_stale()))
        })
    }
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
        let read = |it: &Watched| {
            let found = it.key.in_snapshot(snapshot);
            // It is an error in snapshots until something has read it.
            let lazy = matches!(&found, Err(error) if error.kind() == ErrorKind::NotLoaded);
            (!lazy).then(|| it.read("snapshot", it.max_age, began, ended, found))
        };
        self.entries.iter().filter_map(read).collect()
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

impl Watched {
    async fn read_now(&self, cache: &Cache, how: How) -> Read {
        let began = now();
        let found = self.key.read(cache, how).await;
        let max_age = match how {
            How::Get => self.max_age,
            How::Within(age) => age.min(self.max_age),
            How::Refresh => Duration::ZERO,
        };
        self.read(&how.to_string(), max_age, began, now(), found)
    }

    fn read(&self, how: &str, max_age: Duration, began: u64, ended: u64, found: Found) -> Read {
        let stale = matches!(found, Ok((_, true)));
        let max_age = if stale { max_age + self.stale } else { max_age };
        let what = format!("{how}, max age {:?}", self.max_age);
        report(what, self.thing.to_owned(), max_age, began, ended, found.map(|it| it.0))
    }
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

fn report(
    what: String,
    thing: String,
    max_age: Duration,
    began: u64,
    ended: u64,
    found: Result<u64, Error>,
) -> Read {
    let got = found.map_err(|error| Failure {
        throttled: error.kind() == ErrorKind::Throttled,
        text: error.to_string(),
    });
    Read { what, thing, max_age: u64::try_from(max_age.as_millis()).unwrap(), began, ended, got }
}
