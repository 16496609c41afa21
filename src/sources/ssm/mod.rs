//! Parameters of AWS Systems Manager Parameter Store (feature `ssm`).
//!
//! | | |
//! |---|---|
//! | operations | `ssm:GetParameters` for [`parameter`] and [`parameters`], ten names a call, shared by all entries that are due at one place; `ssm:GetParametersByPath` for [`path`], ten parameters a page |
//! | permissions | `ssm:GetParameters`, `ssm:GetParametersByPath`; `kms:Decrypt` for SecureStrings under a key of yours |
//! | version | the parameter's number |
//! | promise of the service | eventually consistent: a fetch may be answered with what was true a moment before |
//!
//! SSM refuses a whole call for one parameter that is forbidden, undecryptable or malformed. Such a
//! parameter fails alone: the call is split once to find it, and from then on it has calls of its own
//! until it is allowed again.
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
mod get_parameters;
mod names;
mod parameters;

use std::fmt;

use aws_sdk_ssm::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use self::parameters::Parameter;
use super::aws::batcher::Batcher;
use super::aws::{self, AtPlace, Aws, AwsSource, Declaration, Place, failure};
use super::{BoxFuture, Entry, Fetch, Fetched, Source, Wanted};
use crate::decode::{self, DecodeError};

pub use self::parameters::Parameters;

/// One parameter as text: a String, a StringList's items with their commas, or a SecureString,
/// decrypted.
///
/// `name` is the parameter's full name or ARN. The entry's name is the last segment of it. A name that
/// breaks Parameter Store's rules is an error at [`spawn`](crate::Builder::spawn).
pub fn parameter(name: impl Into<String>) -> Entry<OneParameter, String> {
    let decryption = Decryption::Decrypted;
    let parameter = ParameterDeclaration { name: name.into(), selectors: Vec::new(), decryption };
    aws::entry(parameter, |payload| Ok(payload.one()?.value.expose_secret().to_owned()))
}

/// Several parameters as one entry, fetched together, by full name and by last segment.
///
/// The entry fails if one of the names does not exist; the error lists those that do not. It has no
/// name of its own: give it one with [`name`](Entry::name).
pub fn parameters(
    names: impl IntoIterator<Item = impl Into<String>>,
) -> Entry<SeveralParameters, Parameters> {
    let group = GroupDeclaration { names: names.into_iter().map(Into::into).collect() };
    aws::entry(group, |payload| Ok(Parameters::new(&payload.0, "")))
}

/// All parameters under a path as one entry, by full name, by name below the path, and by last
/// segment.
///
/// Direct children only, unless [`recursive`](Entry::recursive). It has no name of its own: give it
/// one with [`name`](Entry::name).
pub fn path(path: impl Into<String>) -> Entry<ParameterPath, Parameters> {
    let path = path.into();
    let prefix = format!("{}/", path.trim_end_matches('/'));
    let path = PathDeclaration { path, depth: Depth::Children };
    aws::entry(path, move |payload| Ok(Parameters::new(&payload.0, &prefix)))
}

/// What an entry made by [`parameter`] asks for.
pub type OneParameter = AtPlace<ParameterDeclaration>;
/// What an entry made by [`parameters`] asks for.
pub type SeveralParameters = AtPlace<GroupDeclaration>;
/// What an entry made by [`path`] asks for.
pub type ParameterPath = AtPlace<PathDeclaration>;

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct ParameterDeclaration {
    name: String,
    selectors: Vec<String>,
    decryption: Decryption,
}

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct GroupDeclaration {
    names: Vec<String>,
}

#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct PathDeclaration {
    path: String,
    depth: Depth,
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

impl<T> Entry<OneParameter, T> {
    /// Version `number` of the parameter, not the newest.
    pub fn version(self, number: u64) -> Self {
        self.set(|parameter| parameter.selectors.push(number.to_string()))
    }

    /// The version that carries `label`, not the newest.
    pub fn label(self, label: impl Into<String>) -> Self {
        self.set(|parameter| parameter.selectors.push(label.into()))
    }

    /// A SecureString's ciphertext as it is stored.
    pub fn without_decryption(self) -> Self {
        self.set(|parameter| parameter.decryption = Decryption::AsStored)
    }
}

impl Entry<OneParameter, String> {
    /// The items of a StringList, or of any text, split at its commas.
    pub fn string_list(self) -> Entry<OneParameter, Vec<String>> {
        self.and_then(|text| Ok(decode::list(text)))
    }

    /// A value of type `T` from the parameter's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneParameter, T> {
        self.and_then(|text| decode::json(text))
    }

    /// The text as a [`SecretString`], which no `Debug` prints and which is wiped from memory when
    /// the last snapshot that holds it goes.
    pub fn secret(self) -> Entry<OneParameter, SecretString> {
        self.decode_with(|payload| Ok(payload.one()?.value.clone()))
    }
}

