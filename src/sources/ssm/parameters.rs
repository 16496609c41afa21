//! Parameters as the service gives them, and several of them as one value.

use std::collections::HashMap;
use std::fmt;
use std::time::UNIX_EPOCH;

use aws_sdk_ssm::types::Parameter;
use secrecy::{ExposeSecret, SecretString};

use super::names;
use crate::entry::Version;

/// One parameter, as the service gave it.
#[derive(Clone)]
pub(super) struct Found {
    /// Its name, without selector.
    pub(super) name: String,
    pub(super) value: SecretString,
    /// `None` for what has no versions of its own, such as a referenced secret.
    version: Option<Version>,
}

impl Found {
    pub(super) fn new(parameter: Parameter) -> Option<Self> {
        let version = Version::new(parameter.version);
        let date = parameter.last_modified_date.and_then(|date| date.try_into().ok());
        let version = match (parameter.version, date) {
            (0, _) => None,
            (_, Some(date)) => Some(version.changed_at(date)),
            (_, None) => Some(version),
        };
        Some(Self { name: parameter.name?, value: SecretString::from(parameter.value?), version })
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Finds what was asked for among what came.
///
/// The service says of each parameter by which selector it was found. Emulators do not, and call a
/// referenced secret by its own name; there a parameter is told by its number, or by being the only
/// one left. No parameter is the answer to two selectors, and what cannot be told is left out.
pub(super) fn assign<'a>(asked: &[&'a str], parameters: Vec<Parameter>) -> HashMap<&'a str, Found> {
    let mut left = parameters;
    // The newest is what a plain name means.
    left.sort_by_key(|parameter| std::cmp::Reverse(parameter.version));
    let mut assigned: HashMap<&str, Found> = HashMap::new();
    let ways: [fn(&str, &Parameter, &[Parameter]) -> bool; 3] = [is_named, is_numbered, is_last];
    for is in ways {
        let mut selectors: HashMap<usize, Option<&str>> = HashMap::new();
        for &name in asked {
            if assigned.contains_key(name) {
                continue;
            }
            let (_, selector) = without_selector(name);
            // Asked for by name and by ARN, a parameter may be answered once for both.
            let is_free =
                |index: &usize| selectors.get(index).is_none_or(|&other| other == selector);
            let mut indices = 0..left.len();
            let index = indices.find(|index| is(name, &left[*index], &left) && is_free(index));
            if let Some(index) = index
                && let Some(found) = Found::new(left[index].clone())
            {
                assigned.insert(name, found);
                selectors.insert(index, selector);
            }
        }
        let mut index = 0..;
        left.retain(|_| index.next().is_none_or(|index| !selectors.contains_key(&index)));
    }
    assigned
}

/// By name or ARN, with its selector.
fn is_named(asked: &str, parameter: &Parameter, _: &[Parameter]) -> bool {
    let selector = parameter.selector().unwrap_or_default();
    [parameter.name(), parameter.arn()]
        .into_iter()
        .flatten()
        .any(|name| asked.strip_prefix(name).is_some_and(|rest| rest == selector))
}

/// By name and number.
fn is_numbered(asked: &str, parameter: &Parameter, _: &[Parameter]) -> bool {
    let (name, selector) = without_selector(asked);
    is_called(name, parameter) && selector == Some(&*parameter.version.to_string())
}

/// By name alone, if no other version of it is left.
fn is_last(asked: &str, parameter: &Parameter, left: &[Parameter]) -> bool {
    let (name, _) = without_selector(asked);
    let is_same = |other: &Parameter| !is_called(name, other) || other.version == parameter.version;
    is_called(name, parameter) && left.iter().all(is_same)
}

fn is_called(name: &str, parameter: &Parameter) -> bool {
    let secret = name.strip_prefix(names::SECRET);
    let names = [parameter.name(), parameter.arn()];
    names.into_iter().flatten().any(|it| it == name || Some(it) == secret)
}

