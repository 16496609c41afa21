//! [`InvocationBuilder`] and [`InvocationHandle`]: an invocation that a test configures, starts and
//! follows.

use super::Lambda;
use super::builder::Order;
use super::report::{Invocation, LambdaError, Outcome};
use super::state::Record;

/// Configures an invocation; see [`Lambda::invocation`].
#[derive(Debug)]
#[must_use = "an invocation that is not started does nothing"]
pub struct InvocationBuilder {
    lambda: Lambda,
    payload: serde_json::Result<Vec<u8>>,
    order: Order,
    trace_id: Option<String>,
}

impl InvocationBuilder {
    pub(super) fn new(lambda: Lambda, payload: serde_json::Result<Vec<u8>>) -> Self {
        let order = lambda.environment.function().order;
        Self { lambda, payload, order, trace_id: None }
    }

    /// The order in which the runtime and the extensions get their events. Defaults to the
    /// [environment's](super::LambdaBuilder::order).
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The trace id, which a client may forge. An empty one is not sent. Defaults to one whose epoch is
    /// the true time.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// Queues the invocation. It begins when those before it are over and the function waits for the
    /// next.
    ///
    /// # Errors
    ///
    /// [`LambdaError::Payload`] if the payload cannot be written as JSON.
    pub fn start(self) -> Result<InvocationHandle, LambdaError> {
        let payload = self.payload.map_err(LambdaError::Payload)?;
        let record = Record::new(payload, self.order, self.trace_id);
        let request_id = record.request_id().to_owned();
        let index = self.lambda.environment.change(|state| state.enqueue(record));
        Ok(InvocationHandle { lambda: self.lambda, request_id, index })
    }
}

/// A queued or running invocation. It goes on when this is dropped.
///
/// ```no_run
/// # async fn doc(lambda: lambda_cache::testing::Lambda) -> Result<(), lambda_cache::testing::LambdaError> {
/// use lambda_cache::testing::{Gap, Order};
///
/// let invocation = lambda.invocation("ping").order(Order::HandlerFirst(Gap::Held)).start()?;
/// invocation.responded().await?; // the extension has not got INVOKE yet
/// invocation.release();
/// let invocation = invocation.over().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// All methods that wait fail if the invocation cannot begin: with [`LambdaError::NotIdle`] after the
/// [`patience`](super::LambdaBuilder::patience), or at once with [`LambdaError::InitFailed`] or
/// [`LambdaError::ProcessExited`]. An invocation that has begun ends at its deadline at the latest.
///
/// # Cancel safety
///
/// All of them can be dropped at any time; nothing is lost.
#[derive(Debug, Clone)]
pub struct InvocationHandle {
    lambda: Lambda,
    request_id: String,
    index: usize,
}

impl InvocationHandle {
    /// The invocation's request id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Ends the [gap](super::Gap) between the two sides: the second gets its event as soon as it asks,
    /// even before the first.
    pub fn release(&self) {
        self.lambda.environment.change(|state| state.release(self.index));
    }

    /// Waits until the runtime has taken the invocation; `false` if it ended before.
    pub async fn handed_over(&self) -> Result<bool, LambdaError> {
        self.reached(Record::is_handed_over).await
    }

    /// Waits until every extension that gets INVOKE has taken it; `false` if the invocation ended
    /// before.
    pub async fn invoke_taken(&self) -> Result<bool, LambdaError> {
        self.reached(Record::invoke_is_taken).await
    }

    /// Waits until every extension that gets INVOKE has asked for its next event; `false` if the
    /// invocation ended before.
    pub async fn extensions_done(&self) -> Result<bool, LambdaError> {
        self.reached(Record::extensions_are_done).await
    }

    /// Waits until the invocation has an outcome, which is when its caller would get it: the response
    /// or the error was posted, or there will be none.
    pub async fn responded(&self) -> Result<Outcome, LambdaError> {
        self.until(|record| record.outcome().cloned()).await
    }

    /// Waits until the invocation is over.
    pub async fn over(&self) -> Result<Invocation, LambdaError> {
        self.until(Record::invocation).await
    }

    async fn reached(&self, step: impl Fn(&Record) -> bool) -> Result<bool, LambdaError> {
        let reached_or_over = |record: &Record| match step(record) {
            true => Some(true),
            false => record.is_over().then_some(false),
        };
        self.until(reached_or_over).await
    }

    async fn until<R>(&self, look: impl Fn(&Record) -> Option<R>) -> Result<R, LambdaError> {
        let environment = &self.lambda.environment;
        let has_begun = |record: &Record| record.has_begun().then_some(());
        environment.until_function(|state| has_begun(state.record(self.index))).await?;
        Ok(environment.until(|state| look(state.record(self.index))).await)
    }
}
