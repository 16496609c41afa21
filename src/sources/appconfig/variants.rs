//! Flags with variants, which AppConfig sends in a format for its agent.
//!
//! As soon as one flag of a configuration has variants, GetLatestConfiguration gives all its flags as
//! Amazon Ion (`application/ion; type=AWS.AppConfig.FeatureFlags`) instead of JSON: each flag's
//! variants with their rules, which the AppConfig Agent evaluates for the context of a request.

use serde::de::DeserializeOwned;

use crate::decode::{self, DecodeError};

const EXPLANATION: &str = "a flag of this configuration has variants, so AppConfig sends all its \
    flags in the format of its agent (Amazon Ion), which evaluates their rules: read them from the \
    AppConfig Agent, or move the flags without variants to a configuration profile of their own";

/// A value of type `T` from a configuration's JSON text, or, if it is none, why that may be.
pub(super) fn json<T: DeserializeOwned>(configuration: &[u8]) -> Result<T, DecodeError> {
    decode::json(configuration).map_err(|error| match has_variants(configuration) {
        true => DecodeError::new(EXPLANATION),
        false => error,
    })
}

fn has_variants(configuration: &[u8]) -> bool {
    // How binary Ion begins.
    configuration.starts_with(b"\xE0\x01\x00\xEA")
        || std::str::from_utf8(configuration).is_ok_and(|it| is_ion(it) || has_member(it))
}

/// Whether it begins with a flag as an annotated value: `checkout::[..]`, or `checkout::"..."`.
fn is_ion(text: &str) -> bool {
    let Some((annotation, value)) = text.split_once("::") else { return false };
    if !value.trim_start().starts_with(['[', '"', '\'']) {
        return false;
    }
    let annotation = annotation.trim().trim_start_matches("$ion_1_0").trim();
    let name = annotation.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
    let name = name.unwrap_or(annotation);
    !name.is_empty() && name.chars().all(|it| it.is_alphanumeric() || "_$-".contains(it))
}

/// Whether it has a flag's variants as they are written to AppConfig.
fn has_member(text: &str) -> bool {
    text.contains("\"_variants\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_recognised_in_each_of_their_formats() {
        for text in [
            "checkout::[[(eq $country \"US\"), '''{\"enabled\":true}'''], '''{\"enabled\":false}''']",
            "'new-checkout'::\n[ '''{}''' ]",
            "$ion_1_0\n checkout::'''{}'''",
            r#"{"checkout": {"_variants": [{"name": "default", "enabled": true}]}}"#,
        ] {
            assert!(has_variants(text.as_bytes()), "{text}");
        }
        assert!(has_variants(b"\xE0\x01\x00\xEA\xEE\x81\x83\xDE"));
    }

    #[test]
    fn no_other_text_is_taken_for_variants() {
        for text in [
            "",
            "::",
            r#"{"checkout": {"enabled": true}}"#,
            r#"{"url": "http://[::1]/"}"#,
            "address = [::1]",
            "key: value",
            "std::vec",
            "<a>::</a>",
        ] {
            assert!(!has_variants(text.as_bytes()), "{text}");
        }
        assert!(!has_variants(b"\xE0\x01\x00"));
    }
}
