//! Parameters, by `GetParameter`, with its answer as JSON.

use std::borrow::Cow;
use std::fmt;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::operation::get_parameter::GetParameterOutput;
use serde::Serialize;

use super::failure::Failure;
use super::{Metadata, Resource, written};
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
    /// What a query asks for. Of a version and a label the one that comes first counts, as with AWS's
    /// extension.
    pub(super) fn wanted(
        query: &str,
        [name, version, label, with_decryption]: [query::Value<'_>; 4],
    ) -> Result<Self, Refusal> {
        let name = query::required("name", name)?;
        let selector = match query::first(query, ["version", "label"]) {
            Some("version") => version.map(number).transpose()?,
            Some(_) => label,
            None => None,
        };
        let name = match selector {
            Some(selector) => format!("{name}:{selector}"),
            None => name.into_owned(),
        };
        let with_decryption = query::boolean("withDecryption", with_decryption)?.unwrap_or(false);
        Ok(Self { name, with_decryption })
    }
}

impl Resource for Parameter {
    const NAME: &'static str = "systemsmanager/parameters";
    const OPERATION: &'static str = "GetParameter";
    type Client = Client;

    async fn fetch(self, client: &Client) -> Result<Answer, Failure> {
        let call = client.get_parameter().name(self.name).with_decryption(self.with_decryption);
        let output = call.send().await.map_err(Failure::of)?;
        Ok(Answer::secret_json(&Output::from(&output)))
    }

    fn size(&self) -> usize {
        self.name.len()
    }
}

fn number(version: Cow<'_, str>) -> Result<Cow<'_, str>, Refusal> {
    match version.bytes().all(|it| it.is_ascii_digit()) {
        true => Ok(version),
        false => Err(Refusal::bad_request("version is not a number")),
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
