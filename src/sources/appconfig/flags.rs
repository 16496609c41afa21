//! Feature flags, as a configuration of that type holds them.
//!
//! As soon as one flag of a configuration has variants, GetLatestConfiguration gives all its flags as
//! Amazon Ion (`application/ion; type=AWS.AppConfig.FeatureFlags`) instead of JSON: each flag's
//! variants with their rules, which the AppConfig Agent evaluates for the context of a request.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::decode::{self, DecodeError};

const EXPLANATION: &str = "a flag of this configuration has variants, so AppConfig sends all its \
    flags in the format of its agent (Amazon Ion), which evaluates their rules: read them from the \
    AppConfig Agent, or move the flags without variants to a configuration profile of their own";

/// A feature flag: whether it is on, and its attributes.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Flag {
    enabled: bool,
    #[serde(flatten)]
    attributes: BTreeMap<String, Json>,
}

impl Flag {
    /// Whether the flag is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// An attribute as a value of type `T`; `None` if the flag has no such attribute. AppConfig gives
    /// the attributes of flags that are on.
    ///
    /// # Errors
    ///
    /// If the attribute is not a `T`. The error does not quote it.
    pub fn attribute<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(value) = self.attributes.get(name) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| {
            let (target, what) = (std::any::type_name::<T>(), decode::without_value(&error));
            DecodeError::new(format!("attribute `{name}` is not a {target}: {what}"))
        })
    }
}

/// With the attributes' names, without their values.
impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.attributes.keys().collect();
        f.debug_struct("Flag").field("enabled", &self.enabled).field("attributes", &names).finish()
    }
}

/// All feature flags of a configuration, by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Flags(BTreeMap<String, Flag>);

impl Flags {
    /// One flag.
    pub fn get(&self, name: &str) -> Option<&Flag> {
        self.0.get(name)
    }

    /// Whether the flag exists and is on.
    pub fn is_enabled(&self, name: &str) -> bool {
        self.get(name).is_some_and(Flag::is_enabled)
    }

    /// The flags' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// One flag; an error if there is none of that name.
    pub(super) fn take(mut self, name: &str) -> Result<Flag, DecodeError> {
        let missing = || DecodeError::new(format!("the configuration has no flag `{name}`"));
        self.0.remove(name).ok_or_else(missing)
    }
}

/// A value of type `T` from a configuration's JSON text.
pub(super) fn json<T: DeserializeOwned>(configuration: &[u8]) -> Result<T, DecodeError> {
    decode::json(configuration).map_err(|error| match has_variants(configuration) {
        true => DecodeError::new(EXPLANATION),
        false => error,
    })
}

/// Whether this is Ion, or JSON in the format in which flags with variants are written to AppConfig.
fn has_variants(configuration: &[u8]) -> bool {
    // The version marker of binary Ion.
    configuration.starts_with(b"\xE0\x01\x00\xEA")
        || std::str::from_utf8(configuration)
            .is_ok_and(|it| is_ion(it) || it.contains("\"_variants\""))
}

/// Whether this begins as Ion text does, with a flag as an annotated value: `checkout::[..]` or
/// `checkout::"..."`.
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

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &str = r#"{"a": {"enabled": true, "limit": 7}, "b": {"enabled": false}}"#;

    #[test]
    fn flags_have_a_state_and_attributes() {
        let flags: Flags = decode::json(FLAGS).expect("flags");
        assert!(flags.names().eq(["a", "b"]));
        assert!(flags.is_enabled("a") && !flags.is_enabled("b") && !flags.is_enabled("c"));
        let a = flags.get("a").expect("a flag");
        assert_eq!(a.attribute::<u32>("limit"), Ok(Some(7)));
        assert_eq!(a.attribute::<u32>("other"), Ok(None));
        let error = a.attribute::<String>("limit").expect_err("a number");
        assert!(error.to_string().contains("`limit`") && !error.to_string().contains('7'));
        assert_eq!(format!("{a:?}"), r#"Flag { enabled: true, attributes: ["limit"] }"#);
    }

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

    mod parsers {
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn flags_are_read_as_they_were_written(written in prop::collection::btree_map(
                "[a-z_-]{1,6}",
                (any::<bool>(), prop::collection::btree_map("[A-D.]{1,3}", any::<Option<i64>>(), 0..4)),
                0..4,
            )) {
                let text: serde_json::Map<String, Json> = written
                    .iter()
                    .map(|(name, (enabled, attributes))| {
                        let mut flag = serde_json::json!(attributes);
                        flag["enabled"] = (*enabled).into();
                        (name.clone(), flag)
                    })
                    .collect();
                let flags: Flags = json(serde_json::to_string(&text).expect("JSON").as_bytes()).expect("flags");
                prop_assert!(flags.names().eq(written.keys().map(String::as_str)));
                for (name, (enabled, attributes)) in written {
                    let flag = flags.get(&name).expect("it is among the names");
                    prop_assert_eq!(flag.is_enabled(), enabled);
                    for (name, value) in attributes {
                        prop_assert_eq!(flag.attribute::<Option<i64>>(&name), Ok(Some(value)));
                    }
                }
            }

            /// `~7x` stands for what must not be seen: nothing in a type or a message is written so.
            #[test]
            fn no_configuration_is_quoted_by_an_error(
                text in near_any(
                    &[
                        r#"{"a": {"enabled": true, "limit": "~7x"}, "b": {"enabled": "~7x"}}"#,
                        r#"{"checkout": {"_variants": [{"name": "~7x", "enabled": true}]}}"#,
                        "checkout::[[(eq $country \"~7x\"), '''{\"enabled\":true}'''], '''{}''']",
                        "$ion_1_0\n checkout::'''{}'''",
                    ],
                    &["::", "[", "'", "\"", "{", "}", "true", "$ion_1_0", "_variants", "~7x", ":", "\u{e9}"],
                )
            ) {
                if let Err(error) = json::<Flags>(text.as_bytes()) {
                    prop_assert!(!error.to_string().contains("~7x"), "{}", error);
                }
            }
        }
    }
}
