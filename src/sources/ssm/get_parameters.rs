//! GetParameters: parameters by name, ten in one call.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types;
use aws_sdk_ssm::types::error::ParameterNotFound;

use super::names::{SECRET, without_selector};
use super::parameters::{self, Parameter};
use super::{Decryption, Kind, Payload, Request};
use crate::error::ErrorKind;
use crate::sources::aws::CallError;
use crate::sources::aws::batcher::{BatchCall, Batcher, CallResult};
use crate::sources::{Fetch, FetchError, Fetched, Wanted};

/// How many names a call takes.
const LIMIT: usize = 10;

/// Splits requests into batches: each path has one of its own, and names are packed into as few calls
/// as their number needs. A group of more than ten names is a batch of several calls, the last of
/// which other names may fill up.
pub(super) fn batches(due: Vec<Request>) -> Vec<Vec<Request>> {
    let mut batches: Vec<Vec<Request>> = Vec::new();
    let mut names: Vec<(Decryption, usize, Request)> = Vec::new();
    for request in due {
        match &request.0 {
            Kind::Path(..) => batches.push(vec![request]),
            Kind::Names(decryption, list) => names.push((*decryption, list.len(), request)),
        }
    }
    names.sort_by_key(|&(decryption, names, _)| (decryption, Reverse(names)));
    for of_one_kind in names.chunk_by(|a, b| a.0 == b.0) {
        batches.extend(pack(of_one_kind.iter().map(|(_, names, request)| (*names, request))));
    }
    batches
}

/// First fit, largest first.
fn pack<'a>(requests: impl Iterator<Item = (usize, &'a Request)>) -> Vec<Vec<Request>> {
    let mut bins: Vec<(usize, Vec<Request>)> = Vec::new();
    // The bins before this one are full.
    let mut open = 0;
    for (names, request) in requests {
        while bins.get(open).is_some_and(|(room, _)| *room == 0) {
            open += 1;
        }
        match bins[open..].iter_mut().find(|(room, _)| *room >= names) {
            Some((room, bin)) => {
                *room -= names;
                bin.push(request.clone());
            }
            None => bins.push((names.next_multiple_of(LIMIT) - names, vec![request.clone()])),
        }
    }
    bins.into_iter().map(|(_, bin)| bin).collect()
}

/// Fetches a batch of names in as few calls as they need, at once.
pub(super) async fn fetch(
    client: &Client,
    decryption: Decryption,
    batcher: &Batcher<String>,
    batch: &[Wanted<Request>],
) -> Vec<Fetch<Payload>> {
    let names: BTreeSet<&String> = batch.iter().flat_map(|it| it.request.names()).collect();
    let names = names.into_iter().cloned().collect();
    let found = batcher.ask(&GetParameters { client, decryption }, names).await;
    batch.iter().map(|wanted| gather(wanted.request.names(), &found)).collect()
}

struct GetParameters<'a> {
    client: &'a Client,
    decryption: Decryption,
}

impl BatchCall<String> for GetParameters<'_> {
    type Answer = Parameter;

    const LIMIT: usize = LIMIT;

    async fn call(&self, names: &[String]) -> CallResult<Parameter> {
        let call = self
            .client
            .get_parameters()
            .set_names(Some(names.to_vec()))
            .with_decryption(self.decryption == Decryption::Decrypted);
        let answer = call.send().await.map_err(CallError::new)?;
        let invalid = answer.invalid_parameters.unwrap_or_default();
        let valid: Vec<&str> =
            names.iter().filter(|name| !invalid.contains(name)).map(String::as_str).collect();
        let mut found = assign(&valid, answer.parameters.unwrap_or_default());
        let result = |name: &String| match found.remove(name.as_str()) {
            Some(found) => Ok(found),
            None if invalid.contains(name) => Err(missing(name)),
            None => {
                let cause = format!("the answer has no value for {name}");
                Err(FetchError::new(ErrorKind::Source, cause))
            }
        };
        Ok(names.iter().map(result).collect())
    }
}

/// The answer to one request from those to its names.
fn gather(
    names: &[String],
    found: &HashMap<String, Result<Parameter, FetchError>>,
) -> Fetch<Payload> {
    // The service may say more about a name than that it is missing.
    if let [name] = names
        && let Some(Err(error)) = found.get(name)
    {
        return Err(error.clone());
    }
    let mut parameters = Vec::with_capacity(names.len());
    let mut absent = Vec::new();
    let mut failed = Vec::new();
    for name in names {
        match found.get(name) {
            Some(Ok(parameter)) => parameters.push(parameter.clone()),
            Some(Err(error)) if error.kind != ErrorKind::NotFound => failed.push((name, error)),
            _ => absent.push(name.as_str()),
        }
    }
    match &*failed {
        [] => {}
        [(_, error), ..] if failed.len() == names.len() => return Err((*error).clone()),
        // The service's error may not say which names it is about.
        [(_, error), ..] => {
            let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("ssm:GetParameters {} failed", names.join(", "));
            return Err((*error).clone().context(message));
        }
    }
    if !absent.is_empty() {
        return Err(missing(&absent.join(", ")));
    }
    let version = parameters::version(&parameters);
    Ok(Fetched::current(Payload(parameters), version))
}

