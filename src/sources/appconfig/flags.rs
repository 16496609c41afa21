//! Feature flags, as a configuration of that type holds them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::decode::{self, DecodeError};

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
    /// If it is no `T`, in words that do not quote it.
    pub fn attribute<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(value) = self.attributes.get(name) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| {
            let target = std::any::type_name::<T>();
            let what = decode::words(&error.to_string());
            DecodeError::new(format!("attribute `{name}` is not a {target}: {what}"))
        })
    }
}

/// Whether it is on and the attributes' names; never their values.
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

    /// Whether a flag is there and on.
    pub fn is_enabled(&self, name: &str) -> bool {
        self.get(name).is_some_and(Flag::is_enabled)
    }

    /// The flags' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// One flag, or that it is missing.
    pub(super) fn take(mut self, name: &str) -> Result<Flag, DecodeError> {
        let missing = || DecodeError::new(format!("the configuration has no flag `{name}`"));
        self.0.remove(name).ok_or_else(missing)
    }
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
}
