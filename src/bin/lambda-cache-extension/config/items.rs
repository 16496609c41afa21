//! The items of each section, and the entries that they declare.

use aws_smithy_types::base64;
use lambda_cache::sources::dynamodb::KeyValue;

use super::fields::Fields;
use super::yaml::Node;
use super::{Declaration, Mistakes, Options, Position, Resource, Section};

const KEY: [&str; 3] = ["hashkey", "hashkeytype", "hashkeyvalue"];
const SORT_KEY: [&str; 3] = ["sortkey", "sortkeytype", "sortkeyvalue"];
/// Fields that items of all sections may have.
const COMMON: [&str; 7] =
    ["name", "max_age", "refresh_after", "stale_if_error", "timeout", "region", "role"];

/// The valid entries that an item declares.
pub(super) fn declarations(
    section: Section,
    item: &Node,
    mistakes: &mut Mistakes,
) -> Vec<Declaration> {
    let (what, own) = match section {
        Section::Parameters | Section::Secrets => ("an item with `names`", vec!["names"]),
        Section::DynamoDb => ("an item of `dynamodb`", [&["table"][..], &KEY, &SORT_KEY].concat()),
        Section::Objects => ("an item of `objects`", vec!["uri"]),
        Section::Configurations => {
            ("an item of `configurations`", vec!["application", "environment", "configuration"])
        }
    };
    let known = [&*own, &COMMON].concat();
    let Some(fields) = &mut Fields::of(item, mistakes, what, &known) else { return Vec::new() };
    let options = options(fields);
    let resources = match section {
        Section::Parameters => by_name(fields, Resource::Parameter),
        Section::Secrets => by_name(fields, Resource::Secret),
        Section::DynamoDb => Vec::from_iter(item_of_table(fields)),
        Section::Objects => Vec::from_iter(object(fields)),
        Section::Configurations => Vec::from_iter(configuration(fields)),
    };
    let mut own_name = fields.text("name");
    if fields.get("name").is_some() && resources.len() > 1 {
        fields.mistake("name", "`name` is for one entry, and `names` lists several");
        own_name = None;
    }
    let declaration = |Named { name, position, resource }| Declaration {
        section,
        name: own_name.clone().unwrap_or(name),
        resource,
        options: options.clone(),
        position,
    };
    resources.into_iter().map(declaration).collect()
}

/// A resource with its default name.
struct Named {
    name: String,
    position: Position,
    resource: Resource,
}

fn options(fields: &mut Fields<'_, '_>) -> Options {
    Options {
        max_age: fields.duration("max_age"),
        refresh_after: fields.duration("refresh_after"),
        stale_if_error: fields.duration("stale_if_error"),
        timeout: fields.duration("timeout"),
        region: fields.region("region"),
        role: fields.text("role"),
    }
}

fn by_name(fields: &mut Fields<'_, '_>, resource: fn(String) -> Resource) -> Vec<Named> {
    let named =
        |(name, position): (String, _)| Named { resource: resource(name.clone()), name, position };
    fields.required_list("names").into_iter().map(named).collect()
}

/// Named `<table>-<hash key>[-<sort key>]`.
fn item_of_table(fields: &mut Fields<'_, '_>) -> Option<Named> {
    let table = fields.required("table");
    let key = key(fields, KEY);
    let sort_key = match fields.text(SORT_KEY[0]) {
        Some(_) => Some(self::key(fields, SORT_KEY)?),
        None => {
            for lone in &SORT_KEY[1..] {
                if fields.text(lone).is_some() {
                    fields.mistake("sortkey", format!("`{lone}` without `sortkey`"));
                }
            }
            None
        }
    };
    let (table, (key, hash)) = (table?, key?);
    let (name, sort_key) = match sort_key {
        Some((sort_key, sort)) => (format!("{table}-{hash}-{sort}"), Some(sort_key)),
        None => (format!("{table}-{hash}"), None),
    };
    let resource = Resource::Item { table, key, sort_key };
    Some(Named { name, position: fields.position, resource })
}

/// The name and value of a key attribute, and the value as it is written.
fn key(
    fields: &mut Fields<'_, '_>,
    [attribute, kind, value]: [&str; 3],
) -> Option<((String, KeyValue), String)> {
    let texts = [attribute, kind, value].map(|name| fields.required(name));
    let [Some(attribute), Some(kind_text), Some(text)] = texts else { return None };
    let key = match &*kind_text {
        "S" => KeyValue::from(&*text),
        "N" => KeyValue::number(&*text),
        "B" => match base64::decode(&*text) {
            Ok(bytes) => KeyValue::from(bytes),
            Err(_) => {
                fields.mistake(value, format!("`{value}` is not in Base64"));
                return None;
            }
        },
        _ => {
            fields.mistake(kind, format!("`{kind}` must be S, N or B"));
            return None;
        }
    };
    Some(((attribute, key), text))
}

fn object(fields: &mut Fields<'_, '_>) -> Option<Named> {
    let uri = fields.required("uri")?;
    Some(Named { name: uri.clone(), position: fields.position, resource: Resource::Object(uri) })
}

/// Named `<application>-<environment>-<configuration>`.
fn configuration(fields: &mut Fields<'_, '_>) -> Option<Named> {
    let texts = ["application", "environment", "configuration"].map(|name| fields.required(name));
    let [Some(application), Some(environment), Some(configuration)] = texts else { return None };
    let name = format!("{application}-{environment}-{configuration}");
    let resource = Resource::Configuration { application, environment, configuration };
    Some(Named { name, position: fields.position, resource })
}
