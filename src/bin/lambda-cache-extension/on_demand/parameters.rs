//! Parameters, by `GetParameter`, with its answer as JSON.

use std::fmt;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::operation::get_parameter::GetParameterOutput;
use serde::Serialize;

use super::failure::Failure;
use super::{Metadata, written};
use crate::answer::Answer;
use crate::http::{Refusal, query};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Parameter {
    /// Name or ARN, with the version or the label after a colon.
    name: String,
    with_decryption: bool,
}

impl Parameter {
    pub(super) fn wanted(
        name: query::Value<'_>,
        version: query::Value<'_>,
        label: query::Value<'_>,
        with_decryption: query::Value<'_>,
    ) -> Result<Self, Refusal> {
        let name = query::required("name", name)?;
        let version = version.filter(|it| !it.is_empty());
        let label = label.filter(|it| !it.is_empty());
        let selected = match (version, label) {
            (Some(_), Some(_)) => {
                return Err(Refusal::bad_request("version and label cannot both be given"));
            }
            (Some(version), None) if !version.bytes().all(|it| it.is_ascii_digit()) => {
                return Err(Refusal::bad_request("version is not a number"));
            }
            (Some(selector), None) | (None, Some(selector)) => format!("{name}:{selector}"),
            (None, None) => name.into_owned(),
        };
        let with_decryption = query::boolean("withDecryption", with_decryption)?.unwrap_or(false);
        Ok(Self { name: selected, with_decryption })
    }

    pub(super) async fn fetch(self, client: &Client) -> Result<Answer, Failure> {
        let call = client.get_parameter().name(self.name).with_decryption(self.with_decryption);
        let output = call.send().await.map_err(Failure::of)?;
        Ok(Answer::secret_json(&Output::from(&output)))
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The JSON of AWS's extension.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    parameter: Option<Fields<'a>>,
    result_metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Fields<'a> {
    #[serde(rename = "ARN")]
    arn: Option<&'a str>,
    data_type: Option<&'a str>,
    last_modified_date: Option<String>,
    name: Option<&'a str>,
    selector: Option<&'a str>,
    source_result: Option<&'a str>,
    r#type: Option<&'a str>,
    value: Option<&'a str>,
    version: i64,
}

impl<'a> From<&'a GetParameterOutput> for Output<'a> {
    fn from(output: &'a GetParameterOutput) -> Self {
        let parameter = output.parameter().map(|it| Fields {
            arn: it.arn(),
            data_type: it.data_type(),
            last_modified_date: it.last_modified_date().and_then(written),
            name: it.name(),
            selector: it.selector(),
            source_result: it.source_result(),
            r#type: it.r#type().map(|it| it.as_str()),
            value: it.value(),
            version: it.version(),
        });
        Self { parameter, result_metadata: Metadata {} }
    }
}
