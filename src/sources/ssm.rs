//! Parameters of AWS Systems Manager Parameter Store (feature `ssm`).
//!
//! | | |
//! |---|---|
//! | operations | `ssm:GetParameters` for [`parameter`] and [`parameters`], ten names a call, shared by all entries that are due in one region; `ssm:GetParametersByPath` for [`path`], ten parameters a page |
//! | permissions | `ssm:GetParameters`, `ssm:GetParametersByPath`; `kms:Decrypt` for SecureStrings under a key of yours |
//! | version | the parameter's number |
//! | promise of the service | eventually consistent: "fresh" is at best as fresh as its answer |
//!
//! ```no_run
//! # async fn doc(aws: aws_types::SdkConfig) -> Result<(), lambda_cache::Error> {
//! use lambda_cache::{Cache, sources::ssm};
//!
//! let mut builder = Cache::builder(&aws);
//! let greeting = builder.add(ssm::parameter("/app/greeting"));
//! let hosts = builder.add(ssm::parameter("/app/hosts").string_list());
//! let password = builder.add(ssm::parameter("/app/password").secret());
//! let flags = builder.add(ssm::parameters(["/app/a", "/app/b"]).name("flags"));
//! let cache = builder.spawn().await?;
//! # Ok(()) }
//! ```

mod entries;
mod parameters;
mod plan;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::error::ParameterNotFound;
use futures_util::future::join_all;

use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, FetchError, Fetched, Source, Wanted};
use crate::decode::DecodeError;
use crate::error::{Error, ErrorKind};

pub use entries::{OneParameter, ParameterPath, SeveralParameters, parameter, parameters, path};
use parameters::Found;
pub use parameters::Parameters;

/// Parameter Store at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct Ssm {
    client: aws::Client<Client>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Decryption {
    Decrypted,
    AsStored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Depth {
    Children,
    Recursive,
}

/// What one fetch asks Parameter Store for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// Parameters by name, each with its selector.
    Names(Decryption, Vec<String>),
    /// Parameters under a path.
    Path(Depth, String),
}

/// The parameters a request found, in the order of their names.
#[derive(Debug)]
pub struct Payload(Vec<Found>);

impl Ssm {
    fn at(place: Place, connections: &mut Connections) -> Result<Arc<Self>, Error> {
        connections.service(place, Client::new, |client| Self { client })
    }
}

impl Request {
    fn names(&self) -> &[String] {
        match &self.0 {
            Kind::Names(_, names) => names,
            Kind::Path(..) => &[],
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Names(_, names) => write!(f, "ssm:GetParameters {}", names.join(", ")),
            Kind::Path(_, path) => write!(f, "ssm:GetParametersByPath {path}"),
        }
    }
}

impl Source for Ssm {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        plan::batches(due)
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            match batch.first().map(|wanted| &wanted.request.0) {
                Some(Kind::Path(depth, path)) => vec![by_path(&client, *depth, path).await],
                Some(Kind::Names(decryption, _)) => by_name(&client, *decryption, &batch).await,
                None => Vec::new(),
            }
        })
    }

    fn reset(&self) {
        self.client.reset();
    }
}

/// A batch of names in as few calls as they need, at once; a call that fails is the failure of the
/// requests with names in it.
async fn by_name(
    client: &Client,
    decryption: Decryption,
    batch: &[Wanted<Request>],
) -> Vec<Fetch<Payload>> {
    let all: BTreeSet<&String> = batch.iter().flat_map(|it| it.request.names()).collect();
    let all: Vec<&String> = all.into_iter().collect();
    let calls = all.chunks(plan::LIMIT).map(|chunk| get_parameters(client, decryption, chunk));
    let answers: HashMap<&str, Result<Found, FetchError>> =
        join_all(calls).await.into_iter().flatten().collect();
    batch.iter().map(|wanted| gather(wanted.request.names(), &answers)).collect()
}

/// One call: each name with what became of it.
async fn get_parameters<'a>(
    client: &Client,
    decryption: Decryption,
    names: &[&'a String],
) -> Vec<(&'a str, Result<Found, FetchError>)> {
    let call = client
        .get_parameters()
        .set_names(Some(names.iter().map(|&name| name.clone()).collect()))
        .with_decryption(decryption == Decryption::Decrypted)
        .send();
    match call.await {
        Ok(answer) => {
            let found = parameters::assign(names, answer.parameters.unwrap_or_default());
            let invalid = answer.invalid_parameters.unwrap_or_default();
            let result = |name: &String| match found.get(name.as_str()) {
                Some(found) => Ok(found.clone()),
                None if invalid.contains(name) => Err(missing(name)),
                None => {
                    let cause = format!("the answer does not mention {name}");
                    Err(FetchError::new(ErrorKind::Source, cause))
                }
            };
            names.iter().map(|&name| (name.as_str(), result(name))).collect()
        }
        Err(error) => {
            let failure = failure(error);
            names.iter().map(|&name| (name.as_str(), Err(failure.clone()))).collect()
        }
    }
}

/// The answer to one request from those to its names.
fn gather(names: &[String], answers: &HashMap<&str, Result<Found, FetchError>>) -> Fetch<Payload> {
    let mut found = Vec::with_capacity(names.len());
    let mut absent = Vec::new();
    for name in names {
        match answers.get(name.as_str()) {
            Some(Ok(parameter)) => found.push(parameter.clone()),
            Some(Err(error)) if error.kind != ErrorKind::NotFound => return Err(error.clone()),
            _ => absent.push(name.as_str()),
        }
    }
    if !absent.is_empty() {
        return Err(missing(&absent.join(", ")));
    }
    let version = parameters::version(&found);
    Ok(Fetched::current(Payload(found), version))
}

/// SSM's own error, which GetParameters gives as a list of names only.
fn missing(names: &str) -> FetchError {
    let error = ParameterNotFound::builder().message(format!("no such parameter: {names}")).build();
    FetchError::new(ErrorKind::NotFound, error)
}

async fn by_path(client: &Client, depth: Depth, path: &str) -> Fetch<Payload> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .get_parameters_by_path()
            .path(path)
            .recursive(depth == Depth::Recursive)
            .with_decryption(true)
            .set_next_token(token)
            .send()
            .await
            .map_err(failure)?;
        found.extend(page.parameters.unwrap_or_default().into_iter().filter_map(Found::new));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let version = parameters::version_of_all(&found);
    Ok(Fetched::current(Payload(found), version))
}

impl Payload {
    fn one(&self) -> Result<&Found, DecodeError> {
        match &*self.0 {
            [one] => Ok(one),
            several => Err(DecodeError::new(format!("{} parameters for one", several.len()))),
        }
    }
}
