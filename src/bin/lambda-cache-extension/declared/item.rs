//! An item as JSON.
//!
//! Numbers are texts, as the Go extension had them: no digit of DynamoDB's 38 is lost to a float. Bytes
//! are in Base64, sets are lists, and attributes are in the order of their names.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::{Blob, base64};
use lambda_cache::sources::dynamodb::Item;
use serde::ser::{Serialize, Serializer};

/// The item as a JSON object.
pub(super) fn json(item: &Item) -> String {
    serde_json::to_string(&Object(item.attributes())).unwrap_or_default()
}

struct Object<'a>(&'a HashMap<String, AttributeValue>);
struct Attribute<'a>(&'a AttributeValue);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attributes: BTreeMap<_, _> =
            self.0.iter().map(|(name, value)| (name, Attribute(value))).collect();
        serializer.collect_map(attributes)
    }
}

impl Serialize for Attribute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |bytes: &Blob| base64::encode(bytes);
        match self.0 {
            AttributeValue::S(text) | AttributeValue::N(text) => serializer.serialize_str(text),
            AttributeValue::B(bytes) => serializer.serialize_str(&text(bytes)),
            AttributeValue::Bool(is) => serializer.serialize_bool(*is),
            AttributeValue::L(list) => serializer.collect_seq(list.iter().map(Attribute)),
            AttributeValue::M(map) => Object(map).serialize(serializer),
            AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => serializer.collect_seq(texts),
            AttributeValue::Bs(all) => serializer.collect_seq(all.iter().map(text)),
            // NULL, and what the service may have one day.
            _ => serializer.serialize_unit(),
        }
    }
}
