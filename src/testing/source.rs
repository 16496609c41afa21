//! A source that answers late, fails, hangs, panics and changes, as a test says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::clock::Stamp;
use crate::decode::DecodeError;
use crate::entry::Version;
use crate::error::{Error, ErrorKind};
use crate::sources::{
    Answered, BoxFuture, Calls, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched,
    Source, Wanted, count_call,
};

/// How a [`TestSource`] behaves from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers at once.
    #[default]
    Answer,
    /// Answers after so long, with what was true when it was asked.
    Late(Duration),
    /// Answers when [`TestSource::release`] is called, with what was true when it was asked.
    Hold,
    /// Never answers.
    Hang,
    /// Fails with an error of this kind.
    Fail(ErrorKind),
    /// Panics.
    Panic,
}

/// A source of named texts, under a test's control.
///
/// Each name has a version that counts its changes. Clones share one source.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::Builder;
/// use lambda_cache::testing::{Behaviour, TestClock, TestSource};
/// use lambda_cache::ErrorKind;
/// use std::time::Duration;
///
/// let (clock, source) = (TestClock::new(), TestSource::new());
/// source.set("greeting", "hello");
/// let mut builder = Builder::new().clock(clock.clone());
/// let greeting = builder.add(source.entry("greeting"));
/// let cache = builder.spawn().await?;
///
/// source.behave(Behaviour::Fail(ErrorKind::Denied));
/// clock.freeze(Duration::from_secs(600));
/// let error = cache.get(greeting).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Denied);
/// assert_eq!(source.calls().len(), 2);
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct TestSource {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// How often held answers have been released.
    releases: watch::Sender<u64>,
}

struct State {
    values: BTreeMap<String, (String, u64)>,
    behaviour: Behaviour,
    batch_limit: usize,
    valid_until: Option<SystemTime>,
    calls: Vec<Vec<String>>,
    in_flight: usize,
    resets: usize,
}

impl TestSource {
    /// A source that has nothing and answers at once.
    pub fn new() -> Self {
        let state = State {
            values: BTreeMap::new(),
            behaviour: Behaviour::Answer,
            batch_limit: usize::MAX,
            valid_until: None,
            calls: Vec::new(),
            in_flight: 0,
            resets: 0,
        };
        let shared = Shared { state: Mutex::new(state), releases: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// The most names that one call takes. No limit by default.
    #[must_use]
    pub fn batch_limit(self, limit: usize) -> Self {
        self.state().batch_limit = limit.max(1);
        self
    }

    /// An entry that holds the text called `name`.
    pub fn entry(&self, name: impl Into<String>) -> Entry<TestRequest, String> {
        self.decoded(name, |text| Ok(text.to_owned()))
    }

    /// An entry that holds what `decode` makes of the text called `name`.
    pub fn decoded<T>(
        &self,
        name: impl Into<String>,
        decode: impl Fn(&str) -> Result<T, DecodeError> + Send + Sync + 'static,
    ) -> Entry<TestRequest, T> {
        let asks = TestRequest { name: name.into(), source: self.clone() };
        Entry::new(asks, move |text: &String| decode(text))
    }

    /// The text called `name` changes.
    pub fn set(&self, name: impl Into<String>, text: impl Into<String>) {
        let mut state = self.state();
        let value = state.values.entry(name.into()).or_default();
        *value = (text.into(), value.1 + 1);
    }

    /// There is no text called `name` any more.
    pub fn remove(&self, name: &str) {
        self.state().values.remove(name);
    }

    /// From now on answers say that they are valid until then: the source knows when it will change.
    pub fn set_valid_until(&self, until: Option<SystemTime>) {
        self.state().valid_until = until;
    }

    /// Asks for the text called `name` past any cache, in the manner of the day: for a
    /// [`memo`](crate::Cache::memo)'s function.
    ///
    /// # Errors
    ///
    /// As [`Behaviour`] has it, or [`ErrorKind::NotFound`].
    pub async fn ask(&self, name: impl Into<String>) -> Result<String, Error> {
        let began = Stamp::new(Duration::ZERO, SystemTime::UNIX_EPOCH);
        let wanted = Wanted { request: TestName(name.into()), held: None, began };
        // Whoever asks counts his own calls.
        let answers = Calls::default().of(self.fetch(vec![wanted])).await;
        let answer = answers.into_iter().next().map(|fetch| fetch.map(|it| it.answer));
        match answer {
            Some(Ok(Answered::Current(text, _))) => Ok(text),
            Some(Err(FetchError { kind, cause })) => {
                Err(Error::new(kind, "asking the test source failed").caused_by(cause))
            }
            Some(Ok(Answered::Unchanged)) | None => {
                unreachable!("one answer to one request that holds nothing")
            }
        }
    }

    /// How calls behave that begin from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Lets all calls answer that [`Behaviour::Hold`] holds now.
    pub fn release(&self) {
        self.shared.releases.send_modify(|releases| *releases += 1);
    }

    /// The names asked for, by each call so far.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.state().calls.clone()
    }

    /// How many calls are under way: neither answered nor dropped.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// How often the cache has connected anew.
    pub fn resets(&self) -> usize {
        self.state().resets
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestSource {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("TestSource")
            .field("names", &state.values.keys())
            .field("behaviour", &state.behaviour)
            .field("in_flight", &state.in_flight)
            .finish_non_exhaustive()
    }
}

/// What an entry of a [`TestSource`] asks for.
#[derive(Debug, Clone)]
pub struct TestRequest {
    name: String,
    source: TestSource,
}

impl Declare for TestRequest {
    type Source = TestSource;

    fn declare(self, connections: &mut Connections) -> Result<Declared<TestSource>, Error> {
        let source = self.source;
        let which = format!("{:p}", source.shared);
        Ok(Declared {
            source: connections.shared(&which, |_| source.clone()),
            name: self.name.rsplit('/').next().map(str::to_owned),
            request: TestName(self.name),
        })
    }
}

/// A name in a [`TestSource`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TestName(String);

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test:Get {}", self.0)
    }
}

