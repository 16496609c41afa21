//! GetParameters: parameters by name, ten in one call.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::error::ParameterNotFound;

use super::assign::assign;
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
                Err(FetchError::new(ErrorKind::Source, cause).lasting())
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
}
