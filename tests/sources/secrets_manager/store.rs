//! Secrets Manager: what tests write to it, and what they say in its place.

use aws_sdk_secretsmanager::Client;
use aws_smithy_types::base64;
use serde_json::{Value as Json, json};

use crate::aws::{Answer, Aws, Call, HOME};

/// An id that could be one of AWS's.
pub(super) fn version_id(n: usize) -> String {
    format!("{n:032}")
}

impl Aws {
    fn secrets(&self) -> Client {
        Client::new(&self.direct(HOME))
    }

    /// Gives a secret its text, which becomes AWSCURRENT.
    pub(crate) async fn put_secret(&self, name: &str, text: &str) {
        let secrets = self.secrets();
        let put = secrets.put_secret_value().secret_id(name).secret_string(text).send().await;
        if put.is_err() {
            secrets.create_secret().name(name).secret_string(text).send().await.unwrap();
        }
    }

    /// From now on every secret is this, in bytes, which winterbaume does not keep.
    pub(super) fn say_binary_secret(&self, bytes: &[u8], version: usize) {
        let bytes = base64::encode(bytes);
        self.script(move |call| {
            let mut secret = value(&call.secrets()[0], "", version);
            secret.as_object_mut().unwrap().remove("SecretString");
            secret["SecretBinary"] = bytes.clone().into();
            Some(say(secret))
        });
    }

    pub(super) async fn delete_secret(&self, name: &str) {
        let delete = self.secrets().delete_secret().secret_id(name);
        delete.force_delete_without_recovery(true).send().await.unwrap();
    }
}

impl Call {
    /// The secrets asked for, sorted.
    pub(super) fn secrets(&self) -> Vec<String> {
        let one = self.body["SecretId"].as_str();
        let many = self.body["SecretIdList"].as_array().into_iter().flatten();
        let mut all: Vec<String> =
            one.into_iter().chain(many.filter_map(Json::as_str)).map(str::to_owned).collect();
        all.sort();
        all
    }
}

/// A secret as the service writes it.
pub(super) fn value(name: &str, text: &str, version: usize) -> Json {
    json!({
        "ARN": format!("arn:aws:secretsmanager:{HOME}:123456789012:secret:{name}-AbCd12"),
        "Name": name, "SecretString": text, "VersionId": version_id(version),
        "VersionStages": ["AWSCURRENT"], "CreatedDate": 1.7e9,
    })
}

pub(super) fn say(answer: Json) -> Answer {
    Answer::Say(200, answer.to_string())
}