impl Source for TestSource {
    type Request = TestName;
    type Payload = String;

    fn plan(&self, due: Vec<TestName>) -> Vec<Vec<TestName>> {
        due.chunks(self.state().batch_limit).map(<[_]>::to_vec).collect()
    }

    fn fetch(&self, batch: Vec<Wanted<TestName>>) -> BoxFuture<'_, Vec<Fetch<String>>> {
        Box::pin(async move {
            count_call();
            let _under_way = UnderWay::begin(self, &batch);
            let mut releases = self.shared.releases.subscribe();
            let (behaviour, answers) = {
                let state = self.state();
                let answers: Vec<Fetch<String>> = batch.iter().map(|it| state.answer(it)).collect();
                (state.behaviour.clone(), answers)
            };
            match behaviour {
                Behaviour::Answer | Behaviour::Fail(_) => {}
                Behaviour::Late(delay) => tokio::time::sleep(delay).await,
                Behaviour::Hold => _ = releases.changed().await,
                Behaviour::Hang => std::future::pending().await,
                Behaviour::Panic => panic!("as the test said"),
            }
            answers
        })
    }

    fn reset(&self) {
        self.state().resets += 1;
    }
}

impl State {
    fn answer(&self, wanted: &Wanted<TestName>) -> Fetch<String> {
        if let Behaviour::Fail(kind) = self.behaviour {
            return Err(FetchError::new(kind, "as the test said"));
        }
        let name = &wanted.request.0;
        match self.values.get(name) {
            Some((text, version)) => {
                let answer = Fetched::current(text.clone(), Some(Version::new(version)));
                Ok(Fetched { valid_until: self.valid_until, ..answer })
            }
            None => Err(FetchError::new(ErrorKind::NotFound, format!("nothing is called {name}"))),
        }
    }
}

/// Counts a call as under way until it has been answered or dropped.
struct UnderWay(TestSource);

impl UnderWay {
    fn begin(source: &TestSource, batch: &[Wanted<TestName>]) -> Self {
        let mut state = source.state();
        state.in_flight += 1;
        state.calls.push(batch.iter().map(|wanted| wanted.request.0.clone()).collect());
        drop(state);
        Self(source.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}
