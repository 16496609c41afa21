//! Decoding: from what a source sent to what the handler reads.
//!
//! It happens once per change, not per read. A [`DecodeError`] never quotes the value.

use std::error::Error as StdError;
use std::fmt;

use crate::error::ErrorKind;

#[cfg(any(
    feature = "appconfig",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
use serde::de::DeserializeOwned;
#[cfg(any(
    feature = "appconfig",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
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
#[cfg(any(feature = "appconfig", feature = "s3"))]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes)
        .map_err(|error| DecodeError::new(format!("invalid UTF-8 at byte {}", error.valid_up_to())))
}

/// The items of a comma-separated list, as Parameter Store writes a StringList.
#[cfg(feature = "ssm")]
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// A value of type `T` from its JSON text.
#[cfg(any(feature = "appconfig", feature = "s3", feature = "secrets-manager", feature = "ssm"))]
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
#[cfg(any(
    feature = "appconfig",
    feature = "dynamodb",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
pub(crate) fn not_a<T>(why: &str) -> DecodeError {
    DecodeError::new(format!("not a {}: {why}", std::any::type_name::<T>()))
}

/// What serde says of a value, without the value. Most of its messages quote it (`invalid type:
/// string "hunter2", expected u16`), but the name of a missing field comes from the type.
#[cfg(any(
    feature = "appconfig",
    feature = "dynamodb",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
pub(crate) fn without_value(error: &impl fmt::Display) -> String {
    let message = error.to_string();
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match field {
        Some((field, _)) => format!("field `{field}` is missing"),
        None => "a value of another type or form than expected".to_owned(),
    }
}

#[cfg(all(test, feature = "s3", feature = "ssm"))]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Database {
        host: String,
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

    mod parsers {
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn a_list_is_what_its_items_were_joined_to(items in prop::collection::vec("[^,]{0,9}", 1..9)) {
                prop_assert_eq!(list(&items.join(",")), items);
            }

            #[test]
            fn bytes_are_text_if_they_are_utf_8(
                bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), 0xc0..0xf8_u8], 0..40)
            ) {
                match String::from_utf8(bytes.clone()) {
                    Ok(expected) => prop_assert_eq!(text(&bytes), Ok(&*expected)),
                    Err(error) => {
                        let at = error.utf8_error().valid_up_to();
                        let message = text(&bytes).expect_err("no UTF-8").to_string();
                        prop_assert!(message.ends_with(&format!(" {at}")), "{}", message);
                    }
                }
            }

            #[test]
            fn json_is_read_as_it_was_written(
                written in prop::collection::vec((".{0,6}", any::<Option<i64>>(), any::<bool>()), 0..4)
            ) {
                let text = serde_json::to_string(&written).expect("JSON");
                prop_assert_eq!(json(text), Ok(written));
            }

            /// `~7x` stands for what must not be seen: nothing in a type or a message is written so.
            #[test]
            fn no_decode_error_quotes_the_text(
                text in near_any(
                    &[
                        r#"{"host": "~7x", "port": "~7x"}"#,
                        r#"{"host": {"~7x": ["~7x"]}, "port": 8080}"#,
                        r#"{"host": null, "port": 99999, "missing field `~7x`": 0}"#,
                    ],
                    &["\"", "~7x", "missing field `~7x`", "{", "}", ":", ",", "null", "-", "1.5", "\\u0000"],
                )
            ) {
                if let Err(error) = json::<Database>(&text) {
                    prop_assert!(!error.to_string().contains("~7x"), "{}", error);
                }
            }
        }
    }
}
