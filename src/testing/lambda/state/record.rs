//! [`Record`]: one invocation, from its queueing until it is over.

use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::body::Bytes;

use super::extension::uuid;
use crate::clock::Clock;
use crate::testing::TestClock;
use crate::testing::lambda::{Gap, Invocation, Order, Outcome, Timings};

#[derive(Debug)]
pub(crate) struct Record {
    request_id: String,
    pub(super) payload: Bytes,
    order: Order,
    /// `None`: as AWS would make it.
    trace_id: Option<String>,

    pub(super) began: Option<Began>,
    /// The gap between the two sides is over, or the test has ended it.
    released: bool,
    handed_over: Option<Instant>,
    responded: Option<Instant>,
    runtime_asked_again: bool,
    over: Option<Instant>,
    outcome: Option<Outcome>,
}

/// What is known of an invocation from when it can be delivered.
#[derive(Debug)]
pub(super) struct Began {
    at: Instant,
    /// `None`: never, as far as clocks go.
    deadline: Option<Instant>,
    /// The same on the environment's wall clock.
    pub(super) deadline_ms: u64,
    pub(super) trace_id: String,
    invokes: Vec<Invoke>,
}

/// An INVOKE event for one extension.
#[derive(Debug)]
struct Invoke {
    extension: usize,
    taken: Option<Instant>,
    asked_again: bool,
}

