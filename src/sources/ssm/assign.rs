//! Which parameter of an answer is the one that was asked for.

use std::cmp::Reverse;
use std::collections::HashMap;

use aws_sdk_ssm::types::Parameter;

use super::names::{SECRET, without_selector};
use super::parameters::Found;

/// Whether a parameter is what was asked for, given what else is left of the answer.
type IsWanted = fn(&str, &Parameter, &[Parameter]) -> bool;

/// Finds what was asked for among what came.
///
/// The service says of each parameter by which selector it was found. Emulators do not, and call a
/// referenced secret by its own name; there a parameter is told by its number, or by being the only
/// one left. No parameter is the answer to two selectors, and what cannot be told is left out.
pub(super) fn assign<'a>(asked: &[&'a str], parameters: Vec<Parameter>) -> HashMap<&'a str, Found> {
    let mut left = parameters;
    // Without selectors, the newest is what a plain name means.
    left.sort_by_key(|parameter| Reverse(parameter.version));
    let mut assigned: HashMap<&str, Found> = HashMap::new();
    let ways: [IsWanted; 3] = [is_named, is_numbered, is_last];
    for is_wanted in ways {
        let mut selectors: HashMap<usize, Option<&str>> = HashMap::new();
        for &name in asked {
            if assigned.contains_key(name) {
                continue;
            }
            let (_, selector) = without_selector(name);
            let matches = |index: &usize| is_wanted(name, &left[*index], &left);
            let is_free = |index: &usize| !selectors.contains_key(index);
            // Asked for by name and by ARN, a parameter may be answered once for both.
            let is_shared = |index: &usize| selectors.get(index) == Some(&selector);
            let mut matching = (0..left.len()).filter(matches);
            if let Some(index) = matching.clone().find(is_free).or_else(|| matching.find(is_shared))
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

/// By name and selector.
fn is_named(asked: &str, parameter: &Parameter, _: &[Parameter]) -> bool {
    let (name, selector) = without_selector(asked);
    has_name(parameter, name) && selector_of(parameter) == selector
}

/// By name and number.
fn is_numbered(asked: &str, parameter: &Parameter, _: &[Parameter]) -> bool {
    let (name, selector) = without_selector(asked);
    is_unselected(parameter, name) && selector == Some(&*parameter.version.to_string())
}

/// By name alone, if no other version of it is left.
fn is_last(asked: &str, parameter: &Parameter, left: &[Parameter]) -> bool {
    let (name, _) = without_selector(asked);
    let is_other = |it: &Parameter| is_unselected(it, name) && it.version != parameter.version;
    is_unselected(parameter, name) && !left.iter().any(is_other)
}

/// Whether it is called so, or is the secret that is, and the answer names no selector.
fn is_unselected(parameter: &Parameter, name: &str) -> bool {
    let is_secret = name.strip_prefix(SECRET).is_some_and(|secret| has_name(parameter, secret));
    (is_secret || has_name(parameter, name)) && selector_of(parameter).is_none()
}

fn has_name(parameter: &Parameter, name: &str) -> bool {
    [parameter.name(), parameter.arn()].contains(&Some(name))
}

/// The selector it was found by, without its colon.
fn selector_of(parameter: &Parameter) -> Option<&str> {
    let selector = parameter.selector()?.trim_start_matches(':');
    (!selector.is_empty()).then_some(selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter as an emulator gives it: without the selector it was found by.
    fn parameter(name: &str, version: i64) -> Parameter {
        let parameter = Parameter::builder().name(name).value(format!("version {version}"));
        let arn = format!("arn:aws:ssm:r:1:parameter/{}", name.trim_start_matches('/'));
        parameter.arn(arn).version(version).build()
    }

    /// The versions of `/x` that `asked` are answered with.
    fn assigned(asked: &[&str], answer: &[i64]) -> Vec<Option<String>> {
        let found = assign(asked, answer.iter().map(|&version| parameter("/x", version)).collect());
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
    fn a_name_and_its_arn_answered_one_by_one_leave_nothing_over() {
        let asked = ["/x", "arn:aws:ssm:r:1:parameter/x", "/x:live"];
        assert_eq!(assigned(&asked, &[3, 3, 2]), versions([Some("3"), Some("3"), Some("2")]));
    }

    #[test]
    fn an_answer_to_another_selector_is_nobodys() {
        let live = Parameter::builder().name("/x").value("v").version(2).selector(":live").build();
        assert!(assign(&["/x:old"], vec![live.clone()]).is_empty());
        assert!(assign(&["/x:2"], vec![live.clone()]).is_empty());
        assert!(assign(&["/x"], vec![live.clone()]).is_empty());
        assert_eq!(assign(&["/x:live"], vec![live]).len(), 1);
    }

    #[test]
    fn a_referenced_secret_is_not_a_parameter_of_its_name() {
        let secret = Parameter::builder().name("x").value("secret").build();
        let reference = "/aws/reference/secretsmanager/x";
        let found = assign(&["x", reference], vec![secret.clone(), parameter("x", 1)]);
        assert_eq!(found["x"].version.as_ref().map(ToString::to_string).as_deref(), Some("1"));
        assert!(found[reference].version.is_none());
        assert_eq!(assign(&[reference], vec![secret]).len(), 1);
    }
}
