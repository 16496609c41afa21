//! What a test is told: how an invocation ended ([`Invocation`]), what the function and its extensions
//! did ([`LambdaCounts`], [`RegisteredExtension`], [`Report`], [`ExtensionEnd`]), and what failed
//! ([`LambdaError`]).

use std::process::ExitStatus;
use std::time::Duration;
use std::{error, fmt, io};

use axum::body::Bytes;
use serde::de::DeserializeOwned;

/// An invocation that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When each of its steps happened.
    pub timings: Timings,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler's response, as it was posted.
    Response(Bytes),
    /// The handler's error.
    Error {
        /// Its type, such as `Runtime.UnmarshalError`.
        error_type: String,
        /// Its message.
        message: String,
    },
    /// It was not over at its deadline, even if there was a response by then.
    TimedOut,
    /// The function's process exited before it responded.
    ProcessExited,
}

/// When the steps of an invocation happened: the time since it could be delivered, on the clock of
/// the tokio runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// The runtime took the invocation.
    pub handed_over: Option<Duration>,
    /// The last extension took its INVOKE.
    pub invoke_taken: Option<Duration>,
    /// The response or the error was posted.
    pub responded: Option<Duration>,
    /// The invocation was over: everybody had asked for the next event, it had timed out, or the
    /// process had exited.
    pub over: Duration,
}

impl Invocation {
    /// Parses the response as JSON.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NoResponse`] if there is none, [`LambdaError::Payload`] if it is not JSON of
    /// this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, LambdaError> {
        match &self.outcome {
            Outcome::Response(body) => serde_json::from_slice(body).map_err(LambdaError::Payload),
            other => Err(LambdaError::NoResponse(other.clone())),
        }
    }

    /// How long the environment was kept busy after the response, a time that is billed; `None` if
    /// there was no response.
    pub fn held_after_response(&self) -> Option<Duration> {
        Some(self.timings.over.saturating_sub(self.timings.responded?))
    }
}

/// What has happened in an environment so far, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LambdaCounts {
    /// How often the runtime asked for an invocation.
    pub runtime_asked: u64,
    /// How often extensions asked for an event.
    pub extensions_asked: u64,
    /// How many requests the APIs refused: registrations, reports, responses, and requests for the
    /// next event.
    pub refused: u64,
    /// How many invocations began.
    pub invocations: u64,
    /// How often the environment was frozen.
    pub freezes: u64,
}

/// An extension that has registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisteredExtension {
    /// Its name.
    pub name: String,
    /// The events that it registered for.
    pub events: Vec<String>,
    /// How often it has asked for its next event.
    pub asked: u64,
    /// Whether it is asking now, and has not been answered.
    pub is_asking: bool,
}

/// An error that the runtime or an extension reported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The path that it was posted to.
    pub kind: ReportKind,
    /// The extension that reported it; `None` for the runtime, and for one that is not registered.
    pub extension: Option<String>,
    /// Its type, from the header.
    pub error_type: String,
    /// The body.
    pub body: String,
    /// Whether the report was refused, as one to `/init/error` after init is.
    pub refused: bool,
}

/// The path that an error was reported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportKind {
    /// `/runtime/init/error`.
    RuntimeInit,
    /// `/runtime/restore/error`.
    RuntimeRestore,
    /// `/extension/init/error`.
    ExtensionInit,
    /// `/extension/exit/error`.
    ExtensionExit,
}

/// How the process of an external extension ended after SHUTDOWN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionEnd {
    /// The extension's name.
    pub name: String,
    /// Its exit status; `None` if it was killed.
    pub status: Option<ExitStatus>,
    /// The time from SHUTDOWN until it exited.
    pub after: Duration,
}

/// Why a function could not be started, invoked, frozen or restored.
#[derive(Debug)]
#[non_exhaustive]
pub enum LambdaError {
    /// A payload cannot be written as JSON, or a response cannot be parsed as the type asked for.
    Payload(serde_json::Error),
    /// The invocation ended without a response.
    NoResponse(Outcome),
    /// Init failed, or what runs after a restore, and the function reported it.
    InitFailed(Report),
    /// The function's process has exited.
    ProcessExited(Option<ExitStatus>),
    /// The function did not do what was waited for within the
    /// [`patience`](super::LambdaBuilder::patience).
    NotIdle {
        /// Who has not asked for the next event, and which invocations are not over.
        waiting_for: Vec<String>,
    },
    /// A Managed Instance is never frozen.
    NeverFreezes,
    /// The environment has no SnapStart.
    NotSnapStart,
    /// A process could not be started.
    Spawn(io::Error),
    /// A process could not be stopped or continued.
    Signal(io::Error),
}

impl fmt::Display for LambdaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(_) => f.write_str("the payload is not JSON of the expected type"),
            Self::NoResponse(outcome) => write!(f, "no response, but {outcome:?}"),
            Self::InitFailed(report) => {
                write!(f, "init failed with {}: {}", report.error_type, report.body)
            }
            Self::ProcessExited(Some(status)) => write!(f, "the process has exited: {status}"),
            Self::ProcessExited(None) => f.write_str("the process has exited"),
            Self::NotIdle { waiting_for } => {
                write!(f, "the environment waits for {}", waiting_for.join(" and for "))
            }
            Self::NeverFreezes => f.write_str("a Managed Instance is never frozen"),
            Self::NotSnapStart => f.write_str("the environment has no SnapStart"),
            Self::Spawn(_) => f.write_str("a process could not be started"),
            Self::Signal(_) => f.write_str("a process could not be stopped or continued"),
        }
    }
}

impl error::Error for LambdaError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Payload(error) => Some(error),
            Self::Spawn(error) | Self::Signal(error) => Some(error),
            _ => None,
        }
    }
}
