//! DynamoDB: what tests write to it, and what they say in its place.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::{Value as Json, json};

use crate::aws::{Answer, Aws, Call, HOME};
use crate::fixture::World;

impl Call {
    /// What a BatchGetItem call asks of each table.
    fn tables(&self) -> impl Iterator<Item = (&String, &Json)> {
        self.body["RequestItems"].as_object().into_iter().flatten()
    }

    /// What a BatchGetItem call asks of one table.
    pub(super) fn asks(&self, table: &str) -> &Json {
        &self.body["RequestItems"][table]
    }

    /// The keys that a BatchGetItem or GetItem call asks for, each with its table.
    pub(super) fn keys(&self) -> Vec<(String, Json)> {
        if self.operation() == "GetItem" {
            let table = self.body["TableName"].as_str().unwrap();
            return vec![(table.to_owned(), self.body["Key"].clone())];
        }
        let of = |(table, asked): (&String, &Json)| {
            let keys = asked["Keys"].as_array().unwrap();
            keys.iter().map(|key| (table.clone(), key.clone())).collect::<Vec<_>>()
        };
        self.tables().flat_map(of).collect()
    }

    /// Whether it asks for the item of this id.
    pub(super) fn wants(&self, id: &str) -> bool {
        self.keys().iter().any(|(_, key)| key["id"]["S"] == id)
    }
}

impl Answer {
    pub(super) fn json(body: &Json) -> Self {
        Self::Say(200, body.to_string())
    }

    /// All that a call asks for but the keys for which `leaves`: items with a key and nothing else.
    pub(super) fn processing(call: &Call, leaves: impl Fn(&Json) -> bool) -> Self {
        let (mut responses, mut unprocessed) = (json!({}), json!({}));
        for (table, asked) in call.tables() {
            let keys = asked["Keys"].as_array().unwrap();
            let (left, found): (Vec<_>, Vec<_>) = keys.iter().cloned().partition(&leaves);
            responses[table] = found.into();
            if !left.is_empty() {
                unprocessed[table] = asked.clone();
                unprocessed[table]["Keys"] = left.into();
            }
        }
        Self::json(&json!({ "Responses": responses, "UnprocessedKeys": unprocessed }))
    }
}

/// What of an operation is in `calls`.
pub(super) fn operations(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(Call::operation).collect()
}

impl World {
    /// A table `accounts` by the string `id`, with an item of each of these ids and values.
    pub(super) async fn with_accounts(accounts: &[(&str, &str)]) -> Self {
        let world = Self::new();
        world.aws.create_table("accounts", "id", None).await;
        for (id, value) in accounts {
            world.aws.put_account(id, value).await;
        }
        world
    }
}

impl Aws {
    fn dynamodb(&self, region: &str) -> Client {
        Client::new(&self.direct(region))
    }

    /// A table whose partition key is a string, as is its sort key, if it has one.
    pub(super) async fn create_table(&self, table: &str, key: &str, sort: Option<&str>) {
        self.create_table_in(HOME, table, key, sort).await;
    }

    pub(super) async fn create_table_in(
        &self,
        region: &str,
        table: &str,
        key: &str,
        sort: Option<&str>,
    ) {
        let mut create = self.dynamodb(region).create_table().table_name(table);
        let keys = [(key, KeyType::Hash)].into_iter().chain(sort.map(|it| (it, KeyType::Range)));
        for (name, kind) in keys {
            let schema = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
            create = create.key_schema(schema.build().unwrap()).attribute_definitions(attribute);
        }
        create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }

    /// Puts an item whose attributes are those of the object.
    pub(super) async fn put_item(&self, table: &str, item: Json) {
        self.put_attributes(table, serde_dynamo::to_item(item).unwrap()).await;
    }

    pub(super) async fn put_attributes(
        &self,
        table: &str,
        attributes: HashMap<String, AttributeValue>,
    ) {
        let put = self.dynamodb(HOME).put_item().table_name(table);
        put.set_item(Some(attributes)).send().await.unwrap();
    }

    pub(super) async fn put_item_in(&self, region: &str, table: &str, item: Json) {
        let put = self.dynamodb(region).put_item().table_name(table);
        put.set_item(Some(serde_dynamo::to_item(item).unwrap())).send().await.unwrap();
    }

    pub(super) async fn put_account(&self, id: &str, value: &str) {
        self.put_item("accounts", json!({ "id": id, "value": value })).await;
    }

    pub(super) async fn delete_account(&self, id: &str) {
        let delete = self.dynamodb(HOME).delete_item().table_name("accounts");
        delete.key("id", AttributeValue::S(id.to_owned())).send().await.unwrap();
    }
}

/// What an item of `accounts` is read as.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) value: String,
}

pub(super) fn account(id: &str, value: &str) -> Account {
    Account { id: id.to_owned(), value: value.to_owned() }
}