impl Record {
    pub(crate) fn new(payload: Vec<u8>, order: Order, trace_id: Option<String>) -> Self {
        Self {
            request_id: uuid(),
            payload: payload.into(),
            order,
            trace_id,
            began: None,
            released: false,
            handed_over: None,
            responded: None,
            runtime_asked_again: false,
            over: None,
            outcome: None,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    /// Every extension that gets INVOKE has taken it.
    pub(crate) fn invoke_is_taken(&self) -> bool {
        self.began.as_ref().is_some_and(|it| it.invokes.iter().all(|it| it.taken.is_some()))
    }

    /// Every extension that gets INVOKE has asked for its next event.
    pub(crate) fn extensions_are_done(&self) -> bool {
        self.began.as_ref().is_some_and(|it| it.invokes.iter().all(|it| it.asked_again))
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// What the invocation was, once it is over.
    pub(crate) fn invocation(&self) -> Option<Invocation> {
        let (began, over) = (self.began.as_ref()?, self.over?);
        let since = |at: Instant| at.saturating_duration_since(began.at);
        Some(Invocation {
            request_id: self.request_id.clone(),
            outcome: self.outcome.clone()?,
            timings: Timings {
                handed_over: self.handed_over.map(since),
                invoke_taken: self.last_invoke_taken().map(since),
                responded: self.responded.map(since),
                over: since(over),
            },
        })
    }

    pub(super) fn waiting_for(&self) -> String {
        let id = &self.request_id;
        let held = "to be released";
        match self.order {
            Order::HandlerFirst(_) if !self.invoke_is_taken() && self.is_handed_over() => {
                format!("the INVOKE of {id}, {held}")
            }
            Order::ExtensionFirst(_) if !self.is_handed_over() && self.invoke_is_taken() => {
                format!("the invocation {id}, {held}")
            }
            _ => format!("the invocation {id}, to be over"),
        }
    }
}

/// What happens to an invocation.
impl Record {
    /// It can be delivered from now on, with an INVOKE for each of these extensions.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        timeout: Duration,
        clock: &TestClock,
        extensions: impl Iterator<Item = usize>,
    ) {
        let wall = clock.now().wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let invoke = |extension| Invoke { extension, taken: None, asked_again: false };
        self.began = Some(Began {
            at: now,
            deadline: now.checked_add(timeout),
            deadline_ms: milliseconds(wall.saturating_add(timeout)),
            trace_id: self.trace_id.clone().unwrap_or_else(|| trace_id(clock)),
            invokes: extensions.map(invoke).collect(),
        });
    }

    pub(super) fn hand_over(&mut self, now: Instant) {
        self.handed_over = Some(now);
    }

    pub(super) fn runtime_asked(&mut self) {
        self.runtime_asked_again = self.is_handed_over();
    }

    pub(super) fn take_invoke(&mut self, extension: usize, now: Instant) {
        if let Some(invoke) = self.invoke_mut(extension) {
            invoke.taken = Some(now);
        }
    }

    pub(super) fn extension_asked(&mut self, extension: usize) {
        if let Some(invoke) = self.invoke_mut(extension) {
            invoke.asked_again = invoke.taken.is_some();
        }
    }

    pub(super) fn respond(&mut self, outcome: Outcome, now: Instant) {
        self.responded = Some(now);
        self.outcome = Some(outcome);
    }

    pub(super) fn release(&mut self) {
        self.released = true;
    }

    pub(super) fn finish(&mut self, now: Instant) {
        self.over = Some(now);
    }

    pub(super) fn time_out(&mut self, now: Instant) {
        self.outcome = Some(Outcome::TimedOut);
        self.over = Some(now);
    }

    /// The process has exited; a response that was posted before stays one.
    pub(super) fn abort(&mut self, now: Instant) {
        self.outcome.get_or_insert(Outcome::ProcessExited);
        self.over = Some(now);
    }

    fn invoke_mut(&mut self, extension: usize) -> Option<&mut Invoke> {
        let began = self.began.as_mut()?;
        began.invokes.iter_mut().find(|it| it.extension == extension)
    }
}

/// What may happen to an invocation now.
impl Record {
    pub(super) fn runtime_may_take(&self) -> bool {
        let its_turn = match self.order {
            Order::Together | Order::HandlerFirst(_) => true,
            Order::ExtensionFirst(gap) => self.second_may_go(gap),
        };
        its_turn && self.has_begun() && !self.is_handed_over()
    }

    pub(super) fn extension_may_take(&self, extension: usize) -> bool {
        let its_turn = match self.order {
            Order::Together | Order::ExtensionFirst(_) => true,
            Order::HandlerFirst(gap) => self.second_may_go(gap),
        };
        let waiting = |it: &Invoke| it.extension == extension && it.taken.is_none();
        its_turn && self.began.as_ref().is_some_and(|it| it.invokes.iter().any(waiting))
    }

    /// There is a response, and everybody who had to do with it has asked for their next.
    pub(super) fn is_done(&self) -> bool {
        self.responded.is_some() && self.runtime_asked_again && self.extensions_are_done()
    }

    /// For Managed Instances, where workers ask without saying which of them does.
    pub(super) fn has_response(&self) -> bool {
        self.responded.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.began.as_ref()?.deadline
    }

    /// When the gap between the two sides ends by itself.
    pub(super) fn gap_ends(&self) -> Option<Instant> {
        match self.order {
            Order::ExtensionFirst(Gap::After(gap)) | Order::HandlerFirst(Gap::After(gap))
                if !self.released =>
            {
                self.first_taken()?.checked_add(gap)
            }
            _ => None,
        }
    }

    fn second_may_go(&self, gap: Gap) -> bool {
        self.released
            || match gap {
                Gap::AtOnce => self.first_taken().is_some(),
                Gap::UntilDone => self.first_is_done(),
                // The environment's timer, or the test, releases it.
                Gap::After(_) | Gap::Held => false,
            }
    }

    /// When the side that comes first had its event. Without extensions there is nothing to take.
    fn first_taken(&self) -> Option<Instant> {
        let began = self.began.as_ref()?;
        match self.order {
            Order::ExtensionFirst(_) if began.invokes.is_empty() => Some(began.at),
            Order::ExtensionFirst(_) => {
                self.invoke_is_taken().then(|| self.last_invoke_taken()).flatten()
            }
            Order::HandlerFirst(_) | Order::Together => self.handed_over,
        }
    }

    fn first_is_done(&self) -> bool {
        match self.order {
            Order::ExtensionFirst(_) => self.extensions_are_done(),
            Order::HandlerFirst(_) | Order::Together => self.responded.is_some(),
        }
    }

    fn last_invoke_taken(&self) -> Option<Instant> {
        self.began.as_ref()?.invokes.iter().filter_map(|it| it.taken).max()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As AWS makes it: upstream, so with the epoch of the world and not of the environment.
fn trace_id(clock: &TestClock) -> String {
    let epoch = clock.true_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (root, parent) = (fastrand::u128(..) >> 32, fastrand::u64(..));
    format!("Root=1-{epoch:08x}-{root:024x};Parent={parent:016x};Sampled=0")
}
