//! Parameter Store: what tests write to it, and what they say in its place.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use serde_json::{Value as Json, json};
use winterbaume_core::DEFAULT_ACCOUNT_ID;

use crate::aws::{Answer, Aws, Call, HOME};
use crate::fixture::World;

impl Call {
    /// The names asked for, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.body["Names"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = names.iter().map(|it| it.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

impl Answer {
    pub(super) fn parameters(parameters: impl IntoIterator<Item = Json>) -> Self {
        let parameters: Vec<Json> = parameters.into_iter().collect();
        Self::Say(200, json!({ "Parameters": parameters, "InvalidParameters": [] }).to_string())
    }
}

/// A parameter as the service writes it.
pub(super) fn parameter(name: &str, value: &str) -> Json {
    json!({
        "Name": name, "Type": "String", "Value": value, "Version": 1, "DataType": "text",
        "LastModifiedDate": 1.7e9, "ARN": arn(name),
    })
}

pub(super) fn arn(name: &str) -> String {
    format!("arn:aws:ssm:{HOME}:{DEFAULT_ACCOUNT_ID}:parameter{name}")
}

impl World {
    /// A Parameter Store with these texts.
    pub(super) async fn with<N: AsRef<str>, V: AsRef<str>>(
        parameters: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let world = Self::new();
        for (name, value) in parameters {
            world.aws.put(name.as_ref(), value.as_ref()).await;
        }
        world
    }
}

impl Aws {
    pub(crate) async fn put(&self, name: &str, value: &str) {
        self.put_as(ParameterType::String, name, value).await;
    }

    pub(super) async fn put_as(&self, kind: ParameterType, name: &str, value: &str) {
        self.put_in(HOME, kind, name, value).await;
    }

    pub(super) async fn put_in(&self, region: &str, kind: ParameterType, name: &str, value: &str) {
        let put = Client::new(&self.direct(region)).put_parameter();
        put.name(name).value(value).r#type(kind).overwrite(true).send().await.unwrap();
    }

    /// As `put`, past the client: for a test that writes very often.
    pub(super) async fn write(&self, name: &str, value: &str) {
        let state = self.services().ssm.shared_state().get(DEFAULT_ACCOUNT_ID, HOME);
        let mut state = state.write().await;
        let tags = HashMap::new();
        state.put_parameter(name, value, "String", DEFAULT_ACCOUNT_ID, HOME, true, tags).unwrap();
    }

    pub(super) async fn delete(&self, name: &str) {
        Client::new(&self.direct(HOME)).delete_parameter().name(name).send().await.unwrap();
    }

    /// Moves the time of a parameter's last change, which winterbaume gives in whole seconds.
    pub(super) async fn changed_later(&self, name: &str, by: Duration) {
        let state = self.services().ssm.shared_state().get(DEFAULT_ACCOUNT_ID, HOME);
        state.write().await.parameters.get_mut(name).unwrap().last_modified_date += by;
    }
}
