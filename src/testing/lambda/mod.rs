//! A Lambda that can freeze: the Runtime API and the Extensions API on a loopback port, by AWS's
//! rules, with the events, the order, the faults and the freezes that a test asks for.
//!
//! Three rooms: here and in the files beside this, what a test says and waits for; in `api`, HTTP; in
//! `state`, the rules, which neither wait nor send.

mod api;
mod builder;
mod environment;
mod error;
mod fault;
mod freeze;
mod function;
mod invocation;
mod order;
mod outcome;
mod process;
mod report;
mod server;
mod shutdown;
mod snapstart;
mod state;

pub use builder::{BoundLambda, LambdaBuilder};
pub use error::LambdaError;
pub use fault::Fault;
pub use freeze::Frozen;
pub use invocation::{InvocationBuilder, InvocationHandle};
pub use order::{Gap, Order};
pub use outcome::{Invocation, Outcome, Timings};
pub use report::{LambdaCounts, RegisteredExtension, Report, ReportKind};
pub use shutdown::ExtensionEnd;

use std::sync::Arc;

use serde::Serialize;

use super::TestClock;
use environment::Environment;
use server::Lifetime;
use state::State;

/// An execution environment of AWS Lambda, under a test's control: the Runtime API and the Extensions
/// API on a loopback port, by AWS's rules, and what freezes and thaws the function.
///
/// Clones share one environment. With the last of them it ends: processes are killed, and what the
/// function asks then gets no answer.
///
/// What AWS promises nobody, such as which side of an invocation hears of it first, the test decides
/// ([`Order`]), so that what depends on it is the same in every run. Nothing here sleeps or polls.
///
/// # In process
///
/// The function reads where to ask from its environment variables, which must be set before threads
/// start. So the port is bound first, and the environment starts inside the runtime:
///
/// ```
/// use lambda_cache::testing::{Lambda, Outcome, TestClock};
/// use std::time::Duration;
/// # async fn function() { the_function::run().await }
/// # mod the_function {
/// #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// #     async fn call(head: &str, body: &str) -> String {
/// #         let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
/// #         let mut stream = tokio::net::TcpStream::connect(&api).await.unwrap();
/// #         let length = body.len();
/// #         let text = format!("{head} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
/// #         stream.write_all(text.as_bytes()).await.unwrap();
/// #         let mut answer = String::new();
/// #         stream.read_to_string(&mut answer).await.unwrap();
/// #         answer
/// #     }
/// #     pub async fn run() {
/// #         loop {
/// #             let event = call("GET /2018-06-01/runtime/invocation/next", "").await;
/// #             let id = event.lines().find_map(|it| it.strip_prefix("lambda-runtime-aws-request-id: "));
/// #             let (_, payload) = event.split_once("\r\n\r\n").unwrap();
/// #             let path = format!("POST /2018-06-01/runtime/invocation/{}/response", id.unwrap());
/// #             call(&path, payload).await;
/// #         }
/// #     }
/// # }
///
/// let clock = TestClock::new();
/// let bound = Lambda::builder().clock(clock.clone()).bind()?;
/// let variables: Vec<_> = bound.env().into_iter().map(|(key, value)| (key, Some(value))).collect();
/// temp_env::with_vars(variables, || {
///     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
///     runtime.block_on(async {
///         let lambda = bound.start()?;
///         tokio::spawn(function()); // what `main` does: `lambda_runtime::run(..)`, say
///
///         let first = lambda.invoke("ping").await?;
///         assert_eq!(first.outcome, Outcome::Response("\"ping\"".into()));
///
///         lambda.freeze(Duration::from_secs(600)).await?; // by `clock`, at once
///         let second = lambda.invoke("pong").await?;
///         assert_eq!(second.json::<String>()?, "pong");
///         Ok::<_, Box<dyn std::error::Error>>(())
///     })
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # In a process of its own
///
/// [`spawn`](Self::spawn) starts the function's binary, [`spawn_extension`](Self::spawn_extension) an
/// external extension's beside a function in process or not; they are then frozen by signals, in real
/// time.
///
/// # Limits
///
/// - The runtime's time must not be paused while the function works: paused time jumps to the next
///   timer whenever all tasks wait for a socket, and so to the deadline of the invocation. When there
///   is nothing left but to wait for that, pausing is what spares the wait. For tests to the instant
///   there is [`Invocations`](crate::testing::Invocations), without HTTP.
/// - In process, nothing can be killed: after a timeout the function is what it was before, and it is
///   invoked again when it has asked for its next invocation.
/// - There is no Telemetry API.
#[derive(Debug, Clone)]
pub struct Lambda {
    environment: Arc<Environment>,
    _lifetime: Arc<Lifetime>,
}

