//! Items under property tests: versions, and what decoding gives and shows.

use proptest::prelude::*;

use super::*;

/// Few values, so that many are equal or nearly so: one text in many types and places.
fn values() -> impl Strategy<Value = AttributeValue> {
    let text = || prop::sample::select(vec!["", "1", "11", "~7x"]);
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

/// The same value with sorted sets.
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

proptest! {
    #[test]
    fn versions_are_equal_if_and_only_if_items_are((a, b) in (values(), values())) {
        prop_assert_eq!(version(&a) == version(&b), sorted(&a) == sorted(&b));
        prop_assert_eq!(version(&a), version(&sorted(&a)));
    }

    /// `~7x` stands for what must not be seen: nothing in a type or a message is written so.
    #[test]
    fn no_decode_error_quotes_an_attribute(values in prop::collection::hash_map(
        prop::sample::select(vec!["host", "port", "~7x"]).prop_map(str::to_owned), values(), 0..4
    )) {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only decoded")]
        struct Database {
            host: String,
            port: Port,
        }
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only decoded")]
        enum Port {
            Number(u16),
            Default,
        }
        let item = Item::new(values);
        if let Err(error) = item.deserialize::<Database>() {
            prop_assert!(!error.to_string().contains("~7x"), "{}", error);
        }
        if let Err(error) = item.deserialize::<HashMap<String, u8>>() {
            prop_assert!(!error.to_string().contains("~7x"), "{}", error);
        }
    }

    #[test]
    fn what_serde_wrote_is_read_as_it_was(written in prop::collection::hash_map(
        "[a-z~.]{1,6}",
        prop::collection::vec(any::<(Option<i64>, u64, f32, bool, char)>(), 0..3),
        0..4,
    )) {
        let attributes = serde_dynamo::aws_sdk_dynamodb_1::to_item(&written).expect("an item");
        prop_assert_eq!(Item::new(attributes).deserialize(), Ok(written));
    }
}
