//! The world: a true time, things that change, and a source that tells of them as it is told to.
//!
//! It notes of each answer when it was asked for, in true time. That is what the oracle judges by.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lambda_cache::sources::{
    BoxFuture, ByKey, Connections, Declare, Declared, Fetch, FetchError, Fetched, Source, Wanted,
    count_call,
};
use lambda_cache::testing::TestClock;
use lambda_cache::{Clock, DecodeError, Error, ErrorKind, Stamp, Version};

use crate::history::{Answers, Derives, Target, Thing, With};

/// A true instant, in milliseconds.
pub type True = i64;

/// When something was, among all that was: at one instant much can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When {
    pub order: u64,
    pub at: True,
}

/// An answer that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Which of the thing's values it gave, or confirmed.
    pub value: u64,
    pub asked: When,
    pub lifetime: Option<u64>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// The entries of a thing share their requests.
    Entries,
    /// A memo of the source's values.
    Keys(usize),
    /// A memo of a function, which hands on no lifetimes.
    Function(usize),
}

/// What is asked for in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    asker: Asker,
    thing: usize,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thing {}", self.thing)
    }
}

/// What has become of a thing.
#[derive(Debug)]
pub struct ThingState {
    pub kind: Thing,
    /// Its present value: the number of its changes.
    pub value: u64,
    pub answers: Answers,
    /// The answers that have arrived, in their order, and who had asked.
    pub arrived: Vec<(Asker, Answer)>,
    /// How often it was asked for.
    pub calls: u64,
    /// The shortest lifetime that was given with an answer.
    pub lifetime: u64,
    /// When all that was asked since was well: answered, quickly.
    pub well_since: True,
    /// Whether it has been throttled.
    pub throttled: bool,
}

struct State {
    things: Vec<ThingState>,
    derives: Vec<Derives>,
    /// Fetches and derivations under way.
    in_flight: usize,
    /// How often somebody has asked when it is.
    order: u64,
}

/// The environment's clocks. Whoever asks them for ever while no time passes is stopped.
#[derive(Debug)]
pub struct Clocks {
    clock: TestClock,
    asked: Mutex<(Stamp, u32)>,
}

/// How often clocks may be asked at one instant.
const PATIENCE: u32 = 100_000;

impl Clock for Clocks {
    fn now(&self) -> Stamp {
        let now = self.clock.now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = if asked.0 == now { asked.1 + 1 } else { 0 };
        *asked = (now, times);
        drop(asked);
        assert!(times < PATIENCE, "it goes round in circles");
        now
    }
}

/// Clones share one world.
#[derive(Clone)]
pub struct World {
    pub clock: TestClock,
    batch: usize,
    state: Arc<Mutex<State>>,
}

/// Answers that come later than this are not quick.
const QUICK: True = 40;

impl ThingState {
    /// Whether all that was asked since `instant` is answered, and quickly.
    pub fn is_well_since(&self, instant: True) -> bool {
        let Answers { before, after, with } = self.answers;
        let answers = matches!(with, With::Value | With::Lifetime(_));
        answers && before + after <= QUICK as u64 && self.well_since < instant
    }
}

impl World {
    pub fn new(things: &[Thing], entries: usize, batch: usize) -> Self {
        let answers = Answers { before: 0, after: 0, with: With::Value };
        let thing = |&kind: &Thing| ThingState {
            kind,
            value: 0,
            answers,
            arrived: Vec::new(),
            calls: 0,
            lifetime: u64::MAX,
            well_since: True::MIN,
            throttled: false,
        };
        let things = things.iter().map(thing).collect();
        let derives = vec![Derives { takes: 0, fails: false }; entries];
        let state = Arc::new(Mutex::new(State { things, derives, in_flight: 0, order: 0 }));
        Self { clock: TestClock::new(), batch, state }
    }

