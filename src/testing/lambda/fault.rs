//! [`Fault`]: an answer that the Extensions API should not have given.

/// What an extension gets instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An answer with this status and body.
    Status(u16, String),
    /// A success with this body, which no event should have.
    Malformed(String),
    /// The connection closes without an answer. The question counts as still asked.
    Close,
}

impl Fault {
    /// A refusal, as the Extensions API words them.
    pub fn refused() -> Self {
        let body = r#"{"errorMessage":"refused by a test","errorType":"Extension.Test"}"#;
        Self::Status(403, body.to_owned())
    }

    /// A failure that the Extensions API documents as "non-recoverable".
    pub fn failed() -> Self {
        let body = r#"{"errorMessage":"Internal Server Error","errorType":"InternalServerError"}"#;
        Self::Status(500, body.to_owned())
    }
}
