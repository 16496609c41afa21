//! Decoding: from what a source sent to what the handler reads.
//!
//! It happens once per change, not per read. A [`DecodeError`] never quotes the value.
#![cfg_attr(not(all(feature = "s3", feature = "ssm")), allow(dead_code))]

use std::error::Error as StdError;
use std::fmt;

use crate::error::ErrorKind;

#[cfg(feature = "aws")]
use serde::de::DeserializeOwned;
#[cfg(feature = "aws")]
use serde_json::error::Category;

/// Why a source's answer is not what the entry was declared to hold, without quoting the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    message: String,
    kind: ErrorKind,
}

impl DecodeError {
    /// An error with this explanation, which must not contain the value or any part of it: it is
    /// logged and handed to readers.
    pub fn new(explanation: impl Into<String>) -> Self {
        Self { message: explanation.into(), kind: ErrorKind::Decode }
    }

    /// There is nothing to decode: what was asked for does not exist.
    pub fn missing(explanation: impl Into<String>) -> Self {
        Self { message: explanation.into(), kind: ErrorKind::NotFound }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for DecodeError {}

/// UTF-8 text.
#[cfg(feature = "aws")]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes)
        .map_err(|error| DecodeError::new(format!("invalid UTF-8 at byte {}", error.valid_up_to())))
}

/// The items of a comma-separated list, as Parameter Store writes a StringList.
#[cfg(feature = "aws")]
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// A value of type `T` from its JSON text.
#[cfg(feature = "aws")]
pub(crate) fn json<T: DeserializeOwned>(text: impl AsRef<[u8]>) -> Result<T, DecodeError> {
    serde_json::from_slice(text.as_ref()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            Category::Data => without_value(&error),
            Category::Eof => "the text ends too early".to_owned(),
            Category::Syntax | Category::Io => "the text is not JSON".to_owned(),
        };
        not_a::<T>(&format!("{what} at line {line} column {column}"))
    })
}

/// What was found is not a `T`, and why.
#[cfg(feature = "aws")]
pub(crate) fn not_a<T>(why: &str) -> DecodeError {
    DecodeError::new(format!("not a {}: {why}", std::any::type_name::<T>()))
}

/// What serde says of a value, without the value. Most of its messages quote it (`invalid type:
/// string "hunter2", expected u16`), but the name of a missing field comes from the type.
#[cfg(feature = "aws")]
pub(crate) fn without_value(error: &impl fmt::Display) -> String {
    let message = error.to_string();
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match field {
        Some((field, _)) => format!("field `{field}` is missing"),
        None => "a value of another type or form than expected".to_owned(),
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Database {
        #[allow(dead_code)]
        host: String,
        #[allow(dead_code)]
        port: u16,
    }

    #[test]
    fn a_list_is_split_at_its_commas() {
        assert_eq!(list("a,b,c"), ["a", "b", "c"]);
        assert_eq!(list("a"), ["a"]);
        assert_eq!(list("a, b,"), ["a", " b", ""]);
    }

    #[test]
    fn a_decode_error_says_where_and_quotes_nothing() {
        let error = json::<Database>(r#"{"host": "h", "port": "hunter2"}"#).expect_err("a string");
        assert!(error.to_string().contains("line 1 column 31"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = json::<Database>(r#"{"host": "hunter2"}"#).expect_err("no port");
        assert!(error.to_string().contains("field `port` is missing"), "{error}");
        let error = json::<Database>("hunter2").expect_err("no JSON");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