    /// The clocks for a cache.
    pub fn clocks(&self) -> Clocks {
        let clock = self.clock.clone();
        Clocks { asked: Mutex::new((clock.now(), 0)), clock }
    }

    pub fn now(&self) -> True {
        let now = self.clock.true_now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap_or_default().as_millis() as True
    }

    pub fn when(&self) -> When {
        let at = self.now();
        let mut state = self.state();
        state.order += 1;
        When { order: state.order, at }
    }

    pub fn change(&self, thing: usize) {
        self.state().things[thing].value += 1;
    }

    pub fn answers(&self, thing: usize, answers: Answers) {
        let now = self.now();
        let thing = &mut self.state().things[thing];
        thing.answers = answers;
        thing.well_since = now;
    }

    pub fn derives(&self, entry: usize, thing: usize, derives: Derives) {
        let now = self.now();
        let mut state = self.state();
        state.derives[entry] = derives;
        state.things[thing].well_since = now;
    }

    /// From now on everything is well.
    pub fn recover(&self) {
        let now = self.now();
        let mut state = self.state();
        for thing in &mut state.things {
            thing.well_since = now;
            thing.answers = Answers { before: 0, after: 5, with: With::Value };
        }
        state.derives.fill(Derives { takes: 0, fails: false });
    }

    pub fn thing<T>(&self, thing: usize, look: impl FnOnce(&ThingState) -> T) -> T {
        look(&self.state().things[thing])
    }

    /// Whether a target's values are derived quickly and well.
    pub fn derives_well(&self, target: Target) -> bool {
        let Target::Entry(entry) = target else { return true };
        let Derives { takes, fails } = self.state().derives[entry];
        !fails && takes <= QUICK as u64
    }

    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for some things in one call.
    async fn call(
        &self,
        requests: Vec<(Request, Option<Version>)>,
    ) -> Vec<Result<Found, ErrorKind>> {
        let (asked, wall) = (self.when(), self.clock.now().wall());
        let asking: Vec<usize> = requests.iter().map(|(request, _)| request.thing).collect();
        let mut going = Going { world: self, asked, things: asking, ended: false };
        self.begun(&going.things);
        count_call();
        let looks =
            requests.iter().map(|(request, held)| self.look(request.thing, held.as_ref(), wall));
        let found = join_all(looks).await;
        let mut state = self.state();
        for ((Request { asker, thing }, _), found) in requests.iter().zip(&found) {
            if let Ok(Found { value, lifetime, .. }) = *found {
                let lifetime = lifetime.filter(|_| !matches!(asker, Asker::Function(_)));
                let answer = Answer { value, asked, lifetime };
                let thing = &mut state.things[*thing];
                thing.arrived.push((*asker, answer));
                thing.lifetime = thing.lifetime.min(lifetime.unwrap_or(u64::MAX));
            }
        }
        going.ended = found.iter().all(Result::is_ok);
        drop(state);
        found
    }

    fn begun(&self, things: &[usize]) {
        let mut state = self.state();
        state.in_flight += 1;
        for &thing in things {
            state.things[thing].calls += 1;
        }
    }

    /// What the source finds when it looks at a thing. `wall` is what the environment's clock showed
    /// when it was asked.
    async fn look(
        &self,
        thing: usize,
        held: Option<&Version>,
        wall: SystemTime,
    ) -> Result<Found, ErrorKind> {
        let Answers { before, after, with } = self.thing(thing, |thing| thing.answers);
        pass(before).await;
        let (value, kind) = self.thing(thing, |thing| (thing.value, thing.kind));
        pass(after).await;
        match with {
            With::Failure => return Err(ErrorKind::Source),
            With::Throttling => {
                self.state().things[thing].throttled = true;
                return Err(ErrorKind::Throttled);
            }
            With::Panic => panic!("the source was told to"),
            With::Nothing => std::future::pending().await,
            With::Value | With::Lifetime(_) => {}
        }
        let version = kind.versions.then(|| Version::new(value));
        let fetched = match &version {
            Some(version) if kind.unchanged && held == Some(version) => Fetched::unchanged(),
            _ => Fetched::current(value, version),
        };
        let With::Lifetime(lifetime) = with else {
            return Ok(Found { value, lifetime: None, fetched });
        };
        let fetched = fetched.valid_until(wall + Duration::from_millis(lifetime));
        Ok(Found { value, lifetime: Some(lifetime), fetched })
    }

