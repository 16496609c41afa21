//! GetParameters: parameters by name, ten in one call.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::error::ParameterNotFound;

use super::assign::assign;
use super::parameters::{self, Found};
use super::{Decryption, Payload, Request, plan};
use crate::error::ErrorKind;
use crate::sources::aws::culprits::{BatchCall, CallError, Culprits};
use crate::sources::{Fetch, FetchError, Fetched, Wanted};

/// A batch of names in as few calls as they need, at once.
pub(super) async fn fetch(
    client: &Client,
    decryption: Decryption,
    culprits: &Culprits<String>,
    batch: &[Wanted<Request>],
) -> Vec<Fetch<Payload>> {
    let names: BTreeSet<&String> = batch.iter().flat_map(|it| it.request.names()).collect();
    let names = names.into_iter().cloned().collect();
    let found = culprits.ask(&GetParameters { client, decryption }, names).await;
    batch.iter().map(|wanted| gather(wanted.request.names(), &found)).collect()
}

struct GetParameters<'a> {
    client: &'a Client,
    decryption: Decryption,
}

impl BatchCall<String> for GetParameters<'_> {
    type Answer = Found;

    const LIMIT: usize = plan::LIMIT;

    async fn call(&self, names: &[String]) -> Result<Vec<Result<Found, FetchError>>, CallError> {
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
fn gather(names: &[String], found: &HashMap<String, Result<Found, FetchError>>) -> Fetch<Payload> {
    // The error of one name says more than that it is missing, if the service did.
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
        // Not every error of the service says which of several names it is about.
        [(_, error), ..] => {
            let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
            let operation = format!("ssm:GetParameters {}", names.join(", "));
            return Err((*error).clone().of(operation));
        }
    }
    if !absent.is_empty() {
        return Err(missing(&absent.join(", ")));
    }
    let version = parameters::version(&parameters);
    Ok(Fetched::current(Payload(parameters), version))
}

/// SSM's own error, which GetParameters gives as a list of names only.
fn missing(names: &str) -> FetchError {
    let error = ParameterNotFound::builder().message(format!("no such parameter: {names}")).build();
    FetchError::new(ErrorKind::NotFound, error)
}
