//! [`Answer`] and [`Refusal`]: what a question comes to.

use crate::testing::lambda::Fault;

/// What a question for the next event comes to.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Event(T),
    Fault(Fault),
    Refused(Refusal),
}

/// What the APIs say no with, in AWS's words.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) error_type: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(super) fn forbidden(error_type: &'static str, message: impl Into<String>) -> Self {
        Self { status: 403, error_type, message: message.into() }
    }

    pub(super) fn unknown_extension(id: &str) -> Self {
        Self::forbidden("Extension.UnknownExtensionIdentifier", format!("Unknown extension {id}"))
    }

    pub(super) fn extension_state(message: impl Into<String>) -> Self {
        Self::forbidden("Extension.InvalidExtensionState", message)
    }

    pub(super) fn runtime_state(message: impl Into<String>) -> Self {
        Self::forbidden("InvalidStateTransition", message)
    }

    pub(super) fn unknown_request() -> Self {
        let message = "Invalid request ID".to_owned();
        Self { status: 400, error_type: "InvalidRequestID", message }
    }

    /// Only Managed Instances tell a response that is late from one that is wrong.
    pub(super) fn late() -> Self {
        let message = "Invoke timeout".to_owned();
        Self { status: 410, error_type: "InvokeTimeout", message }
    }
}
