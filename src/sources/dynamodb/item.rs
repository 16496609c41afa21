//! Items: how they are decoded, and which version an item is.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use serde::de::value;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use sha2::{Digest, Sha256};

use super::key::KeyValue;
use crate::decode::{self, DecodeError};
use crate::entry::Version;
use crate::sources::aws::short_digest;

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

    /// A value of type `T`, whose fields have the names of the attributes.
    ///
    /// # Errors
    ///
    /// If the item is not a `T`. The error quotes no attribute's value.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        let value = AttributeValue::M(self.0.clone());
        serde_dynamo::aws_sdk_dynamodb_1::from_attribute_value(value)
            .map_err(|error| decode::not_a::<T>(&without_value(&error)))
    }

    /// The values of a key's attributes.
    pub(super) fn key<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Vec<KeyValue>> {
        names.map(|name| self.0.get(name).and_then(KeyValue::of)).collect()
    }

    /// Removes an attribute that was read only to recognise the item.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

/// With the attributes' names, without their values.
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
    /// The item; an error if there is none.
    pub(super) fn item(&self) -> Result<&Item, DecodeError> {
        self.optional()?.ok_or_else(|| DecodeError::missing("there is no such item"))
    }

    pub(super) fn optional(&self) -> Result<Option<&Item>, DecodeError> {
        match self {
            Self::Item(item) => Ok(item.as_ref()),
            Self::Items(_) => Err(DecodeError::new("a query's items where one was asked for")),
        }
    }

    /// The item as a `T`. If there is none, that is `None` for an `Option`, and an error for any other
    /// type.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.optional()? {
            Some(item) => item.deserialize(),
            None => none().ok_or_else(|| DecodeError::missing("there is no such item")),
        }
    }

    pub(super) fn items(&self) -> Result<&[Item], DecodeError> {
        match self {
            Self::Items(items) => Ok(items),
            Self::Item(_) => Err(DecodeError::new("one item where a query was asked for")),
        }
    }
}

/// serde_dynamo's own messages; others may quote the value.
fn without_value(error: &serde_dynamo::Error) -> String {
    const OWN: [&str; 11] = [
        "Expected string",
        "Expected map",
        "Expected seq",
        "Expected num",
        "Expected bool",
        "Expected char",
        "Expected unit",
        "Expected unit struct",
        "Expected enum",
        "Expected binary data",
        "Expected an item with a single key",
    ];
    let message = error.to_string();
    if OWN.contains(&&*message) { message.to_lowercase() } else { decode::without_value(error) }
}

/// `None` as a `T`, if that is an `Option`.
fn none<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Nothing).ok()
}

/// Deserializes into `None` alone. A unit would also do for types that are no `Option`.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = value::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("nothing is there"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl Payload {
    /// A digest of the content, since DynamoDB has no versions.
    pub(super) fn version(&self) -> Version {
        let mut digest = Sha256::new();
        match self {
            Self::Item(None) => return Version::new("no item"),
            Self::Item(Some(item)) => hash_map(&mut digest, item.attributes()),
            Self::Items(items) => {
                hash_length(&mut digest, items.len());
                items.iter().for_each(|item| hash_map(&mut digest, item.attributes()));
            }
        }
        Version::new(short_digest(&digest.finalize()))
    }
}

/// Hashes a tag and the length before each value, so that no two contents give the same bytes.
fn hash(digest: &mut Sha256, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => hash_bytes(digest, b'S', text.as_bytes()),
        AttributeValue::N(number) => hash_bytes(digest, b'N', number.as_bytes()),
        AttributeValue::B(bytes) => hash_bytes(digest, b'B', bytes.as_ref()),
        AttributeValue::Bool(is) => hash_bytes(digest, b'?', &[u8::from(*is)]),
        AttributeValue::Null(is) => hash_bytes(digest, b'0', &[u8::from(*is)]),
        AttributeValue::Ss(set) => hash_set(digest, b's', set.iter().map(String::as_bytes)),
        AttributeValue::Ns(set) => hash_set(digest, b'n', set.iter().map(String::as_bytes)),
        AttributeValue::Bs(set) => hash_set(digest, b'b', set.iter().map(Blob::as_ref)),
        AttributeValue::L(list) => {
            digest.update([b'L']);
            hash_length(digest, list.len());
            list.iter().for_each(|value| hash(digest, value));
        }
        AttributeValue::M(map) => hash_map(digest, map),
        // A type that is newer than this crate: its `Debug` goes into the digest and nowhere else.
        unknown => hash_bytes(digest, b'!', format!("{unknown:?}").as_bytes()),
    }
}