impl Lambda {
    /// An environment to be described: on demand, with a timeout of 3 seconds, unless said otherwise.
    pub fn builder() -> LambdaBuilder {
        LambdaBuilder::new()
    }

    /// Invokes the function, and waits until the invocation is over: the response is posted, the
    /// runtime has asked for its next invocation, and each extension that gets INVOKE for its next
    /// event.
    ///
    /// The same as [`invocation`](Self::invocation), [`start`](InvocationBuilder::start) and
    /// [`over`](InvocationHandle::over). A function that fails, times out or exits is no error here;
    /// it is the invocation's [`outcome`](Invocation::outcome).
    ///
    /// # Errors
    ///
    /// [`LambdaError::Payload`] if the payload cannot be JSON; others if the function cannot be
    /// invoked: its init failed, its process has exited, or it does not ask for an invocation.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the invocation goes on unseen.
    pub async fn invoke(&self, payload: impl Serialize) -> Result<Invocation, LambdaError> {
        self.invocation(payload).start()?.over().await
    }

    /// An invocation to be described, for control over its order and its trace id.
    pub fn invocation(&self, payload: impl Serialize) -> InvocationBuilder {
        InvocationBuilder::new(self.clone(), serde_json::to_vec(&payload))
    }

    /// Waits until init is over: the runtime and every registered extension have asked for their next.
    ///
    /// # Errors
    ///
    /// [`LambdaError::InitFailed`], [`LambdaError::ProcessExited`], or [`LambdaError::NotIdle`] with
    /// those who have not asked within the [`patience`](LambdaBuilder::patience).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn ready(&self) -> Result<(), LambdaError> {
        self.environment.function_does(|state| state.is_initialised().then_some(())).await
    }

    /// Waits until no invocation is going on and everybody has asked for their next, which is when
    /// Lambda would freeze the environment.
    ///
    /// # Errors
    ///
    /// As for [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn idle(&self) -> Result<(), LambdaError> {
        self.environment.function_does(|state| state.is_idle().then_some(())).await
    }

    /// The environment's own clock: deadlines are given by its wall clock, trace ids by true time.
    pub fn clock(&self) -> &TestClock {
        self.environment.clock()
    }

    /// The environment variables of the function.
    pub fn env(&self) -> Vec<(String, String)> {
        self.environment.env()
    }

    /// The extensions that are registered, in the order in which they did so.
    pub fn extensions(&self) -> Vec<RegisteredExtension> {
        self.environment.read(|state| state.registered_extensions())
    }

    /// The errors that the runtime and the extensions have reported, refused ones too.
    pub fn reports(&self) -> Vec<Report> {
        self.environment.read(|state| state.reports())
    }

    /// What has happened so far, in numbers.
    pub fn counts(&self) -> LambdaCounts {
        self.environment.read(|state| state.counts())
    }

    /// Waits until what has happened so far is as `reached` wants it.
    ///
    /// ```no_run
    /// # async fn doc(lambda: lambda_cache::testing::Lambda) -> Result<(), lambda_cache::testing::LambdaError> {
    /// let before = lambda.counts().extensions_asked;
    /// lambda.fail_next("my-extension", lambda_cache::testing::Fault::Close);
    /// lambda.counted(|counts| counts.extensions_asked > before).await?; // it has asked again
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LambdaError::NotIdle`] after the [`patience`](LambdaBuilder::patience).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn counted(
        &self,
        reached: impl Fn(&LambdaCounts) -> bool,
    ) -> Result<LambdaCounts, LambdaError> {
        let counted = |state: &mut State| Some(state.counts()).filter(&reached);
        self.environment.patiently(counted).await
    }

    /// Has the next answer to this extension's `/event/next` be a fault. If it is asking already, it
    /// gets it now. Faults that are there already come first.
    ///
    /// The extension need not have registered yet. No event is lost by a fault: it comes after.
    pub fn fail_next(&self, extension: impl Into<String>, fault: Fault) {
        self.environment.change(|state| state.fail_next(extension.into(), fault));
    }

    /// Has the next answer to a `/register` be a fault; nothing is registered then.
    pub fn fail_register(&self, fault: Fault) {
        self.environment.change(|state| state.fail_register(fault));
    }
}
