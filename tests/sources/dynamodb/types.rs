//! Whatever an item's attributes are, they are read as they were written.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_cache::sources::dynamodb;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::fixture::{World, try_few};

type Attributes = HashMap<String, AttributeValue>;

/// The members of sets, in order: a set has none.
fn sorted(value: &AttributeValue) -> AttributeValue {
    match value.clone() {
        AttributeValue::Ss(mut set) => {
            set.sort();
            AttributeValue::Ss(set)
        }
        AttributeValue::Ns(mut set) => {
            set.sort();
            AttributeValue::Ns(set)
        }
        AttributeValue::Bs(mut set) => {
            set.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
            AttributeValue::Bs(set)
        }
        AttributeValue::L(list) => AttributeValue::L(list.iter().map(sorted).collect()),
        AttributeValue::M(map) => AttributeValue::M(all_sorted(&map)),
        other => other,
    }
}

fn all_sorted(attributes: &Attributes) -> Attributes {
    attributes.iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
}

fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|it| it.to_string()),
        Just("-0.125".to_owned()),
        "[1-9][0-9]{37}"
    ]
}

fn values() -> impl Strategy<Value = AttributeValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        ".{0,12}".prop_map(AttributeValue::S),
        numbers().prop_map(AttributeValue::N),
        bytes().prop_map(|it| AttributeValue::B(Blob::new(it))),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null(true)),
        prop::collection::btree_set(".{1,6}", 1..4)
            .prop_map(|set| AttributeValue::Ss(set.into_iter().collect())),
        prop::collection::btree_set(numbers(), 1..4)
            .prop_map(|set| AttributeValue::Ns(set.into_iter().collect())),
        prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..9), 1..4)
            .prop_map(|set| AttributeValue::Bs(set.into_iter().map(Blob::new).collect())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            prop::collection::hash_map(".{1,6}", inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::hash_map("[a-z .#-]{1,9}", values(), 0..6).prop_map(|mut attributes| {
        attributes.insert("id".to_owned(), AttributeValue::S("42".to_owned()));
        attributes
    })
}

/// Runs one case in a world of its own.
fn run<T>(test: impl AsyncFnOnce(World) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { test(World::with_accounts(&[]).await).await })
}

#[test]
fn any_item_is_read_as_it_was_written() {
    try_few(attributes(), |attributes| {
        let read = run(async |world| {
            world.aws.put_attributes("accounts", attributes.clone()).await;
            let mut builder = world.builder();
            let key = builder.add(dynamodb::item("accounts").key("id", "42"));
            let cache = builder.spawn().await.unwrap();
            cache.get(key).await.unwrap().attributes().clone()
        });
        prop_assert_eq!(all_sorted(&read), all_sorted(&attributes));
        Ok(())
    });
}

/// Bytes, which serde would take for a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}

/// A field for each type of attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    id: String,
    number: i64,
    large: u64,
    float: f64,
    bytes: Bytes,
    yes: bool,
    nothing: Option<u8>,
    map: HashMap<String, i32>,
    list: Vec<Option<String>>,
    #[serde(with = "serde_dynamo::string_set")]
    strings: BTreeSet<String>,
    #[serde(with = "serde_dynamo::number_set")]
    numbers: BTreeSet<i64>,
    #[serde(with = "serde_dynamo::binary_set")]
    binaries: Vec<Bytes>,
}

fn everything() -> impl Strategy<Value = Everything> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..9).prop_map(Bytes);
    (
        (any::<i64>(), any::<u64>(), -1e9..1e9_f64, bytes(), any::<bool>(), any::<Option<u8>>()),
        prop::collection::hash_map(".{1,6}", any::<i32>(), 0..4),
        prop::collection::vec(any::<Option<String>>(), 0..4),
        prop::collection::btree_set(".{1,6}", 1..4),
        prop::collection::btree_set(any::<i64>(), 1..4),
        prop::collection::btree_set(bytes(), 1..4),
    )
        .prop_map(
            |((number, large, float, bytes, yes, nothing), map, list, strings, numbers, b)| {
                let (id, binaries) = ("42".to_owned(), b.into_iter().collect());
                Everything {
                    id,
                    number,
                    large,
                    float,
                    bytes,
                    yes,
                    nothing,
                    map,
                    list,
                    strings,
                    numbers,
                    binaries,
                }
            },
        )
}

#[test]
fn a_value_of_the_users_type_is_read_as_it_was_written() {
    try_few(everything(), |written| {
        let mut read = run(async |world| {
            world.aws.put_attributes("accounts", serde_dynamo::to_item(&written).unwrap()).await;
            let mut builder = world.builder();
            let entry = dynamodb::item("accounts").key("id", "42").deserialize::<Everything>();
            let key = builder.add(entry);
            let cache = builder.spawn().await.unwrap();
            Everything::clone(&*cache.get(key).await.unwrap())
        });
        read.binaries.sort();
        prop_assert_eq!(read, written);
        Ok(())
    });
}
