//! What a test asks for: an environment ([`LambdaBuilder`]), the order of an invocation's events
//! ([`Order`], [`Gap`]), and injected faults ([`Fault`]).

use std::net::SocketAddr;
use std::time::Duration;

use crate::testing::TestClock;

pub(super) const VERSION: &str = "$LATEST";
pub(super) const HANDLER: &str = "bootstrap";
pub(super) const ACCOUNT_ID: &str = "123456789012";
const MEMORY_SIZE: &str = "128";

/// Configures an environment; see [`Lambda::builder`](super::Lambda::builder).
#[derive(Debug, Clone)]
#[must_use = "an environment does nothing until it is bound"]
pub struct LambdaBuilder {
    pub(super) function: FunctionConfig,
    pub(super) clock: Option<TestClock>,
}

// `bind` is in `mod.rs`, with `BoundLambda`.
impl LambdaBuilder {
    pub(super) fn new() -> Self {
        Self { function: FunctionConfig::default(), clock: None }
    }

    /// The environment's clock, which a freeze moves. Give it to the function's cache as well.
    ///
    /// Defaults to one that shows the machine's time.
    pub fn clock(mut self, clock: TestClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The function's name. Defaults to `function`.
    pub fn function_name(mut self, name: impl Into<String>) -> Self {
        self.function.name = name.into();
        self
    }

    /// The function's region. Defaults to `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.function.region = region.into();
        self
    }

    /// How long an invocation may take, from its delivery until it is over. Defaults to 3 seconds,
    /// like Lambda's own.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.function.timeout = timeout;
        self
    }

    /// How long to wait for the function before giving up: in [`ready`](super::Lambda::ready),
    /// [`idle`](super::Lambda::idle), [`freeze`](super::Lambda::freeze) and
    /// [`snapshot_ready`](super::Lambda::snapshot_ready), and for an invocation to begin. Defaults to
    /// 10 seconds, like Lambda's limit for init.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.function.patience = patience;
        self
    }

    /// The order in which the runtime and the extensions get the events of an invocation, unless the
    /// [invocation](super::InvocationBuilder::order) sets its own. Defaults to [`Order::Together`].
    pub fn order(mut self, order: Order) -> Self {
        self.function.order = order;
        self
    }

    /// Makes the extension of this name an external one, which may register for SHUTDOWN. Defaults to
    /// none: every extension is internal.
    pub fn external_extension(mut self, name: impl Into<String>) -> Self {
        self.function.external_extensions.push(name.into());
        self
    }

    /// A Managed Instance that runs at most this many invocations at once (at least one). It is never
    /// frozen and sends no INVOKE events. Defaults to an environment on demand.
    pub fn managed(mut self, max_concurrency: u32) -> Self {
        self.function.initialization_type = InitializationType::Managed(max_concurrency.max(1));
        self
    }

    /// An environment with SnapStart: after init it is restored from a snapshot. Defaults to an
    /// environment on demand.
    pub fn snap_start(mut self) -> Self {
        self.function.initialization_type = InitializationType::SnapStart;
        self
    }
}

/// How the function and its environment are configured.
#[derive(Debug, Clone)]
pub(super) struct FunctionConfig {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) timeout: Duration,
    pub(super) patience: Duration,
    pub(super) order: Order,
    pub(super) external_extensions: Vec<String>,
    pub(super) initialization_type: InitializationType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitializationType {
    OnDemand,
    SnapStart,
    /// With the most invocations that run at once.
    Managed(u32),
}

impl Default for FunctionConfig {
    fn default() -> Self {
        Self {
            name: "function".to_owned(),
            region: "us-east-1".to_owned(),
            timeout: Duration::from_secs(3),
            patience: Duration::from_secs(10),
            order: Order::default(),
            external_extensions: Vec::new(),
            initialization_type: InitializationType::OnDemand,
        }
    }
}

impl FunctionConfig {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT_ID}:function:{}", self.region, self.name)
    }

    pub(super) fn has_snap_start(&self) -> bool {
        self.initialization_type == InitializationType::SnapStart
    }

    pub(super) fn is_managed(&self) -> bool {
        matches!(self.initialization_type, InitializationType::Managed(_))
    }

    /// How many invocations run at once at most.
    pub(super) fn concurrency(&self) -> usize {
        match self.initialization_type {
            InitializationType::Managed(max) => usize::try_from(max).unwrap_or(usize::MAX),
            InitializationType::OnDemand | InitializationType::SnapStart => 1,
        }
    }

    /// The environment variables of a function whose APIs are served at this address.
    pub(super) fn env(&self, address: SocketAddr) -> Vec<(String, String)> {
        let initialization_type = match self.initialization_type {
            InitializationType::OnDemand => "on-demand",
            InitializationType::SnapStart => "snap-start",
            InitializationType::Managed(_) => "lambda-managed-instances",
        };
        let mut env = vec![
            ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_SIZE.to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", format!("{VERSION}/{}", address.port())),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type.to_owned()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("_HANDLER", HANDLER.to_owned()),
        ];
        if let InitializationType::Managed(max) = self.initialization_type {
            env.push(("AWS_LAMBDA_MAX_CONCURRENCY", max.to_string()));
        }
        env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Which side of an invocation gets its event first: the extensions (INVOKE) or the runtime (the
/// invocation). AWS promises no order, so a function has to work in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// Both at the same instant. Which event arrives first is up to the scheduler, as on AWS.
    #[default]
    Together,
    /// The runtime gets the invocation only after every extension has taken its INVOKE.
    ExtensionFirst(Gap),
    /// The extensions get their INVOKE only after the runtime has taken the invocation.
    HandlerFirst(Gap),
}

/// When the second side gets its event. [`release`](super::InvocationHandle::release) ends any gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// As soon as the first side has taken its event.
    AtOnce,
    /// This long after the first side has taken its event.
    After(Duration),
    /// When the first side is done: the handler has responded, or every extension has asked for its
    /// next event.
    UntilDone,
    /// When the test releases it. If it never does, the invocation times out.
    Held,
}

/// What an extension gets instead of the right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A response with this status and body.
    Status(u16, String),
    /// A response with status 200 and this body, which is not a valid event.
    Malformed(String),
    /// The connection is closed without a response. The extension counts as still asking.
    Close,
}

impl Fault {
    /// A refusal (403) in the format of the Extensions API.
    pub fn refused() -> Self {
        let body = r#"{"errorMessage":"refused by a test","errorType":"Extension.Test"}"#;
        Self::Status(403, body.to_owned())
    }

    /// A failure (500) that the Extensions API documents as "non-recoverable".
    pub fn failed() -> Self {
        let body = r#"{"errorMessage":"Internal Server Error","errorType":"InternalServerError"}"#;
        Self::Status(500, body.to_owned())
    }
}
