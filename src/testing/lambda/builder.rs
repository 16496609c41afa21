//! [`LambdaBuilder`] and [`BoundLambda`]: an environment that is described, then bound, then started.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::environment::Environment;
use super::function::{Function, InitializationType};
use super::{Lambda, Order, server};
use crate::clock::{Clock, SystemClock};
use crate::testing::TestClock;

/// Describes an environment; see [`Lambda::builder`].
#[derive(Debug, Clone)]
#[must_use = "an environment that is not bound serves nobody"]
pub struct LambdaBuilder {
    function: Function,
    clock: Option<TestClock>,
}

impl LambdaBuilder {
    pub(super) fn new() -> Self {
        Self { function: Function::default(), clock: None }
    }

    /// The clock of the environment, which a freeze moves. Give it to the function as well.
    ///
    /// Defaults to one that shows the machine's own time.
    pub fn clock(mut self, clock: TestClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The function's name. Defaults to `function`.
    pub fn function_name(mut self, name: impl Into<String>) -> Self {
        self.function.name = name.into();
        self
    }

    /// Where the function is. Defaults to `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.function.region = region.into();
        self
    }

    /// How long an invocation may take, from its delivery until it is over. Defaults to 3 seconds, as
    /// Lambda's own does.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.function.timeout = timeout;
        self
    }

    /// How long to wait for the function before giving up: in [`ready`](Lambda::ready),
    /// [`idle`](Lambda::idle), [`freeze`](Lambda::freeze) and
    /// [`snapshot_ready`](Lambda::snapshot_ready), and for an invocation to begin. Defaults to
    /// 10 seconds, as Lambda's limit for init is.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.function.patience = patience;
        self
    }

    /// In which order the two sides of an invocation get their events, unless the
    /// [invocation](super::InvocationBuilder::order) says otherwise. Defaults to [`Order::Together`].
    pub fn order(mut self, order: Order) -> Self {
        self.function.order = order;
        self
    }

    /// An extension of this name is an external one, and may register for SHUTDOWN. Defaults to none:
    /// every extension is internal.
    pub fn external_extension(mut self, name: impl Into<String>) -> Self {
        self.function.external_extensions.push(name.into());
        self
    }

    /// A Managed Instance with at most so many invocations at once (and at least one): never frozen,
    /// and without INVOKE events. Defaults to an environment on demand.
    pub fn managed(mut self, max_concurrency: u32) -> Self {
        self.function.initialization_type = InitializationType::Managed(max_concurrency.max(1));
        self
    }

    /// An environment that is restored from a snapshot after init. Defaults to one on demand.
    pub fn snap_start(mut self) -> Self {
        self.function.initialization_type = InitializationType::SnapStart;
        self
    }

    /// Binds a loopback port, so that the function's environment variables are known.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub fn bind(self) -> io::Result<BoundLambda> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let clock = self.clock.unwrap_or_else(machine_time);
        Ok(BoundLambda { listener, environment: Environment::new(self.function, clock, address) })
    }
}

fn machine_time() -> TestClock {
    TestClock::starting_at(SystemClock::new().now().wall())
}

/// An environment with a port and variables, not yet serving.
#[derive(Debug)]
#[must_use = "an environment that is not started serves nobody"]
pub struct BoundLambda {
    listener: TcpListener,
    environment: Environment,
}

impl BoundLambda {
    /// The environment variables of the function, to be set before it, and any thread, starts.
    pub fn env(&self) -> Vec<(String, String)> {
        self.environment.env()
    }

    /// Starts to serve, on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// If the runtime cannot take the port.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with IO and time.
    pub fn start(self) -> io::Result<Lambda> {
        server::start(self.environment, self.listener)
    }
}
