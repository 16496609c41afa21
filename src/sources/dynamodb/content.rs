//! Items as the service gives them, and what tells one content from another.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sha2::{Digest, Sha256};

use super::key::KeyValue;
use crate::decode::{self, DecodeError};
use crate::entry::Version;
use crate::sources::digest;

/// An item: its attributes by name.
#[derive(Clone, PartialEq)]
pub struct Item(HashMap<String, AttributeValue>);

impl Item {
    pub(super) fn new(attributes: HashMap<String, AttributeValue>) -> Self {
        Self(attributes)
    }

    /// One attribute.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    /// All attributes.
    pub fn attributes(&self) -> &HashMap<String, AttributeValue> {
        &self.0
    }

    /// A value of type `T`, whose fields are called as the attributes.
    ///
    /// # Errors
    ///
    /// If it is none, in words that quote no attribute's value.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let value = AttributeValue::M(self.0.clone());
        let result = serde_dynamo::aws_sdk_dynamodb_1::from_attribute_value(value);
        result.map_err(|error| {
            let target = std::any::type_name::<T>();
            DecodeError::new(format!("not a {target}: {}", decode::words(&error.to_string())))
        })
    }

    /// The values of the attributes that make a key.
    pub(super) fn key<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Vec<KeyValue>> {
        names.map(|name| self.0.get(name).and_then(KeyValue::of)).collect()
    }

    /// Takes away an attribute that was asked for only to tell items apart.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

/// The attributes' names; never their values.
impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&String> = self.0.keys().collect();
        f.debug_tuple("Item").field(&names).finish()
    }
}

/// What a request found.
pub enum Payload {
    /// One item, if there is one.
    Item(Option<Item>),
    /// The items of a query, in its order.
    Items(Vec<Item>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => f.debug_tuple("Item").field(item).finish(),
            Self::Items(items) => write!(f, "Items({} items)", items.len()),
        }
    }
}

impl Payload {
    /// The item, or that there is none.
    pub(super) fn item(&self) -> Result<&Item, DecodeError> {
        self.optional()?.ok_or_else(|| DecodeError::missing("there is no such item"))
    }

    pub(super) fn optional(&self) -> Result<Option<&Item>, DecodeError> {
        match self {
            Self::Item(item) => Ok(item.as_ref()),
            Self::Items(_) => Err(DecodeError::new("a query's items where one was asked for")),
        }
    }

    /// The item as a `T`. If there is none, an `Option` is `None`; for any other type it is missing.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.optional()? {
            Some(item) => item.deserialize(),
            None => absent().ok_or_else(|| DecodeError::missing("there is no such item")),
        }
    }

    pub(super) fn items(&self) -> Result<&[Item], DecodeError> {
        match self {
            Self::Items(items) => Ok(items),
            Self::Item(_) => Err(DecodeError::new("one item where a query was asked for")),
        }
    }

    /// DynamoDB counts no versions, so the content is its own.
    pub(super) fn version(&self) -> Version {
        let mut digest = Sha256::new();
        match self {
            Self::Item(None) => return Version::new("no item"),
            Self::Item(Some(item)) => put_map(&mut digest, &item.0),
            Self::Items(items) => {
                put_length(&mut digest, items.len());
                items.iter().for_each(|item| put_map(&mut digest, &item.0));
            }
        }
        Version::new(digest::short(digest))
    }
}

/// What a `T` is where nothing is there: serde's word for it is the unit, which an `Option` takes.
fn absent<T: DeserializeOwned>() -> Option<T> {
    let nothing = IntoDeserializer::<serde::de::value::Error>::into_deserializer(());
    T::deserialize(nothing).ok()
}

/// Each value has a tag and its length before it, so that no two contents are one text.
fn put(digest: &mut Sha256, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => put_bytes(digest, b'S', text.as_bytes()),
        AttributeValue::N(number) => put_bytes(digest, b'N', number.as_bytes()),
        AttributeValue::B(bytes) => put_bytes(digest, b'B', bytes.as_ref()),
        AttributeValue::Bool(is) => put_bytes(digest, b'?', &[u8::from(*is)]),
        AttributeValue::Null(is) => put_bytes(digest, b'0', &[u8::from(*is)]),
        AttributeValue::Ss(set) => put_set(digest, b's', set.iter().map(String::as_bytes)),
        AttributeValue::Ns(set) => put_set(digest, b'n', set.iter().map(String::as_bytes)),
        AttributeValue::Bs(set) => put_set(digest, b'b', set.iter().map(Blob::as_ref)),
        AttributeValue::L(list) => {
            digest.update([b'L']);
            put_length(digest, list.len());
            list.iter().for_each(|value| put(digest, value));
        }
        AttributeValue::M(map) => put_map(digest, map),
        // A type that is newer than this crate: its `Debug` is what can be had of it, and stays here.
        unknown => put_bytes(digest, b'!', format!("{unknown:?}").as_bytes()),
    }
}

fn put_map(digest: &mut Sha256, map: &HashMap<String, AttributeValue>) {
    let mut names: Vec<&String> = map.keys().collect();
    names.sort();
    digest.update([b'M']);
    put_length(digest, names.len());
    for name in names {
        put_bytes(digest, b'k', name.as_bytes());
        put(digest, &map[name]);
    }
}

/// A set has no order.
fn put_set<'a>(digest: &mut Sha256, tag: u8, set: impl Iterator<Item = &'a [u8]>) {
    let mut set: Vec<&[u8]> = set.collect();
    set.sort();
    digest.update([tag]);
    put_length(digest, set.len());
    set.into_iter().for_each(|value| put_bytes(digest, b'=', value));
}

fn put_bytes(digest: &mut Sha256, tag: u8, bytes: &[u8]) {
    digest.update([tag]);
    put_length(digest, bytes.len());
    digest.update(bytes);
}

fn put_length(digest: &mut Sha256, length: usize) {
    digest.update((length as u64).to_be_bytes());
}
