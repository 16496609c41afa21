//! What may happen to a request on its way.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;

/// The longest delay of a request, or of an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    LateRequest,
    LateAnswer,
    /// The connection is reset before the service has seen the request, ...
    ResetBefore,
    /// ... or when it has answered.
    ResetAfter,
    /// There is no answer, and the connection stays open.
    Swallow,
    /// The connection ends, or is reset, within the answer.
    Cut,
    InternalError,
    BadGateway,
    Throttle,
    /// An answer that is not what the protocol says.
    Garbage,
    /// An answer that is not HTTP.
    NotHttp,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::LateRequest,
        Self::LateAnswer,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Swallow,
        Self::Cut,
        Self::InternalError,
        Self::BadGateway,
        Self::Throttle,
        Self::Garbage,
        Self::NotHttp,
    ];
}

/// The weather on the way to AWS.
#[derive(Debug)]
pub(crate) struct Weather(Mutex<State>);

#[derive(Debug)]
struct State {
    random: Rng,
    /// Each as likely as the others.
    faults: Vec<Fault>,
    /// How many of a hundred requests meet one.
    chance: u8,
    met: BTreeMap<Fault, usize>,
    requests: usize,
}

impl Weather {
    /// Fine, so far.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(State {
            random: Rng::with_seed(seed),
            faults: Vec::new(),
            chance: 0,
            met: BTreeMap::new(),
            requests: 0,
        }))
    }

    /// From now on some kinds of faults come, to some or to all of the requests.
    pub(crate) fn turns_bad(&self) {
        let state = &mut *self.0.lock().unwrap();
        let kinds = state.random.usize(1..=4);
        state.faults = state.random.choose_multiple(Fault::ALL, kinds);
        // What a cache is most easily wrong about.
        if state.random.bool() {
            state.faults.push(Fault::LateAnswer);
        }
        state.chance = state.random.choice([5, 15, 30, 60, 100]).unwrap_or(100);
    }

    /// From now on requests and answers pass.
    pub(crate) fn clears(&self) {
        self.0.lock().unwrap().chance = 0;
    }

    /// What the next request meets.
    pub(crate) fn next(&self) -> Option<Fault> {
        let state = &mut *self.0.lock().unwrap();
        state.requests += 1;
        if state.random.u8(0..100) >= state.chance {
            return None;
        }
        let fault = state.random.choice(&state.faults).copied()?;
        *state.met.entry(fault).or_default() += 1;
        Some(fault)
    }

    pub(crate) fn delay(&self) -> Duration {
        let longest = u64::try_from(LONGEST_DELAY.as_millis()).unwrap();
        Duration::from_millis(self.0.lock().unwrap().random.u64(0..=longest))
    }

    /// Heads or tails.
    pub(crate) fn toss(&self) -> bool {
        self.0.lock().unwrap().random.bool()
    }

    pub(crate) fn report(&self) -> String {
        let state = self.0.lock().unwrap();
        format!("{} requests; faults: {:?}", state.requests, state.met)
    }
}
