//! A source that answers late, fails, hangs, panics and changes, as a test says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::decode::DecodeError;
use crate::entry::Version;
use crate::error::{Error, ErrorKind};
use crate::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
    count_call,
};

/// How a [`TestSource`] behaves from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers at once.
    #[default]
    Answer,
    /// Answers after this delay, with the texts of when it was asked.
    Late(Duration),
    /// Answers when [`TestSource::release`] is called, with the texts of when it was asked.
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
/// The version of a text is the number of its changes. Clones share one source.
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
#[derive(Clone, Default)]
pub struct TestSource {
    state: Arc<Mutex<SourceState>>,
    /// How often [`release`](Self::release) was called.
    releases: watch::Sender<u64>,
}

#[derive(Default)]
struct SourceState {
    /// Each text, with its version.
    texts: BTreeMap<String, (String, u64)>,
    behaviour: Behaviour,
    batch_limit: Option<usize>,
    valid_until: Option<SystemTime>,
    calls: Vec<Vec<String>>,
    in_flight: usize,
    resets: usize,
}

impl TestSource {
    /// A source that has no texts and answers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most names that one call takes. Defaults to no limit.
    #[must_use]
    pub fn batch_limit(self, limit: usize) -> Self {
        self.state().batch_limit = Some(limit.max(1));
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

    /// Changes the text called `name`.
    pub fn set(&self, name: impl Into<String>, text: impl Into<String>) {
        let mut state = self.state();
        let (held, version) = state.texts.entry(name.into()).or_default();
        *held = text.into();
        *version += 1;
    }

    /// Removes the text called `name`.
    pub fn remove(&self, name: &str) {
        self.state().texts.remove(name);
    }

    /// Answers say from now on that they are valid until then, as those of a source that knows when it
    /// will change. `None` takes that back.
    pub fn set_valid_until(&self, until: Option<SystemTime>) {
        self.state().valid_until = until;
    }

    /// Fetches the text called `name` without a cache: for the function of a
    /// [`memo`](crate::Cache::memo). The current [`Behaviour`] applies.
    ///
    /// # Errors
    ///
    /// The error of [`Behaviour::Fail`], or [`ErrorKind::NotFound`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, the call is no longer in flight.
    pub async fn ask(&self, name: impl Into<String>) -> Result<String, Error> {
        let names = [name.into()];
        let text = self.call(&names, |state| state.text(&names[0]).map(|(text, _)| text.clone()));
        text.await.map_err(|failure| failure.into_error("asking the test source failed"))
    }

    /// Sets how calls behave that begin from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Answers all calls that [`Behaviour::Hold`] holds now.
    pub fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    /// The names that each call so far asked for.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.state().calls.clone()
    }

    /// How many calls are in flight: neither answered nor dropped.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// How often the cache has told the source to connect again, as it does after a SnapStart restore.
    pub fn resets(&self) -> usize {
        self.state().resets
    }

    /// One call for these names, answered from the state at its start.
    async fn call<A>(&self, names: &[String], answer: impl FnOnce(&SourceState) -> A) -> A {
        let _in_flight = InFlight::begin(self, names);
        let mut releases = self.releases.subscribe();
        let (behaviour, answer) = {
            let state = self.state();
            (state.behaviour.clone(), answer(&state))
        };
        match behaviour {
            Behaviour::Answer | Behaviour::Fail(_) => {}
            Behaviour::Late(delay) => tokio::time::sleep(delay).await,
            Behaviour::Hold => _ = releases.changed().await,
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("as the test said"),
        }
        answer
    }

    fn state(&self) -> MutexGuard<'_, SourceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("TestSource")
            .field("names", &state.texts.keys())
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
        let which = format!("{:p}", source.state);
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
        let limit = self.state().batch_limit.unwrap_or(usize::MAX);
        due.chunks(limit).map(<[_]>::to_vec).collect()
    }

    fn fetch(&self, batch: Vec<Wanted<TestName>>) -> BoxFuture<'_, Vec<Fetch<String>>> {
        Box::pin(async move {
            count_call();
            let names: Vec<String> = batch.into_iter().map(|wanted| wanted.request.0).collect();
            self.call(&names, |state| names.iter().map(|name| state.fetch(name)).collect()).await
        })
    }

    fn reset(&self) {
        self.state().resets += 1;
    }
}

impl SourceState {
    fn text(&self, name: &str) -> Result<&(String, u64), FetchError> {
        if let Behaviour::Fail(kind) = self.behaviour {
            return Err(FetchError::new(kind, "as the test said"));
        }
        let missing = || FetchError::new(ErrorKind::NotFound, format!("no text is called {name}"));
        self.texts.get(name).ok_or_else(missing)
    }

    fn fetch(&self, name: &str) -> Fetch<String> {
        let (text, version) = self.text(name)?;
        let answer = Fetched::current(text.clone(), Some(Version::new(version)));
        Ok(Fetched { valid_until: self.valid_until, ..answer })
    }
}

/// Counts a call as in flight until it is dropped.
struct InFlight(TestSource);

impl InFlight {
    fn begin(source: &TestSource, names: &[String]) -> Self {
        let mut state = source.state();
        state.in_flight += 1;
        state.calls.push(names.to_vec());
        drop(state);
        Self(source.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}