    /// What a memo's function does.
    pub async fn look_up(&self, memo: usize, thing: usize) -> Result<u64, ErrorOf> {
        let request = Request { asker: Asker::Function(memo), thing };
        match self.call(vec![(request, None)]).await.pop() {
            Some(Ok(found)) => Ok(found.value),
            _ => Err(ErrorOf),
        }
    }

    /// What derives an entry's values.
    pub async fn derive(&self, entry: usize, thing: usize, value: u64) -> Result<u64, ErrorOf> {
        let asked = self.when();
        self.state().in_flight += 1;
        let mut going = Going { world: self, asked, things: vec![thing], ended: false };
        let Derives { takes, fails } = self.state().derives[entry];
        pass(takes).await;
        going.ended = !fails;
        if fails { Err(ErrorOf) } else { Ok(value) }
    }

    pub fn entry(&self, thing: usize) -> Asks {
        Asks { world: self.clone(), thing }
    }
}

async fn pass(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// A fetch or a derivation under way.
struct Going<'a> {
    world: &'a World,
    asked: When,
    things: Vec<usize>,
    /// It has ended, and well.
    ended: bool,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let now = self.world.now();
        let mut state = self.world.state();
        state.in_flight -= 1;
        if !self.ended || now - self.asked.at > QUICK {
            for &thing in &self.things {
                state.things[thing].well_since = now;
            }
        }
    }
}

/// What the source has of a thing.
struct Found {
    value: u64,
    lifetime: Option<u64>,
    fetched: Fetched<u64>,
}

/// The failure of a memo's function, or of a derivation.
#[derive(Debug)]
pub struct ErrorOf;

impl fmt::Display for ErrorOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was told to fail")
    }
}

impl std::error::Error for ErrorOf {}

impl Source for World {
    type Request = Request;
    type Payload = u64;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        due.chunks(self.batch).map(<[Request]>::to_vec).collect()
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<u64>>> {
        let requests = batch.into_iter().map(|it| (it.request, it.held)).collect();
        let answer = |found: Result<Found, ErrorKind>| match found {
            Ok(found) => Ok(found.fetched),
            Err(kind) => Err(FetchError::new(kind, ErrorOf)),
        };
        Box::pin(async move { self.call(requests).await.into_iter().map(answer).collect() })
    }
}

/// What an entry asks for.
pub struct Asks {
    world: World,
    thing: usize,
}

impl Declare for Asks {
    type Source = World;

    fn declare(self, connections: &mut Connections) -> Result<Declared<World>, Error> {
        let source = shared(&self.world, connections);
        let request = Request { asker: Asker::Entries, thing: self.thing };
        Ok(Declared { source, request, name: None })
    }
}

/// The keys of a memo.
pub struct Keys {
    pub world: World,
    pub memo: usize,
}

impl ByKey for Keys {
    type Key = usize;
    type Value = u64;
    type Source = World;

    fn source(&self, connections: &mut Connections) -> Result<Arc<World>, Error> {
        Ok(shared(&self.world, connections))
    }

    fn request(&self, key: &usize) -> Request {
        Request { asker: Asker::Keys(self.memo), thing: *key }
    }

    fn decode(&self, payload: &u64) -> Result<u64, DecodeError> {
        Ok(*payload)
    }

    fn describe(&self) -> String {
        "things".into()
    }
}

/// The one source of a cache.
fn shared(world: &World, connections: &mut Connections) -> Arc<World> {
    connections.shared("", |_| world.clone())
}
