//! Which parameter of an answer is that of which name.

use std::collections::{HashMap, HashSet};

use aws_sdk_ssm::types;

use super::names::{SECRET, without_selector};
use super::parameters::Parameter;

/// What has not been assigned yet.
struct Left<'a> {
    names: Vec<&'a str>,
    parameters: Vec<types::Parameter>,
}

/// Whether a parameter is the one of this name, given all that is left.
type Matches = fn(&str, &types::Parameter, &Left<'_>) -> bool;

/// Finds for each name its parameter in an answer.
///
/// The service gives each parameter with the selector that it was asked for by. Emulators do not, and
/// give a referenced secret by its own name; there a parameter is recognised by its number, or because
/// it is the only one left. No parameter answers two selectors. One that could answer either answers
/// none.
pub(super) fn assign<'a>(
    names: &[&'a str],
    answer: Vec<types::Parameter>,
) -> HashMap<&'a str, Parameter> {
    let mut left = Left { names: names.to_vec(), parameters: answer };
    let mut assigned: HashMap<&str, Parameter> = HashMap::new();
    let ways: [Matches; 3] = [has_name_and_selector, has_name_and_number, is_last_of_name];
    for matches in ways {
        let mut selectors: HashMap<usize, Option<&str>> = HashMap::new();
        for &name in &left.names {
            let (_, selector) = without_selector(name);
            let is_free = |index: &usize| !selectors.contains_key(index);
            // Asked for by name and by ARN, a parameter may be answered once for both.
            let is_shared = |index: &usize| selectors.get(index) == Some(&selector);
            let parameters = &left.parameters;
            let mut matching =
                (0..parameters.len()).filter(|&index| matches(name, &parameters[index], &left));
            if let Some(index) = matching.clone().find(is_free).or_else(|| matching.find(is_shared))
                && let Some(parameter) = Parameter::new(parameters[index].clone())
            {
                assigned.insert(name, parameter);
                selectors.insert(index, selector);
            }
        }
        let mut index = 0..;
        left.parameters
            .retain(|_| index.next().is_none_or(|index| !selectors.contains_key(&index)));
        left.names.retain(|name| !assigned.contains_key(name));
    }
    assigned
}

/// Without a selector that is the newest version, if there are several.
fn has_name_and_selector(name: &str, parameter: &types::Parameter, left: &Left<'_>) -> bool {
    let (name, selector) = without_selector(name);
    let is_same = |it: &types::Parameter| has_name(it, name) && selector_of(it) == selector;
    let newest = left.parameters.iter().filter(|it| is_same(it)).map(|it| it.version).max();
    is_same(parameter) && newest == Some(parameter.version)
}

fn has_name_and_number(name: &str, parameter: &types::Parameter, _: &Left<'_>) -> bool {
    let (name, selector) = without_selector(name);
    is_unselected(parameter, name) && selector == Some(&*parameter.version.to_string())
}

/// Whether it has the name, no other version of it is left, and there is one for each selector that is.
fn is_last_of_name(name: &str, parameter: &types::Parameter, left: &Left<'_>) -> bool {
    let (name, _) = without_selector(name);
    let of_name: Vec<_> = left.parameters.iter().filter(|it| is_unselected(it, name)).collect();
    let selectors: HashSet<Option<&str>> = left
        .names
        .iter()
        .map(|name| without_selector(name))
        .filter(|(name, _)| is_unselected(parameter, name))
        .map(|(_, selector)| selector)
        .collect();
    is_unselected(parameter, name)
        && of_name.iter().all(|it| it.version == parameter.version)
        && selectors.len() <= of_name.len()
}

/// Whether it has the name, or is the secret of that name, and the answer gives no selector.
fn is_unselected(parameter: &types::Parameter, name: &str) -> bool {
    let is_secret = name.strip_prefix(SECRET).is_some_and(|secret| has_name(parameter, secret));
    (is_secret || has_name(parameter, name)) && selector_of(parameter).is_none()
}

fn has_name(parameter: &types::Parameter, name: &str) -> bool {
    [parameter.name(), parameter.arn()].contains(&Some(name))
}

/// The selector that it was asked for by, without its colon.
fn selector_of(parameter: &types::Parameter) -> Option<&str> {
    let selector = parameter.selector()?.trim_start_matches(':');
    (!selector.is_empty()).then_some(selector)
}

#[cfg(test)]
#[path = "../../../tests/parsers/assign.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter as an emulator gives it: without the selector it was found by.
    fn parameter(name: &str, version: i64) -> types::Parameter {
        let parameter = types::Parameter::builder().name(name).value(format!("version {version}"));
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
    fn an_answer_that_could_be_that_of_either_of_two_selectors_is_nobodys() {
        assert_eq!(assigned(&["/x:live", "/x:old"], &[2]), versions([None, None]));
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
        let live =
            types::Parameter::builder().name("/x").value("v").version(2).selector(":live").build();
        assert!(assign(&["/x:old"], vec![live.clone()]).is_empty());
        assert!(assign(&["/x:2"], vec![live.clone()]).is_empty());
        assert!(assign(&["/x"], vec![live.clone()]).is_empty());
        assert_eq!(assign(&["/x:live"], vec![live]).len(), 1);
    }

    #[test]
    fn a_referenced_secret_is_not_a_parameter_of_its_name() {
        let secret = types::Parameter::builder().name("x").value("secret").build();
        let reference = "/aws/reference/secretsmanager/x";
        let found = assign(&["x", reference], vec![secret.clone(), parameter("x", 1)]);
        assert_eq!(found["x"].version.as_ref().map(ToString::to_string).as_deref(), Some("1"));
        assert!(found[reference].version.is_none());
        assert_eq!(assign(&[reference], vec![secret]).len(), 1);
    }
}
