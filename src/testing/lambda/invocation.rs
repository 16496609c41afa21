//! [`InvocationBuilder`] and [`InvocationHandle`]: an invocation that is described, then goes on.

use super::state::{Record, State};
use super::{Invocation, Lambda, LambdaError, Order, Outcome};

/// Describes an invocation; see [`Lambda::invocation`].
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

    /// In which order the two sides get their events. Defaults to the
    /// [environment's](super::LambdaBuilder::order).
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The trace id, as a client may forge it; an empty one leaves it out. Defaults to one whose epoch
    /// is the true time.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// Queues the invocation. It begins when the function waits for it, and those before it are over.
    ///
    /// # Errors
    ///
    /// [`LambdaError::Payload`] if the payload cannot be JSON.
    pub fn start(self) -> Result<InvocationHandle, LambdaError> {
        let payload = self.payload.map_err(LambdaError::Payload)?;
        let record = Record::new(payload, self.order, self.trace_id);
        let request_id = record.request_id().to_owned();
        let place = self.lambda.environment.change(|state| state.enqueue(record));
        Ok(InvocationHandle { lambda: self.lambda, request_id, place })
    }
}

/// An invocation that was started. It goes on whether or not somebody holds this.
///
/// All that waits here fails if the invocation cannot begin: with [`LambdaError::NotIdle`] after the
/// [`patience`](super::LambdaBuilder::patience), or at once if init failed or the process has exited.
/// Once begun, it ends at its deadline at the latest.
///
/// ```no_run
/// # async fn doc(lambda: lambda_cache::testing::Lambda) -> Result<(), lambda_cache::testing::LambdaError> {
/// use lambda_cache::testing::{Gap, Order};
///
/// let invocation = lambda.invocation("ping").order(Order::HandlerFirst(Gap::Held)).start()?;
/// invocation.responded().await?; // the extension has not heard of it yet
/// invocation.release();
/// let invocation = invocation.over().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct InvocationHandle {
    lambda: Lambda,
    request_id: String,
    place: usize,
}

impl InvocationHandle {
    /// The invocation's request id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Ends the [gap](super::Gap) between the two sides: the second gets its event as soon as it asks
    /// for it, even before the first.
    pub fn release(&self) {
        self.lambda.environment.change(|state| state.release(self.place));
    }

    /// Waits until the runtime has taken the invocation; says whether it did before the end.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn handed_over(&self) -> Result<bool, LambdaError> {
        self.reached(Record::is_handed_over).await
    }

    /// Waits until every extension that gets INVOKE has taken it; says whether they did before the
    /// end.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn invoke_taken(&self) -> Result<bool, LambdaError> {
        self.reached(Record::invoke_is_taken).await
    }

    /// Waits until every extension that gets INVOKE is done with it and has asked for its next event;
    /// says whether they did before the end.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn extensions_done(&self) -> Result<bool, LambdaError> {
        self.reached(Record::extensions_are_done).await
    }

    /// Waits until there is an outcome, which is when the caller would hear of it: the response or the
    /// error was posted, or there will be none.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn responded(&self) -> Result<Outcome, LambdaError> {
        self.begun().await?;
        Ok(self.until(|record| record.outcome().cloned()).await)
    }

    /// Waits until the invocation is over.
    ///
    /// # Errors
    ///
    /// See above.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn over(&self) -> Result<Invocation, LambdaError> {
        self.begun().await?;
        Ok(self.until(Record::invocation).await)
    }

    async fn reached(&self, stage: impl Fn(&Record) -> bool) -> Result<bool, LambdaError> {
        self.begun().await?;
        let before_the_end =
            self.until(
                |record| {
                    if stage(record) { Some(true) } else { record.invocation().map(|_| false) }
                },
            );
        Ok(before_the_end.await)
    }

    async fn begun(&self) -> Result<(), LambdaError> {
        let begun = |state: &mut State| state.record(self.place).has_begun().then_some(());
        self.lambda.environment.function_does(begun).await
    }

    async fn until<R>(&self, look: impl Fn(&Record) -> Option<R>) -> R {
        self.lambda.environment.until(|state| look(state.record(self.place))).await
    }
}
