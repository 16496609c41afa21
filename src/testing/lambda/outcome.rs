//! [`Invocation`]: what has become of one that is over.

use std::time::Duration;

use axum::body::Bytes;
use serde::de::DeserializeOwned;

use super::LambdaError;

/// An invocation that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// When what happened.
    pub timings: Timings,
}

/// What came of an invocation.
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
    /// It was not over at its deadline, whether or not there was a response by then.
    TimedOut,
    /// The function's process exited before there was a response.
    ProcessExited,
}

/// When what happened in an invocation, since it was there to be delivered, by the time of the tokio
/// runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// The runtime took it.
    pub handed_over: Option<Duration>,
    /// The last of the extensions that get INVOKE took it.
    pub invoke_taken: Option<Duration>,
    /// The response, or the error, was posted.
    pub responded: Option<Duration>,
    /// The environment could be frozen, was found to be late, or was gone.
    pub over: Duration,
}

impl Invocation {
    /// The response, from JSON.
    ///
    /// # Errors
    ///
    /// [`LambdaError::NoResponse`] if there is none, [`LambdaError::Payload`] if it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, LambdaError> {
        match &self.outcome {
            Outcome::Response(body) => serde_json::from_slice(body).map_err(LambdaError::Payload),
            other => Err(LambdaError::NoResponse(other.clone())),
        }
    }

    /// How long the environment was kept busy after the response, which is billed; `None` if there
    /// was no response.
    pub fn held_after_response(&self) -> Option<Duration> {
        Some(self.timings.over.saturating_sub(self.timings.responded?))
    }
}
