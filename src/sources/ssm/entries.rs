//! What an entry can ask Parameter Store for: constructors, options, and what they come to.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::names::{self, invalid};
use super::{Decryption, Depth, Kind, Parameters, Payload, Request, Ssm};
use crate::decode;
use crate::error::Error;
use crate::sources::{AwsEntry, Connections, Declare, Declared, Entry, Place};

/// One parameter as text: a String, a StringList's items with their commas, or a SecureString,
/// decrypted.
///
/// `name` is the parameter's full name or ARN. The entry's name is the last segment of it. A name that
/// breaks Parameter Store's rules is an error at [`spawn`](crate::Builder::spawn).
pub fn parameter(name: impl Into<String>) -> Entry<OneParameter, String> {
    let asks = OneParameter {
        name: name.into(),
        selectors: Vec::new(),
        decryption: Decryption::Decrypted,
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| Ok(payload.one()?.value.expose_secret().to_owned()))
}

/// Several parameters as one entry, fetched together, by full name and by last segment.
///
/// The entry fails if one of the names does not exist; the error lists those that do not. It has no
/// name of its own: give it one with [`name`](Entry::name).
pub fn parameters(
    names: impl IntoIterator<Item = impl Into<String>>,
) -> Entry<SeveralParameters, Parameters> {
    let asks = SeveralParameters {
        names: names.into_iter().map(Into::into).collect(),
        place: Place::default(),
    };
    Entry::new(asks, |payload: &Payload| Ok(Parameters::new(&payload.0, "")))
}

/// All parameters under a path as one entry, by full name, by name below the path, and by last
/// segment.
///
/// Direct children only, unless [`recursive`](Entry::recursive). It has no name of its own: give it
/// one with [`name`](Entry::name).
pub fn path(path: impl Into<String>) -> Entry<ParameterPath, Parameters> {
    let path = path.into();
    let prefix = format!("{}/", path.trim_end_matches('/'));
    let asks = ParameterPath { path, depth: Depth::Children, place: Place::default() };
    Entry::new(asks, move |payload: &Payload| Ok(Parameters::new(&payload.0, &prefix)))
}

/// What an entry made by [`parameter`] asks for.
#[derive(Debug, Clone)]
pub struct OneParameter {
    name: String,
    selectors: Vec<String>,
    decryption: Decryption,
    place: Place,
}

/// What an entry made by [`parameters`] asks for.
#[derive(Debug, Clone)]
pub struct SeveralParameters {
    names: Vec<String>,
    place: Place,
}

/// What an entry made by [`path`] asks for.
#[derive(Debug, Clone)]
pub struct ParameterPath {
    path: String,
    depth: Depth,
    place: Place,
}

impl<T> Entry<OneParameter, T> {
    /// Version `number` of the parameter, not the newest.
    #[must_use]
    pub fn version(mut self, number: u64) -> Self {
        self.asks.selectors.push(number.to_string());
        self
    }

    /// The version that carries `label`, not the newest.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.asks.selectors.push(label.into());
        self
    }

    /// A SecureString's ciphertext as it is stored.
    #[must_use]
    pub fn without_decryption(mut self) -> Self {
        self.asks.decryption = Decryption::AsStored;
        self
    }
}

impl Entry<OneParameter, String> {
    /// The items of a StringList, or of any text, split at its commas.
    pub fn string_list(self) -> Entry<OneParameter, Vec<String>> {
        self.then(|text| Ok(decode::list(text)))
    }

    /// A value of type `T` from the parameter's JSON text.
    pub fn json<T: DeserializeOwned>(self) -> Entry<OneParameter, T> {
        self.then(|text| decode::json(text))
    }

    /// The text as a [`SecretString`], which no `Debug` prints and which is wiped from memory when
    /// the last snapshot that holds it goes.
    pub fn secret(self) -> Entry<OneParameter, SecretString> {
        self.decoded(|payload| Ok(payload.one()?.value.clone()))
    }
}

impl<T> Entry<ParameterPath, T> {
    /// Parameters further below the path as well.
    #[must_use]
    pub fn recursive(mut self) -> Self {
        self.asks.depth = Depth::Recursive;
        self
    }
}

impl AwsEntry for OneParameter {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl AwsEntry for SeveralParameters {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl AwsEntry for ParameterPath {
    fn place(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Declare for OneParameter {
    type Source = Ssm;

    fn declare(self, connections: &mut Connections) -> Result<Declared<Ssm>, Error> {
        let entry = last_segment(&self.name);
        self.declare_unnamed(connections).map_err(|error| match &entry {
            Some(entry) => error.entry_named(&Arc::from(entry.as_str())),
            None => error,
        })
    }
}

impl OneParameter {
    fn declare_unnamed(self, connections: &mut Connections) -> Result<Declared<Ssm>, Error> {
        names::check(&self.name)?;
        let name = match &*self.selectors {
            [] => self.name.clone(),
            [selector] if !selector.is_empty() && selector != "0" => {
                format!("{}:{selector}", self.name)
            }
            _ => {
                return Err(invalid(&format!(
                    "parameter {}: one version, counted from 1, or one label can be asked for",
                    self.name
                )));
            }
        };
        names::check(&name)?;
        Ok(Declared {
            source: Ssm::at(self.place, connections)?,
            request: Request(Kind::Names(self.decryption, vec![name])),
            name: last_segment(&self.name),
        })
    }
}

impl Declare for SeveralParameters {
    type Source = Ssm;

    fn declare(self, connections: &mut Connections) -> Result<Declared<Ssm>, Error> {
        if self.names.is_empty() {
            return Err(invalid("a group of parameters needs at least one name"));
        }
        self.names.iter().try_for_each(|name| names::check(name))?;
        let mut names = self.names;
        names.sort();
        names.dedup();
        Ok(Declared {
            source: Ssm::at(self.place, connections)?,
            request: Request(Kind::Names(Decryption::Decrypted, names)),
            name: None,
        })
    }
}

impl Declare for ParameterPath {
    type Source = Ssm;

    fn declare(self, connections: &mut Connections) -> Result<Declared<Ssm>, Error> {
        names::check_path(&self.path)?;
        Ok(Declared {
            source: Ssm::at(self.place, connections)?,
            request: Request(Kind::Path(self.depth, self.path)),
            name: None,
        })
    }
}

/// The last segment of the path, without a selector.
fn last_segment(name: &str) -> Option<String> {
    let segment = name.rsplit('/').next()?.split(':').next()?;
    (!segment.is_empty()).then(|| segment.to_owned())
}
