//! [`LambdaError`]: why a function could not be started, invoked, frozen or restored.

use std::process::ExitStatus;
use std::{error, fmt, io};

use super::{Outcome, Report};

/// Why a function could not be started, invoked, frozen or restored.
#[derive(Debug)]
#[non_exhaustive]
pub enum LambdaError {
    /// A payload cannot be written as JSON, or a response cannot be read as what was wanted.
    Payload(serde_json::Error),
    /// The invocation came to something else than a response.
    NoResponse(Outcome),
    /// Init, or what follows a restore, failed, and was reported.
    InitFailed(Report),
    /// The function's process has exited.
    ProcessExited(Option<ExitStatus>),
    /// The environment did not come to rest within the
    /// [`patience`](super::LambdaBuilder::patience).
    NotIdle {
        /// Who has not asked for their next, and what is going on.
        waiting_for: Vec<String>,
    },
    /// A Managed Instance is never frozen.
    NeverFreezes,
    /// The environment is not one with SnapStart.
    NotSnapStart,
    /// A process could not be started.
    Spawn(io::Error),
    /// A process could not be stopped or continued.
    Signal(io::Error),
}

impl fmt::Display for LambdaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload(_) => f.write_str("the payload is not JSON of the kind wanted"),
            Self::NoResponse(outcome) => write!(f, "no response, but {outcome:?}"),
            Self::InitFailed(report) => {
                write!(f, "init failed with {}: {}", report.error_type, report.body)
            }
            Self::ProcessExited(Some(status)) => write!(f, "the process has exited: {status}"),
            Self::ProcessExited(None) => f.write_str("the process has exited"),
            Self::NotIdle { waiting_for } => {
                write!(f, "the environment waits for {}", waiting_for.join(" and "))
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