/// The SDK's error for missing parameters, which GetParameters only lists by name.
fn missing(names: &str) -> FetchError {
    let error = ParameterNotFound::builder().message(format!("no such parameter: {names}")).build();
    FetchError::new(ErrorKind::NotFound, error)
}

/// Whether a parameter is the one of this name, given all parameters that are not assigned yet.
type Matches = fn(&str, &types::Parameter, &[types::Parameter]) -> bool;

/// Finds for each name its parameter in an answer.
///
/// The service gives each parameter with the selector that it was asked for by. Emulators do not, and
/// give a referenced secret by its own name; there a parameter is recognised by its number, or because
/// it is the only one left. No parameter answers two selectors. One that could answer either answers
/// none.
fn assign<'a>(names: &[&'a str], answer: Vec<types::Parameter>) -> HashMap<&'a str, Parameter> {
    let mut left = answer;
    // A plain name means the newest version.
    left.sort_by_key(|parameter| Reverse(parameter.version));
    let mut assigned: HashMap<&str, Parameter> = HashMap::new();
    let ways: [Matches; 3] = [has_name_and_selector, has_name_and_number, is_last_of_name];
    for matches in ways {
        let mut selectors: HashMap<usize, Option<&str>> = HashMap::new();
        for &name in names {
            if assigned.contains_key(name) {
                continue;
            }
            let (_, selector) = without_selector(name);
            let is_free = |index: &usize| !selectors.contains_key(index);
            // Asked for by name and by ARN, a parameter may be answered once for both.
            let is_shared = |index: &usize| selectors.get(index) == Some(&selector);
            let mut matching = (0..left.len()).filter(|&index| matches(name, &left[index], &left));
            if let Some(index) = matching.clone().find(is_free).or_else(|| matching.find(is_shared))
                && let Some(parameter) = Parameter::new(left[index].clone())
            {
                assigned.insert(name, parameter);
                selectors.insert(index, selector);
            }
        }
        let mut index = 0..;
        left.retain(|_| index.next().is_none_or(|index| !selectors.contains_key(&index)));
    }
    assigned
}

fn has_name_and_selector(name: &str, parameter: &types::Parameter, _: &[types::Parameter]) -> bool {
    let (name, selector) = without_selector(name);
    has_name(parameter, name) && selector_of(parameter) == selector
}

fn has_name_and_number(name: &str, parameter: &types::Parameter, _: &[types::Parameter]) -> bool {
    let (name, selector) = without_selector(name);
    is_unselected(parameter, name) && selector == Some(&*parameter.version.to_string())
}

/// Whether it has the name, and no other version of it is left.
fn is_last_of_name(name: &str, parameter: &types::Parameter, left: &[types::Parameter]) -> bool {
    let (name, _) = without_selector(name);
    let is_other =
        |it: &types::Parameter| is_unselected(it, name) && it.version != parameter.version;
    is_unselected(parameter, name) && !left.iter().any(is_other)
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
mod tests {
    use super::super::Depth;
    use super::*;

    fn group(names: usize, tag: usize) -> Request {
        let names = (0..names).map(|name| format!("/{tag}/{name}")).collect();
        Request(Kind::Names(Decryption::Decrypted, names))
    }

    fn calls(batches: &[Vec<Request>]) -> usize {
        let names = |request: &Request| request.names().len();
        batches.iter().map(|batch| batch.iter().map(names).sum::<usize>().div_ceil(LIMIT)).sum()
    }

    #[test]
    fn twenty_three_names_are_three_calls() {
        let batches = batches((0..23).map(|tag| group(1, tag)).collect());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
    }

    #[test]
    fn single_names_fill_up_what_groups_leave() {
        let due = [15, 1, 1, 1, 4, 1].iter().enumerate().map(|(tag, &names)| group(names, tag));
        assert_eq!(calls(&batches(due.collect())), 3);
    }

    #[test]
    fn paths_and_what_is_not_decrypted_have_calls_of_their_own() {
        let stored = Request(Kind::Names(Decryption::AsStored, vec!["/0/0".to_owned()]));
        let path = Request(Kind::Path(Depth::Children, "/0".to_owned()));
        assert_eq!(batches(vec![group(1, 0), stored, path, group(1, 1)]).len(), 3);
    }

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