fn hash_map(digest: &mut Sha256, map: &HashMap<String, AttributeValue>) {
    let mut names: Vec<&String> = map.keys().collect();
    names.sort();
    digest.update([b'M']);
    hash_length(digest, names.len());
    for name in names {
        hash_bytes(digest, b'k', name.as_bytes());
        hash(digest, &map[name]);
    }
}

/// Hashes a set in sorted order, since it has no order.
fn hash_set<'a>(digest: &mut Sha256, tag: u8, set: impl Iterator<Item = &'a [u8]>) {
    let mut set: Vec<&[u8]> = set.collect();
    set.sort();
    digest.update([tag]);
    hash_length(digest, set.len());
    set.into_iter().for_each(|value| hash_bytes(digest, b'=', value));
}

fn hash_bytes(digest: &mut Sha256, tag: u8, bytes: &[u8]) {
    digest.update([tag]);
    hash_length(digest, bytes.len());
    digest.update(bytes);
}

fn hash_length(digest: &mut Sha256, length: usize) {
    digest.update((length as u64).to_be_bytes());
}

#[cfg(test)]
#[path = "../../../tests/parsers/item.rs"]
mod parsers;
#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Database {
        host: String,
        port: u16,
    }

    fn item(port: AttributeValue) -> Item {
        let host = ("host".to_owned(), AttributeValue::S("hunter2-host".to_owned()));
        Item::new(HashMap::from([host, ("port".to_owned(), port)]))
    }

    #[test]
    fn a_decode_error_says_what_is_wrong_and_quotes_nothing() {
        let number = |text: &str| AttributeValue::N(text.to_owned());
        for (port, what) in [
            (AttributeValue::S("hunter2".to_owned()), "expected num"),
            (number("hunter2"), "another type or form"),
            (number("99999"), "another type or form"),
        ] {
            let error = item(port).deserialize::<Database>().expect_err("no port").to_string();
            assert!(error.contains(what) && error.contains("Database"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("99999"), "{error}");
        }
        let empty = Item::new(HashMap::new());
        let error = empty.deserialize::<Database>().expect_err("no host").to_string();
        assert!(error.contains("field `host` is missing"), "{error}");
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        let debug = format!("{:?}", item(AttributeValue::N("4711".to_owned())));
        assert_eq!(debug, r#"Item({"host", "port"})"#);
    }

    #[test]
    fn only_an_option_is_made_of_nothing() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(transparent)]
        struct Wrapped(Option<u8>);

        assert_eq!(none::<Option<u8>>(), Some(None));
        assert_eq!(none::<Wrapped>(), Some(Wrapped(None)));
        assert_eq!(none::<()>(), None);
        assert_eq!(none::<serde_json::Value>(), None);
        assert_eq!(none::<HashMap<String, u8>>(), None);
    }

    #[test]
    fn one_item_is_another_version_than_none_and_than_a_list_of_it() {
        let one = Item::new(HashMap::from([("a".to_owned(), AttributeValue::Null(true))]));
        let versions = [
            Payload::Item(None),
            Payload::Item(Some(one.clone())),
            Payload::Items(Vec::new()),
            Payload::Items(vec![one.clone()]),
            Payload::Items(vec![one.clone(), one]),
        ];
        let versions: HashSet<Version> = versions.iter().map(Payload::version).collect();
        assert_eq!(versions.len(), 5);
    }
}
