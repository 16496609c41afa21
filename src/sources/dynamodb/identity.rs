//! What tells one content from another.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use sha2::{Digest, Sha256};

use super::content::Payload;
use crate::entry::Version;
use crate::sources::digest;

impl Payload {
    /// DynamoDB counts no versions, so the content is its own.
    pub(super) fn version(&self) -> Version {
        let mut digest = Sha256::new();
        match self {
            Self::Item(None) => return Version::new("no item"),
            Self::Item(Some(item)) => put_map(&mut digest, item.attributes()),
            Self::Items(items) => {
                put_length(&mut digest, items.len());
                items.iter().for_each(|item| put_map(&mut digest, item.attributes()));
            }
        }
        Version::new(digest::short(digest))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::dynamodb::Item;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// Few values, so that many are equal or all but: one text in many types and places.
    fn values() -> impl Strategy<Value = AttributeValue> {
        let text = || prop::sample::select(vec!["", "1", "11", "N"]);
        let texts = || prop::collection::vec(text().prop_map(str::to_owned), 0..3);
        let blob = |text: &str| Blob::new(text.as_bytes().to_vec());
        let leaf = prop_oneof![
            text().prop_map(|it| AttributeValue::S(it.to_owned())),
            text().prop_map(|it| AttributeValue::N(it.to_owned())),
            text().prop_map(move |it| AttributeValue::B(blob(it))),
            any::<bool>().prop_map(AttributeValue::Bool),
            any::<bool>().prop_map(AttributeValue::Null),
            texts().prop_map(AttributeValue::Ss),
            texts().prop_map(AttributeValue::Ns),
            texts().prop_map(move |it| AttributeValue::Bs(it.iter().map(|it| blob(it)).collect())),
        ];
        leaf.prop_recursive(3, 8, 3, move |inner| {
            let names = prop::sample::select(vec!["a", "b", "1"]).prop_map(str::to_owned);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
                prop::collection::hash_map(names, inner, 0..3).prop_map(AttributeValue::M),
            ]
        })
    }

    /// The same, with its sets in order.
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
            AttributeValue::M(map) => {
                AttributeValue::M(map.iter().map(|(name, it)| (name.clone(), sorted(it))).collect())
            }
            other => other,
        }
    }

    fn version(value: &AttributeValue) -> Version {
        let attributes = HashMap::from([("a".to_owned(), value.clone())]);
        Payload::Item(Some(Item::new(attributes))).version()
    }

    fn seeded() -> ProptestConfig {
        ProptestConfig {
            cases: 4096,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..Default::default()
        }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn versions_are_equal_if_and_only_if_items_are((a, b) in (values(), values())) {
            prop_assert_eq!(version(&a) == version(&b), sorted(&a) == sorted(&b));
            prop_assert_eq!(version(&a), version(&sorted(&a)));
        }
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
        let versions: std::collections::HashSet<Version> =
            versions.iter().map(Payload::version).collect();
        assert_eq!(versions.len(), 5);
    }
}
