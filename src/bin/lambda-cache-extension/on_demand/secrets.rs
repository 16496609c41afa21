//! Secrets, by `GetSecretValue`, with its answer as JSON.

use std::fmt;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_smithy_types::base64;
use serde::Serialize;

use super::failure::Failure;
use super::{Metadata, Resource, written};
use crate::answer::Answer;
use crate::http::{Refusal, query};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Secret {
    /// Name or ARN.
    id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

impl Secret {
    pub(super) fn wanted(
        id: query::Value<'_>,
        version_id: query::Value<'_>,
        version_stage: query::Value<'_>,
    ) -> Result<Self, Refusal> {
        let given =
            |value: query::Value<'_>| value.filter(|it| !it.is_empty()).map(|it| it.into_owned());
        let id = query::required("secretId", id)?.into_owned();
        Ok(Self { id, version_id: given(version_id), version_stage: given(version_stage) })
    }
}

impl Resource for Secret {
    const NAME: &'static str = "secretsmanager";
    const OPERATION: &'static str = "GetSecretValue";
    type Client = Client;

    async fn fetch(self, client: &Client) -> Result<Answer, Failure> {
        let call = client.get_secret_value().secret_id(self.id);
        let call = call.set_version_id(self.version_id).set_version_stage(self.version_stage);
        let output = call.send().await.map_err(Failure::of)?;
        Ok(Answer::secret_json(&Output::from(&output)))
    }

    fn size(&self) -> usize {
        let parts = [Some(&self.id), self.version_id.as_ref(), self.version_stage.as_ref()];
        parts.into_iter().flatten().map(String::len).sum()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        for part in [&self.version_id, &self.version_stage].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

/// The JSON of AWS's extension.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    #[serde(rename = "ARN")]
    arn: Option<&'a str>,
    created_date: Option<String>,
    name: Option<&'a str>,
    secret_binary: Option<String>,
    secret_string: Option<&'a str>,
    version_id: Option<&'a str>,
    version_stages: &'a [String],
    result_metadata: Metadata,
}

impl<'a> From<&'a GetSecretValueOutput> for Output<'a> {
    fn from(output: &'a GetSecretValueOutput) -> Self {
        Self {
            arn: output.arn(),
            created_date: output.created_date().and_then(written),
            name: output.name(),
            secret_binary: output.secret_binary().map(base64::encode),
            secret_string: output.secret_string(),
            version_id: output.version_id(),
            version_stages: output.version_stages(),
            result_metadata: Metadata {},
        }
    }
}