impl<T> Entry<ParameterPath, T> {
    /// Parameters further below the path as well.
    pub fn recursive(self) -> Self {
        self.set(|path| path.depth = Depth::Recursive)
    }
}

impl Declaration for ParameterDeclaration {
    type Source = Ssm;

    /// The last segment of the path, without a selector.
    fn default_name(&self) -> Option<String> {
        let segment = self.name.rsplit('/').next()?.split(':').next()?;
        (!segment.is_empty()).then(|| segment.to_owned())
    }

    fn request(self) -> Result<Request, String> {
        let Self { name, selectors, decryption } = self;
        names::check(&name)?;
        let name = match &*selectors {
            [] => name,
            [selector] if !selector.is_empty() && selector != "0" => format!("{name}:{selector}"),
            _ => {
                return Err(format!(
                    "parameter {name}: one version, counted from 1, or one label can be asked for"
                ));
            }
        };
        names::check(&name)?;
        Ok(Request(Kind::Names(decryption, vec![name])))
    }
}

impl Declaration for GroupDeclaration {
    type Source = Ssm;

    fn request(self) -> Result<Request, String> {
        let mut names = self.names;
        if names.is_empty() {
            return Err("a group of parameters needs at least one name".to_owned());
        }
        names.iter().try_for_each(|name| names::check(name))?;
        names.sort();
        names.dedup();
        Ok(Request(Kind::Names(Decryption::Decrypted, names)))
    }
}

impl Declaration for PathDeclaration {
    type Source = Ssm;

    fn request(self) -> Result<Request, String> {
        names::check_path(&self.path)?;
        Ok(Request(Kind::Path(self.depth, self.path)))
    }
}

/// Parameter Store at one [`Place`], as a [`Source`].
#[derive(Debug)]
pub struct Ssm {
    client: aws::Client<Client>,
    /// One for each [`Decryption`].
    batchers: [Batcher<String>; 2],
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
pub struct Payload(Vec<Parameter>);

impl AwsSource for Ssm {
    fn at(place: Place, aws: Aws) -> Self {
        Self { client: aws::Client::new(aws, place, Client::new), batchers: Default::default() }
    }
}

impl Source for Ssm {
    type Request = Request;
    type Payload = Payload;

    fn plan(&self, due: Vec<Request>) -> Vec<Vec<Request>> {
        let (culprits, others): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|request| self.has_culprit(request));
        [others, culprits].into_iter().flat_map(get_parameters::batches).collect()
    }

    fn rides_along(&self, request: &Request) -> bool {
        !self.has_culprit(request)
    }

    fn fetch(&self, batch: Vec<Wanted<Request>>) -> BoxFuture<'_, Vec<Fetch<Payload>>> {
        let client = self.client.get();
        Box::pin(async move {
            match batch.first().map(|wanted| &wanted.request.0) {
                Some(Kind::Path(depth, path)) => vec![by_path(&client, *depth, path).await],
                Some(Kind::Names(decryption, _)) => {
                    let batcher = self.batcher(*decryption);
                    get_parameters::fetch(&client, *decryption, batcher, &batch).await
                }
                None => Vec::new(),
            }
        })
    }

    fn reset(&self) {
        self.client.reset();
        self.batchers.iter().for_each(Batcher::reset);
    }
}

impl Ssm {
    fn batcher(&self, decryption: Decryption) -> &Batcher<String> {
        &self.batchers[decryption as usize]
    }

    fn has_culprit(&self, request: &Request) -> bool {
        match &request.0 {
            Kind::Names(decryption, names) => {
                names.iter().any(|name| self.batcher(*decryption).is_culprit(name))
            }
            Kind::Path(..) => false,
        }
    }
}

async fn by_path(client: &Client, depth: Depth, path: &str) -> Fetch<Payload> {
    let call = client
        .get_parameters_by_path()
        .path(path)
        .recursive(depth == Depth::Recursive)
        .with_decryption(true)
        .into_paginator()
        // If the service repeats a token, a timeout is better than some of the parameters.
        .stop_on_duplicate_token(false);
    let pages = call.send().try_collect().await.map_err(failure)?;
    let found = pages.into_iter().flat_map(|page| page.parameters.unwrap_or_default());
    let mut found: Vec<_> = found.filter_map(Parameter::new).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let version = parameters::version_of_all(&found);
    Ok(Fetched::current(Payload(found), version))
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

impl Payload {
    fn one(&self) -> Result<&Parameter, DecodeError> {
        match &*self.0 {
            [one] => Ok(one),
            several => Err(DecodeError::new(format!("{} parameters for one", several.len()))),
        }
    }
}