/// A name or an ARN, and the version or the label that follows its colon.
pub(super) fn without_selector(asked: &str) -> (&str, Option<&str>) {
    match asked.rsplit_once(':') {
        Some((name, selector)) if !selector.contains('/') => (name, Some(selector)),
        _ => (asked, None),
    }
}

/// The version of one parameter by name, or of several together, if each has one.
pub(super) fn version(found: &[Found]) -> Option<Version> {
    match found {
        [one] => one.version.clone(),
        several => version_of_all(several),
    }
}

/// The version of several parameters together: which they are, the version of each, and when it was
/// made, since a parameter that is made again counts from 1.
pub(super) fn version_of_all(found: &[Found]) -> Option<Version> {
    let one = |it: &Found| {
        let version = it.version.as_ref()?;
        let changed = version.changed().and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        Some(format!("{}:{version}@{}", it.name, changed.unwrap_or_default().as_millis()))
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
    all: Vec<Found>,
    /// From every name to its index; `None` where it stands for several.
    names: HashMap<String, Option<usize>>,
}

impl Parameters {
    pub(super) fn new(found: &[Found], prefix: &str) -> Self {
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

    fn find(&self, name: &str) -> Option<&Found> {
        self.all.get((*self.names.get(name)?)?)
    }
}

/// Names and versions; never values.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all.iter().map(|it| (&it.name, &it.version))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, value: &str) -> Found {
        let parameter = Parameter::builder().name(name).value(value).version(3).build();
        Found::new(parameter).expect("a whole parameter")
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

    /// Version `version` of `/x` as an emulator gives it: without the selector it was found by.
    fn version_of_x(version: i64) -> Parameter {
        let parameter = Parameter::builder().name("/x").value(format!("version {version}"));
        parameter.arn("arn:aws:ssm:r:1:parameter/x").version(version).build()
    }

    /// The versions that `asked` are answered with.
    fn assigned(asked: &[&str], answer: &[i64]) -> Vec<Option<String>> {
        let found = assign(asked, answer.iter().map(|&version| version_of_x(version)).collect());
        let version = |name: &&str| Some(found.get(name)?.version.as_ref()?.to_string());
        asked.iter().map(version).collect()
    }

    fn versions<const N: usize>(of: [Option<&str>; N]) -> Vec<Option<String>> {
        of.map(|version| version.map(str::to_owned)).to_vec()
    }

    #[test]
    fn no_answer_goes_to_two_selectors() {
        let both = assigned(&["/x:live", "/x:old"], &[2]);
        assert_eq!(both.iter().flatten().count(), 1, "{both:?}");
    }

    #[test]
    fn versions_that_nothing_tells_apart_are_nobodys() {
        assert_eq!(assigned(&["/x:live", "/x:old"], &[2, 1]), versions([None, None]));
    }

    #[test]
    fn one_version_under_two_selectors_is_answered_twice() {
        assert_eq!(assigned(&["/x", "/x:live"], &[3, 3]), versions([Some("3"), Some("3")]));
        assert_eq!(assigned(&["/x:3", "/x:live"], &[3, 3]), versions([Some("3"), Some("3")]));
    }

    #[test]
    fn selectors_are_told_apart_by_what_is_left() {
        let asked = ["/x:live", "/x", "/x:1"];
        assert_eq!(assigned(&asked, &[1, 3, 2]), versions([Some("2"), Some("3"), Some("1")]));
    }

    #[test]
    fn a_name_and_its_arn_may_share_an_answer() {
        let arn = "arn:aws:ssm:r:1:parameter/x";
        assert_eq!(assigned(&["/x", arn], &[3]), versions([Some("3"), Some("3")]));
        let (name, arn) = ("/x:2", format!("{arn}:2"));
        assert_eq!(assigned(&[name, &arn], &[2]), versions([Some("2"), Some("2")]));
    }

    #[test]
    fn debug_shows_names_and_versions_and_no_value() {
        let parameters = Parameters::new(&[found("/app/password", "hunter2")], "/app/");
        let debug = format!("{parameters:?}");
        assert!(debug.contains("/app/password") && !debug.contains("hunter2"), "{debug}");
    }
}
