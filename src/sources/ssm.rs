//! Parameters of AWS Systems Manager Parameter Store (feature `ssm`).
//!
//! | | |
//! |---|---|
//! | operations | `ssm:GetParameters` for [`parameter`] and [`parameters`], ten names a call, shared by all entries that are due in one region; `ssm:GetParametersByPath` for [`path`], ten parameters a page |
//! | permissions | `ssm:GetParameters`, `ssm:GetParametersByPath`; `kms:Decrypt` for SecureStrings under a key of yours |
//! | version | the parameter's number |
//! | promise of the service | eventually consistent: "fresh" is at best as fresh as its answer |
//!
//! SSM refuses a whole call for one parameter that is forbidden, undecryptable or malformed. Such a
//! parameter fails alone: it is found by asking for the call's names one by one, once, and has calls
//! of its own until it is allowed again.
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

mod assign;
mod by_name;
mod entries;
mod names;
mod parameters;
mod plan;

use std::fmt;
use std::sync::Arc;

use aws_sdk_ssm::Client;

use super::aws::culprits::Culprits;
use super::aws::{self, Place, failure};
use super::{BoxFuture, Connections, Fetch, Fetched, Source, Wanted};
use crate::decode::DecodeError;
use crate::error::Error;

pub use entries::{OneParameter, ParameterPath, SeveralParameters, parameter, parameters, path};
use parameters::Found;
pub use parameters::Parameters;

/// Parameter Store at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct Ssm {
    client: aws::Client<Client>,
    /// The names that SSM refuses to give decrypted, ...
    decrypted: Culprits<String>,
    /// ... and those that it refuses to give as they are stored.
    as_stored: Culprits<String>,
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
        let source = |client| Self {
            client,
            decrypted: Culprits::default(),
            as_stored: Culprits::default(),
        };
        connections.service(place, Client::new, source)
    }

    fn culprits(&self, decryption: Decryption) -> &Culprits<String> {
        match decryption {
            Decryption::Decrypted => &self.decrypted,
            Decryption::AsStored => &self.as_stored,
        }
    }

    fn has_culprit(&self, request: &Request) -> bool {
        match &request.0 {
            Kind::Names(decryption, names) => {
                let culprits = self.culprits(*decryption);
                names.iter().any(|name| culprits.contains(name))
            }
            Kind::Path(..) => false,
        }
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
        let (refused, others): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|request| self.has_culprit(request));
        [others, refused].into_iter().flat_map(plan::batches).collect()
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            match batch.first().map(|wanted| &wanted.request.0) {
                Some(Kind::Path(depth, path)) => vec![by_path(&client, *depth, path).await],
                Some(Kind::Names(decryption, _)) => {
                    by_name::fetch(&client, *decryption, self.culprits(*decryption), &batch).await
                }
                None => Vec::new(),
            }
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.decrypted.reset();
        self.as_stored.reset();
    }
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
