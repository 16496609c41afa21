//! [`Record`]: one invocation, from when it is queued until it is over.

use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::body::Bytes;
use serde_json::json;

use super::{deadline_ms, uuid};
use crate::testing::TestClock;
use crate::testing::lambda::builder::{Gap, Order};
use crate::testing::lambda::report::{Invocation, Outcome, Timings};

#[derive(Debug, Default)]
pub(crate) struct Record {
    request_id: String,
    payload: Bytes,
    order: Order,
    /// `None` for a trace id as AWS makes it.
    trace_id: Option<String>,

    begun: Option<Begun>,
    /// The gap between the two sides has ended, by itself or because the test said so.
    released: bool,
    handed_over: Option<Instant>,
    responded: Option<Instant>,
    runtime_asked_again: bool,
    over: Option<Instant>,
    outcome: Option<Outcome>,
}

/// What is decided when an invocation begins, which is when it can be delivered.
#[derive(Debug)]
struct Begun {
    at: Instant,
    /// `None` if it is too late for an [`Instant`].
    deadline: Option<Instant>,
    /// The same on the environment's wall clock.
    deadline_ms: u64,
    trace_id: String,
    invokes: Vec<Invoke>,
}

/// An INVOKE event for one extension.
#[derive(Debug)]
struct Invoke {
    extension: usize,
    taken: Option<Instant>,
    asked_again: bool,
}

/// What the runtime gets.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Bytes,
}

impl Record {
    pub(crate) fn new(payload: Vec<u8>, order: Order, trace_id: Option<String>) -> Self {
        let payload = payload.into();
        Self { request_id: uuid(), payload, order, trace_id, ..Self::default() }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    /// Whether every extension that gets INVOKE has taken it.
    pub(crate) fn invoke_is_taken(&self) -> bool {
        self.begun.as_ref().is_some_and(|it| it.invokes.iter().all(|it| it.taken.is_some()))
    }

    /// Whether every extension that gets INVOKE has asked for its next event.
    pub(crate) fn extensions_are_done(&self) -> bool {
        self.begun.as_ref().is_some_and(|it| it.invokes.iter().all(|it| it.asked_again))
    }

    pub(super) fn has_response(&self) -> bool {
        self.responded.is_some()
    }

    /// Whether there is a response, and the runtime and the extensions have asked for the next event.
    pub(super) fn is_done(&self) -> bool {
        self.has_response() && self.runtime_asked_again && self.extensions_are_done()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// What the test is told when the invocation is over.
    pub(crate) fn invocation(&self) -> Option<Invocation> {
        let (begun, over) = (self.begun.as_ref()?, self.over?);
        let since = |at: Instant| at.saturating_duration_since(begun.at);
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
        match self.order {
            Order::HandlerFirst(_) if self.is_handed_over() && !self.invoke_is_taken() => {
                format!("the INVOKE of {id} to be released")
            }
            Order::ExtensionFirst(_) if self.invoke_is_taken() && !self.is_handed_over() => {
                format!("the invocation {id} to be released")
            }
            _ => format!("the invocation {id} to be over"),
        }
    }

    pub(super) fn delivery(&self, arn: String) -> Option<Delivery> {
        let begun = self.begun.as_ref()?;
        let mut headers = vec![
            ("lambda-runtime-aws-request-id", self.request_id.clone()),
            ("lambda-runtime-deadline-ms", begun.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", arn),
        ];
        if !begun.trace_id.is_empty() {
            headers.push(("lambda-runtime-trace-id", begun.trace_id.clone()));
        }
        Some(Delivery { headers, payload: self.payload.clone() })
    }

    pub(super) fn invoke_event(&self, arn: &str) -> Option<String> {
        let begun = self.begun.as_ref()?;
        let mut event = json!({
            "eventType": "INVOKE",
            "deadlineMs": begun.deadline_ms,
            "requestId": self.request_id,
            "invokedFunctionArn": arn,
        });
        if !begun.trace_id.is_empty() {
            event["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": begun.trace_id });
        }
        Some(event.to_string())
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
        let invoke = |extension| Invoke { extension, taken: None, asked_again: false };
        self.begun = Some(Begun {
            at: now,
            deadline: now.checked_add(timeout),
            deadline_ms: deadline_ms(clock, timeout),
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

    /// Ends it at its deadline, whether or not there was a response.
    pub(super) fn time_out(&mut self, now: Instant) {
        self.outcome = Some(Outcome::TimedOut);
        self.over = Some(now);
    }

    /// Ends it because the process has exited. A response from before stays its outcome.
    pub(super) fn abort(&mut self, now: Instant) {
        self.outcome.get_or_insert(Outcome::ProcessExited);
        self.over = Some(now);
    }

    fn invoke_mut(&mut self, extension: usize) -> Option<&mut Invoke> {
        let begun = self.begun.as_mut()?;
        begun.invokes.iter_mut().find(|it| it.extension == extension)
    }
}

/// Who may take an invocation now, and until when.
impl Record {
    pub(super) fn runtime_may_take(&self) -> bool {
        let its_turn = match self.order {
            Order::Together | Order::HandlerFirst(_) => true,
            Order::ExtensionFirst(gap) => self.gap_is_over(gap),
        };
        its_turn && self.has_begun() && !self.is_handed_over()
    }

    pub(super) fn extension_may_take(&self, extension: usize) -> bool {
        let its_turn = match self.order {
            Order::Together | Order::ExtensionFirst(_) => true,
            Order::HandlerFirst(gap) => self.gap_is_over(gap),
        };
        let waits = |it: &Invoke| it.extension == extension && it.taken.is_none();
        its_turn && self.begun.as_ref().is_some_and(|it| it.invokes.iter().any(waits))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.begun.as_ref()?.deadline
    }

    /// When a gap that has a duration ends.
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

    fn gap_is_over(&self, gap: Gap) -> bool {
        self.released
            || match gap {
                Gap::AtOnce => self.first_taken().is_some(),
                Gap::UntilDone => self.first_is_done(),
                // Released by the environment's timer, or by the test.
                Gap::After(_) | Gap::Held => false,
            }
    }

    /// When the first side took its event. Without extensions there is no INVOKE to take.
    fn first_taken(&self) -> Option<Instant> {
        let begun = self.begun.as_ref()?;
        match self.order {
            Order::ExtensionFirst(_) if begun.invokes.is_empty() => Some(begun.at),
            Order::ExtensionFirst(_) => {
                self.invoke_is_taken().then(|| self.last_invoke_taken()).flatten()
            }
            Order::HandlerFirst(_) | Order::Together => self.handed_over,
        }
    }

    fn first_is_done(&self) -> bool {
        match self.order {
            Order::ExtensionFirst(_) => self.extensions_are_done(),
            Order::HandlerFirst(_) | Order::Together => self.has_response(),
        }
    }

    fn last_invoke_taken(&self) -> Option<Instant> {
        self.begun.as_ref()?.invokes.iter().filter_map(|it| it.taken).max()
    }
}

/// A trace id as AWS makes it: outside the environment, so with the epoch of true time.
fn trace_id(clock: &TestClock) -> String {
    let epoch = clock.true_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (root, parent) = (fastrand::u128(..) >> 32, fastrand::u64(..));
    format!("Root=1-{epoch:08x}-{root:024x};Parent={parent:016x};Sampled=0")
}
