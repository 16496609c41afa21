//! A Lambda that can freeze: the Runtime API and the Extensions API on a loopback port, by AWS's
//! rules, with the order of events, the faults and the freezes that a test asks for.
//!
//! From below: `builder` and `report` are what a test asks for and what it is told; `state` has the
//! rules, as plain data; `environment` locks it and waits for its changes; `api` puts it on HTTP; here,
//! and in `invocation`, `freeze` and `process`, is what a test calls.

mod api;
mod builder;
mod environment;
mod freeze;
mod invocation;
mod process;
mod report;
mod state;

pub use builder::{Fault, Gap, LambdaBuilder, Order};
pub use freeze::Frozen;
pub use invocation::{InvocationBuilder, InvocationHandle};
pub use report::{
    ExtensionEnd, Invocation, LambdaCounts, LambdaError, Outcome, RegisteredExtension, Report,
    ReportKind, Timings,
};

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use serde::Serialize;

use super::TestClock;
use crate::clock::{Clock, SystemClock};
use environment::Environment;
use state::LambdaState;

/// An execution environment of AWS Lambda, under a test's control: the Runtime API and the Extensions
/// API on a loopback port, by AWS's rules. It can be frozen and thawed.
///
/// Clones share one environment. It ends when the last of them is dropped: processes are killed, and
/// open requests of the function get no answer.
///
/// Where AWS promises nothing, such as whether the handler or the extension starts first, the test
/// decides ([`Order`]), so every run is the same. Nothing here polls.
///
/// # In process
///
/// The function reads the address of the APIs from its environment variables, which must be set before
/// any thread starts. So the port is bound first, and the environment starts inside the runtime:
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
///         tokio::spawn(function()); // what `main` does, such as `lambda_runtime::run(..)`
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
/// [`spawn`](Self::spawn) starts the function's binary. [`spawn_extension`](Self::spawn_extension)
/// starts an external extension, beside a function in this process or in its own. Processes are frozen
/// by signals, in real time.
///
/// # Limits
///
/// - Do not pause the runtime's time while the function works. Paused time jumps to the next timer
///   whenever all tasks wait for a socket, and so to the deadline of the invocation. Pause it only to
///   skip a wait for such a timer. For tests to the instant use
///   [`Invocations`](crate::testing::Invocations), which has no HTTP.
/// - In process, nothing can be killed: after a timeout the function still runs, and it is invoked again
///   when it asks for its next invocation.
/// - There is no Telemetry API.
#[derive(Debug, Clone)]
pub struct Lambda {
    environment: Arc<Environment>,
    _lifetime: Arc<Lifetime>,
}

/// Ends the environment when dropped.
#[derive(Debug)]
struct Lifetime(Arc<Environment>);

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.0.change(LambdaState::end);
    }
}

impl Lambda {
    /// Configures an environment. Defaults to one on demand, with a timeout of 3 seconds.
    pub fn builder() -> LambdaBuilder {
        LambdaBuilder::new()
    }

    /// Invokes the function, and waits until the invocation is over: the response is posted, and the
    /// runtime and each extension that gets INVOKE have asked for the next event.
    ///
    /// Short for [`invocation`](Self::invocation), [`start`](InvocationBuilder::start) and
    /// [`over`](InvocationHandle::over). If the function fails, times out or exits, that is not an error
    /// here, but the invocation's [`outcome`](Invocation::outcome).
    ///
    /// # Errors
    ///
    /// [`LambdaError::Payload`] if the payload cannot be written as JSON, and the errors of
    /// [`InvocationHandle`] if the function cannot be invoked.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the invocation goes on.
    pub async fn invoke(&self, payload: impl Serialize) -> Result<Invocation, LambdaError> {
        self.invocation(payload).start()?.over().await
    }

    /// Configures an invocation: its order and its trace id.
    pub fn invocation(&self, payload: impl Serialize) -> InvocationBuilder {
        InvocationBuilder::new(self.clone(), serde_json::to_vec(&payload))
    }

    /// Waits until init is over: the runtime and every registered extension have asked for their first
    /// event.
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
        self.environment.until_function(|state| state.is_initialised().then_some(())).await
    }

    /// Waits until Lambda would freeze the environment: no invocation is going on, and everybody has
    /// asked for the next event.
    ///
    /// # Errors
    ///
    /// Those of [`ready`](Self::ready).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if dropped.
    pub async fn idle(&self) -> Result<(), LambdaError> {
        self.environment.until_function(|state| state.is_idle().then_some(())).await
    }

    /// The environment's clock. Its wall clock gives the deadlines, its true time the trace ids.
    pub fn clock(&self) -> &TestClock {
        self.environment.clock()
    }

    /// The environment variables of the function.
    pub fn env(&self) -> Vec<(String, String)> {
        self.environment.env()
    }

    /// The registered extensions, in the order of their registration.
    pub fn extensions(&self) -> Vec<RegisteredExtension> {
        self.environment.read(LambdaState::registered_extensions)
    }

    /// The errors that the runtime and the extensions have reported, refused reports included.
    pub fn reports(&self) -> Vec<Report> {
        self.environment.read(|state| state.reports.clone())
    }

    /// What has happened so far, in numbers.
    pub fn counts(&self) -> LambdaCounts {
        self.environment.read(|state| state.counts)
    }

    /// Waits until `reached` returns true for the [counts](Self::counts). Returns those counts.
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
        self.environment.patiently(|state| Some(state.counts).filter(&reached)).await
    }

    /// Answers this extension's next request for an event with a fault. If it is asking already, it
    /// gets the fault now. Several faults are sent in their order, one for each request.
    ///
    /// The extension may register later. A fault loses no event: the event comes with the request after
    /// it.
    pub fn fail_next(&self, extension: impl Into<String>, fault: Fault) {
        self.environment.change(|state| state.fail_next(extension.into(), fault));
    }

    /// Answers the next registration with a fault, and registers nothing.
    pub fn fail_register(&self, fault: Fault) {
        self.environment.change(|state| state.fail_register(fault));
    }
}

impl LambdaBuilder {
    /// Binds a loopback port, so that the function's environment variables are known.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub fn bind(self) -> io::Result<BoundLambda> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let machine_time = || TestClock::starting_at(SystemClock::new().now().wall());
        let clock = self.clock.unwrap_or_else(machine_time);
        Ok(BoundLambda { listener, environment: Environment::new(self.function, clock, address) })
    }
}

/// An environment that has a port, and does not serve yet.
#[derive(Debug)]
#[must_use = "an environment does nothing until it is started"]
pub struct BoundLambda {
    listener: TcpListener,
    environment: Environment,
}

impl BoundLambda {
    /// The environment variables of the function. Set them before it, and any thread, starts.
    pub fn env(&self) -> Vec<(String, String)> {
        self.environment.env()
    }

    /// Starts to serve, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the port.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn start(self) -> io::Result<Lambda> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let environment = Arc::new(self.environment);
        let served = environment.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = api::serve(served.clone(), listener) => {}
                () = served.run_timers() => {}
                () = served.until(|state| state.has_ended().then_some(())) => {}
            }
        });
        let lifetime = Arc::new(Lifetime(environment.clone()));
        Ok(Lambda { environment, _lifetime: lifetime })
    }
}
