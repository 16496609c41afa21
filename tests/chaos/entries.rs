//! The function's entries: one of each kind, each with the thing that it holds.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use lambda_cache::sources::{Declare, Entry, dynamodb, s3, secrets_manager, ssm};
use lambda_cache::{Builder, Cache, Error, ErrorKind, Key, Snapshot, from_fn};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::oracle::{Failure, Read, now};
use crate::world::{ACCOUNT, BUCKET, TABLE, version};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Longer than a fetch takes on a busy machine, so that what is judged is not how fast it is.
pub(crate) const WAIT_IF_FAILING: Duration = Duration::from_secs(3);
const STALE_IF_ERROR: Duration = Duration::from_secs(2);
/// The variable that gives the function an entry that is never fresh.
pub(crate) const WITH_MAX_AGE_ZERO: &str = "WITH_MAX_AGE_ZERO";

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counted {
    pub(crate) count: u64,
}

/// Declares them all.
pub(crate) fn declare(builder: &mut Builder, client: &aws_sdk_ssm::Client) -> Vec<Watched> {
    let mut entries = Entries { builder, all: Vec::new() };
    entries.parameters(client.clone());
    entries.secrets();
    entries.objects();
    entries.items();
    entries.all
}

struct Entries<'a> {
    builder: &'a mut Builder,
    all: Vec<Watched>,
}

impl Entries<'_> {
    fn parameters(&mut self, client: aws_sdk_ssm::Client) {
        let greeting = ssm::parameter("/chaos/greeting");
        self.add("/chaos/greeting", 1, greeting, |it| version(it));
        // Every snapshot waits for a fetch of it, so it is not always there.
        if std::env::var_os(WITH_MAX_AGE_ZERO).is_some() {
            let always = ssm::parameter("/chaos/greeting").name("always").lazy();
            self.add("/chaos/greeting", 0, always, |it| version(it));
        }
        let password = ssm::parameter("/chaos/password").secret();
        self.add("/chaos/password", 2, password, |it| version(it.expose_secret()));
        let limits = ssm::parameter("/chaos/limits").json::<Counted>();
        self.add("/chaos/limits", 3, limits, |it| it.count);
        let rates = move || fetch(client.clone(), "/chaos/rates".to_owned());
        self.add("/chaos/rates", 1, from_fn("rates", rates), |it| *it);
        let hosts = ssm::parameter("/chaos/hosts").string_list().stale_if_error(STALE_IF_ERROR);
        self.add("/chaos/hosts", 1, hosts, |it| version(&it[0]));
        self.all.last_mut().unwrap().stale = STALE_IF_ERROR;

        let left = |it: &ssm::Parameters| it.get("/tree/left").map_or(u64::MAX, version);
        let right = |it: &ssm::Parameters| {
            it.secret("/tree/right").map_or(u64::MAX, |it| version(it.expose_secret()))
        };
        let tree = self.add("/tree/left", 2, ssm::path("/tree/").name("tree"), left);
        self.watch("/tree/right", 2, tree, right);
        let both = ssm::parameters(["/tree/left", "/tree/right"]).name("both");
        let both = self.add("/tree/left", 1, both, left);
        self.watch("/tree/right", 1, both, right);
    }

    fn secrets(&mut self) {
        let database = || secrets_manager::secret("chaos/database").json::<Counted>();
        self.add("chaos/database", 2, database(), |it| it.count);
        self.add("chaos/database", 1, database().name("pool").derive(connect), |it| *it);
        let pair = secrets_manager::secret("chaos/key").with_previous();
        self.add("chaos/key", 2, pair, |it| version(it.current.expose_secret()));
    }

    fn objects(&mut self) {
        let object = |key| s3::object(format!("s3://{BUCKET}/{key}"));
        let settings = object("settings.json").json::<Counted>();
        self.add("settings.json", 1, settings, |it| it.count);
        let model = object("model.json").to_temporary_file();
        // A newer file may have replaced it.
        let content = |path: &PathBuf| version(&fs::read_to_string(path).unwrap());
        self.add("model.json", 2, model, content);
    }

    fn items(&mut self) {
        let item = || dynamodb::item(TABLE).key("id", ACCOUNT).deserialize::<Counted>();
        self.add(ACCOUNT, 1, item().consistent().name("item").lazy(), |it| it.count);
        self.add(ACCOUNT, 2, item().name("background").in_background(), |it| it.count);
        let query = dynamodb::query(TABLE).key("id", ACCOUNT).deserialize::<Counted>();
        let first = |it: &Vec<Counted>| it.first().map_or(u64::MAX, |it| it.count);
        self.add(ACCOUNT, 2, query.name("query"), first);
    }

    /// Adds an entry that holds a version of this thing and expires after so many seconds.
    fn add<D, T, F>(
        &mut self,
        thing: &'static str,
        seconds: u32,
        entry: Entry<D, T>,
        version: F,
    ) -> Key<T>
    where
        D: Declare + 'static,
        T: Send + Sync + 'static,
        F: Fn(&T) -> u64 + Send + Sync + 'static,
    {
        let entry = entry.max_age(seconds * SECOND).wait_if_failing(WAIT_IF_FAILING);
        let key = self.builder.add(entry);
        self.watch(thing, seconds, key, version);
        key
    }

    fn watch<T, F>(&mut self, thing: &'static str, seconds: u32, key: Key<T>, version: F)
    where
        T: Send + Sync + 'static,
        F: Fn(&T) -> u64 + Send + Sync + 'static,
    {
        let key = Box::new(Typed { key, version });
        let (max_age, stale) = (seconds * SECOND, Duration::ZERO);
        self.all.push(Watched { thing, max_age, stale, key });
    }
}

/// Reads a parameter, as users' own functions do.
pub(crate) async fn fetch(
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

/// An entry, and what it holds.
pub(crate) struct Watched {
    thing: &'static str,
    max_age: Duration,
    stale: Duration,
    key: Box<dyn AnyKey>,
}

impl Watched {
    /// What a snapshot has of it; `None` if it is lazy and nothing has read it yet.
    pub(crate) fn in_snapshot(&self, snapshot: &Snapshot, began: u64, ended: u64) -> Option<Read> {
        let found = self.key.in_snapshot(snapshot);
        let lazy = matches!(&found, Err(error) if error.kind() == ErrorKind::NotLoaded);
        (!lazy).then(|| self.read("snapshot", self.max_age, began, ended, found))
    }

    pub(crate) async fn read_now(&self, cache: &Cache, how: How) -> Read {
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
        let marked = if stale { ", stale" } else { "" };
        let what = format!("{how}, max age {:?}{marked}", self.max_age);
        report(what, self.thing.to_owned(), max_age, began, ended, found.map(|it| it.0))
    }
}

/// A version, and whether it is stale.
type Found = Result<(u64, bool), Error>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
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

/// A read, as it is judged.
pub(crate) fn report(
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
