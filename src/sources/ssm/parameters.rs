//! Parameters as the service gives them, and several of them as one value.

use std::collections::HashMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_ssm::types;
use secrecy::{ExposeSecret, SecretString};

use crate::entry::Version;

/// One parameter, as the service gave it.
#[derive(Clone)]
pub(super) struct Parameter {
    /// Without selector.
    pub(super) name: String,
    pub(super) value: SecretString,
    /// `None` for a referenced secret, which has no number.
    pub(super) version: Option<Version>,
    changed: SystemTime,
}

impl Parameter {
    pub(super) fn new(parameter: types::Parameter) -> Option<Self> {
        let date = parameter.last_modified_date.and_then(|date| date.try_into().ok());
        let changed = date.unwrap_or(UNIX_EPOCH);
        let version = Version::new(parameter.version).changed_at(changed);
        let version = (parameter.version != 0).then_some(version);
        let value = SecretString::from(parameter.value?);
        Some(Self { name: parameter.name?, value, version, changed })
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameter")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The version of one parameter by name, or of several together, if each has one.
pub(super) fn version(found: &[Parameter]) -> Option<Version> {
    match found {
        [one] => one.version.clone(),
        several => version_of_all(several),
    }
}

/// The version of several parameters together: which they are, the version of each, and when it was
/// made, since a parameter that is made again counts from 1.
pub(super) fn version_of_all(found: &[Parameter]) -> Option<Version> {
    let one = |it: &Parameter| {
        let version = it.version.as_ref()?;
        let changed = it.changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(format!("{}:{version}@{}", it.name, changed.as_millis()))
    };
    let versions: Option<Vec<String>> = found.iter().map(one).collect();
    Some(Version::new(versions?.join(",")))
}

/// Several parameters as one value: what [`parameters`](super::parameters) and
/// [`path`](super::path) hold.
///
/// A parameter is found by its full name, by its name below the path, or by its last segment, as
/// long as that is the last segment of no other.
pub struct Parameters {
    /// In the order of their names.
    all: Vec<Parameter>,
    /// From every name to its index; `None` where it stands for several.
    names: HashMap<String, Option<usize>>,
}

impl Parameters {
    pub(super) fn new(found: &[Parameter], prefix: &str) -> Self {
        let mut names: HashMap<String, Option<usize>> = HashMap::new();
        for (index, parameter) in found.iter().enumerate() {
            let short = parameter.name.rsplit('/').next().unwrap_or_default();
            if short != parameter.name {
                names.entry(short.to_owned()).and_modify(|it| *it = None).or_insert(Some(index));
            }
        }
        for (index, parameter) in found.iter().enumerate() {
            if let Some(below) = parameter.name.strip_prefix(prefix) {
                names.insert(below.to_owned(), Some(index));
            }
        }
        for (index, parameter) in found.iter().enumerate() {
            names.insert(parameter.name.clone(), Some(index));
        }
        Self { all: found.to_vec(), names }
    }

    /// The text of one parameter, decrypted.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|found| found.value.expose_secret())
    }

    /// The items of one parameter, split at its commas.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        self.get(name).map(crate::decode::list)
    }

    /// The text of one parameter as a [`SecretString`].
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        self.find(name).map(|found| found.value.clone())
    }

    /// The version of one parameter.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.find(name).and_then(|found| found.version.as_ref())
    }

    /// The full names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|found| &*found.name)
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn find(&self, name: &str) -> Option<&Parameter> {
        self.all.get((*self.names.get(name)?)?)
    }
}

/// With names and versions, without values.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all.iter().map(|it| (&it.name, &it.version))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, value: &str) -> Parameter {
        let parameter = types::Parameter::builder().name(name).value(value).version(3).build();
        Parameter::new(parameter).expect("a whole parameter")
    }

    #[test]
    fn a_parameter_is_found_by_full_name_by_name_below_the_path_and_by_last_segment() {
        let all = [found("/app/db/host", "h"), found("/app/mode", "m")];
        let parameters = Parameters::new(&all, "/app/");
        for name in ["/app/db/host", "db/host", "host"] {
            assert_eq!(parameters.get(name), Some("h"), "{name}");
        }
        assert_eq!(parameters.get("mode"), Some("m"));
        assert_eq!(parameters.get("db"), None);
    }

    #[test]
    fn a_last_segment_that_two_names_share_is_neither() {
        let all = [found("/prod/x", "p"), found("/test/x", "t")];
        let parameters = Parameters::new(&all, "");
        assert_eq!(parameters.get("x"), None);
        assert_eq!(parameters.get("/prod/x"), Some("p"));
        assert_eq!(parameters.get("/test/x"), Some("t"));
    }

    #[test]
    fn debug_shows_names_and_versions_and_no_value() {
        let parameters = Parameters::new(&[found("/app/password", "hunter2")], "/app/");
        let debug = format!("{parameters:?}");
        assert!(debug.contains("/app/password") && !debug.contains("hunter2"), "{debug}");
    }
}
