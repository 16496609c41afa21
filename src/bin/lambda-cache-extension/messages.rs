//! The texts that people read, in the log and in errors: [`Problem`]s with the configuration, on one
//! line and in the terms of config.yaml, and why a call was not sent.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ErrorMetadata;

/// Methods of the library's entries that its errors suggest, and their fields in config.yaml.
const FIELDS: [(&str, &str); 7] = [
    ("assume_role", "role"),
    ("max_age", "max_age"),
    ("name", "name"),
    ("refresh_after", "refresh_after"),
    ("region", "region"),
    ("stale_if_error", "stale_if_error"),
    ("timeout", "timeout"),
];

pub(crate) const NO_REGION: &str =
    "no region, or an invalid one: set AWS_REGION, or `region` in config.yaml";
const NO_CREDENTIALS: &str =
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda does";
const NO_ENDPOINT: &str = "an invalid endpoint: check AWS_ENDPOINT_URL";
/// The text of an `SdkError` for a request that it could not build. Its type depends on the operation.
const NO_REQUEST: &str = "failed to construct request";

/// Bytes of a client's request that are quoted at most.
const MAX_QUOTE: usize = 256;

/// Something that keeps the sidecar from starting, and where to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A variable, or a file with line and column.
    location: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self { location: location.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, message } = self;
        f.write_str(&readable(&format!("{location}: {message}")))
    }
}

/// The text on one line, with hints in the terms of config.yaml.
pub(crate) fn readable(text: &str) -> String {
    on_one_line(&in_yaml(text))
}

/// Escapes control characters, as JSON does, so that a text can neither start a line of its own nor
/// move the reader's cursor.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if needs_escape(character) => {
                line.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => line.push(character),
        }
    }
    line
}

/// Control characters, and those that break lines or change the direction of the text after them.
fn needs_escape(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The start of a client's text, which may be long.
pub(crate) fn quote(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUOTE)]
}

/// Rewrites the library's hints, such as `` `.region("us-west-2")` ``, for config.yaml:
/// `` `region: us-west-2` ``. Their quotes may be escaped, as in JSON.
pub(crate) fn in_yaml(text: &str) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, hint, after)) = next_hint(rest) {
        rewritten.push_str(before);
        rewritten.push_str(&hint);
        rest = after;
    }
    rewritten + rest
}

/// The text before the first hint, the hint rewritten, and the text after it.
fn next_hint(text: &str) -> Option<(&str, String, &str)> {
    for (at, _) in text.match_indices("`.") {
        let call = &text[at + 2..];
        let (method, arguments) = call.split_once('(')?;
        let Some(&(_, field)) = FIELDS.iter().find(|(name, _)| *name == method) else { continue };
        let (argument, after) = arguments.split_once(")`")?;
        let quotes: &[_] = &['\\', '"'];
        let hint = format!("`{field}: {}`", argument.trim_matches(quotes));
        return Some((&text[..at], hint, after));
    }
    None
}

/// Why a call to AWS was not even sent, since something that it needs is missing or invalid here; `None` if
/// `error` is about a call that was sent. The SDK reports most of this as a failed dispatch, as it does
/// broken connections.
pub(crate) fn why_unsent(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = || std::iter::successors(Some(error), |&it| it.source());
    // STS has answered: it refuses the role.
    if causes().any(|it| it.is::<ErrorMetadata>()) {
        return None;
    }
    let reason = causes().last()?.to_string();
    if causes().any(|it| it.is::<CredentialsError>()) {
        return Some(format!("{NO_CREDENTIALS}: {reason}"));
    }
    if !causes().any(|it| is_before_sending(it) || it.to_string() == NO_REQUEST)
        || causes().any(|it| it.is::<hyper::Error>())
    {
        return None;
    }
    // The types of these errors are private to the SDK, so only their texts tell them apart.
    let mentions = |word| reason.to_ascii_lowercase().contains(word);
    Some(if mentions("region") {
        format!("{NO_REGION}: {reason}")
    } else if mentions("uri") {
        format!("{NO_ENDPOINT}: {reason}")
    } else {
        reason
    })
}

/// Whether a dispatch failed for another reason than its connection.
fn is_before_sending(error: &(dyn StdError + 'static)) -> bool {
    let failure = error.downcast_ref::<ConnectorError>();
    failure.is_some_and(|it| it.is_other() && it.as_other().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_a_line_or_moves_a_cursor() {
        let text = "a\nb\r\n\tc\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}\u{2028}\u{202e}d \u{e9}\u{1f600}";
        let escaped =
            "a\\nb\\r\\n\\tc\\u0000\\u001b[2J\\u007f\\u0085\\u009b\\u2028\\u202ed \u{e9}\u{1f600}";
        assert_eq!(on_one_line(text), escaped);
        assert_eq!(on_one_line("as it is"), "as it is");
    }

    #[test]
    fn hints_are_in_the_terms_of_config_yaml() {
        for (text, expected) in [
            ("add `.region(\"us-west-2\")` to it", "add `region: us-west-2` to it"),
            ("add `.region(\\\"us-west-2\\\")` to it", "add `region: us-west-2` to it"),
            (
                "name it with `.name(..)`; or `.assume_role(..)`",
                "name it with `name: ..`; or `role: ..`",
            ),
            ("see `.other(1)` and `.name(x)`", "see `.other(1)` and `name: x`"),
            ("`.name(", "`.name("),
            ("`.name`", "`.name`"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(in_yaml(text), expected);
        }
    }

    #[test]
    fn a_long_text_is_quoted_by_its_start() {
        assert_eq!(quote("short"), "short");
        let long = format!("x{}", "\u{1f600}".repeat(1000));
        assert_eq!(quote(&long), format!("x{}", "\u{1f600}".repeat(63)));
    }

    mod parsers {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn json_stays_json_and_on_one_line(text in "([\\PC\n\"\\\\\u{202e}\u{7f}]|`\\.name\\(|\\)`){0,12}") {
                let json = serde_json::to_string(&text).unwrap();
                let line = readable(&json);
                prop_assert!(serde_json::from_str::<String>(&line).is_ok(), "{}", line);
                prop_assert!(!line.contains(needs_escape), "{}", line);
            }

            #[test]
            fn a_quote_is_a_text_or_the_start_of_a_long_one(text in "\\PC{0,300}") {
                let quoted = quote(&text);
                prop_assert!(text.starts_with(quoted));
                prop_assert!(quoted == text || (MAX_QUOTE - 3..=MAX_QUOTE).contains(&quoted.len()));
            }
        }
    }
}
