//! Items as the service gives them, and what they are decoded to.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::value;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use super::key::KeyValue;
use crate::decode::{self, DecodeError};

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
            DecodeError::new(format!("not a {target}: {}", words(&error.to_string())))
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
}

/// serde_dynamo's words where they are its own; others may quote the value.
fn words(said: &str) -> String {
    const ITS_OWN: [&str; 11] = [
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
    if ITS_OWN.contains(&said) { said.to_lowercase() } else { decode::words(said) }
}

/// What a `T` is where nothing is there: `None`, if it is an `Option`.
fn absent<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Nothing).ok()
}

/// Holds a `None` and no other value: not the unit, which more than an `Option` could be made of.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Database {
        #[allow(dead_code)]
        host: String,
        #[allow(dead_code)]
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

        assert_eq!(absent::<Option<u8>>(), Some(None));
        assert_eq!(absent::<Wrapped>(), Some(Wrapped(None)));
        assert_eq!(absent::<()>(), None);
        assert_eq!(absent::<serde_json::Value>(), None);
        assert_eq!(absent::<HashMap<String, u8>>(), None);
    }
}
