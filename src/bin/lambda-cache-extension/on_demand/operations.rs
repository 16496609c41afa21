//! `GetParameter` and `GetSecretValue`: what a client asks for, and the JSON of AWS's extension for
//! what the service answers.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::hash::Hash;

use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::{DateTime, base64};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::failure::Failure;
use crate::answer::Answer;
use crate::http::{Refusal, query};

/// A call to a service, and the key under which its answer is cached.
pub(super) trait Operation: Clone + Eq + Hash + Display + Send + Sync + 'static {
    const NAME: &'static str;
    /// The name of its memo in errors and in the log.
    const MEMO: &'static str;
    type Client: Clone + Send + Sync + 'static;

    fn call(self, client: &Self::Client) -> impl Future<Output = Result<Answer, Failure>> + Send;

    /// Bytes of its texts.
    fn size(&self) -> usize;
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GetParameter {
    /// Name or ARN, with the version or the label after a colon.
    name: String,
    with_decryption: bool,
}

impl GetParameter {
    /// The operation that a query asks for. If it has a version and a label, the first one counts, as
    /// with AWS's extension.
    pub(super) fn new(
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

fn number(version: Cow<'_, str>) -> Result<Cow<'_, str>, Refusal> {
    match version.bytes().all(|it| it.is_ascii_digit()) {
        true => Ok(version),
        false => Err(Refusal::bad_request("version is not a number")),
    }
}

impl Operation for GetParameter {
    const NAME: &'static str = "GetParameter";
    const MEMO: &'static str = "systemsmanager/parameters";
    type Client = aws_sdk_ssm::Client;

    async fn call(self, client: &Self::Client) -> Result<Answer, Failure> {
        let call = client.get_parameter().name(self.name).with_decryption(self.with_decryption);
        let output = call.send().await.map_err(Failure::of)?;
        let parameter = output.parameter().map(ParameterJson);
        let json = GetParameterJson { parameter, result_metadata: NoMetadata {} };
        Ok(Answer::secret_json(&json))
    }

    fn size(&self) -> usize {
        self.name.len()
    }
}

impl Display for GetParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GetSecretValue {
    /// Name or ARN.
    id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

impl GetSecretValue {
    pub(super) fn new(
        [id, version_id, version_stage]: [query::Value<'_>; 3],
    ) -> Result<Self, Refusal> {
        let id = query::required("secretId", id)?.into_owned();
        let [version_id, version_stage] = [version_id, version_stage]
            .map(|value| value.filter(|it| !it.is_empty()).map(Cow::into_owned));
        Ok(Self { id, version_id, version_stage })
    }

    /// The version id and the version stage, if given.
    fn version(&self) -> impl Iterator<Item = &String> {
        [&self.version_id, &self.version_stage].into_iter().flatten()
    }
}

impl Operation for GetSecretValue {
    const NAME: &'static str = "GetSecretValue";
    const MEMO: &'static str = "secretsmanager";
    type Client = aws_sdk_secretsmanager::Client;

    async fn call(self, client: &Self::Client) -> Result<Answer, Failure> {
        let call = client.get_secret_value().secret_id(self.id);
        let call = call.set_version_id(self.version_id).set_version_stage(self.version_stage);
        let output = call.send().await.map_err(Failure::of)?;
        Ok(Answer::secret_json(&GetSecretValueJson(&output)))
    }

    fn size(&self) -> usize {
        self.id.len() + self.version().map(String::len).sum::<usize>()
    }
}

impl Display for GetSecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.version().try_for_each(|part| write!(f, " {part}"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetParameterJson<'a> {
    parameter: Option<ParameterJson<'a>>,
    result_metadata: NoMetadata,
}

struct ParameterJson<'a>(&'a aws_sdk_ssm::types::Parameter);

impl Serialize for ParameterJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(parameter) = self;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("ARN", &parameter.arn())?;
        json.serialize_entry("DataType", &parameter.data_type())?;
        json.serialize_entry("LastModifiedDate", &date(parameter.last_modified_date()))?;
        json.serialize_entry("Name", &parameter.name())?;
        json.serialize_entry("Selector", &parameter.selector())?;
        json.serialize_entry("SourceResult", &parameter.source_result())?;
        json.serialize_entry("Type", &parameter.r#type().map(|it| it.as_str()))?;
        json.serialize_entry("Value", &parameter.value())?;
        json.serialize_entry("Version", &parameter.version())?;
        json.end()
    }
}

struct GetSecretValueJson<'a>(&'a GetSecretValueOutput);

impl Serialize for GetSecretValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(secret) = self;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("ARN", &secret.arn())?;
        json.serialize_entry("CreatedDate", &date(secret.created_date()))?;
        json.serialize_entry("Name", &secret.name())?;
        json.serialize_entry("SecretBinary", &secret.secret_binary().map(base64::encode))?;
        json.serialize_entry("SecretString", &secret.secret_string())?;
        json.serialize_entry("VersionId", &secret.version_id())?;
        json.serialize_entry("VersionStages", secret.version_stages())?;
        json.serialize_entry("ResultMetadata", &NoMetadata {})?;
        json.end()
    }
}

/// The empty object that AWS's extension adds to each answer.
#[derive(Serialize)]
struct NoMetadata {}

/// A date as AWS's extension writes it. The services count milliseconds; the SDK reads them from a
/// float, which can be slightly too small.
fn date(date: Option<&DateTime>) -> Option<String> {
    let millis = (date?.as_secs_f64() * 1000.0).round();
    DateTime::from_millis(millis as i64).fmt(Format::DateTime).ok()
}
