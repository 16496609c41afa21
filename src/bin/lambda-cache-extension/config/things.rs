//! What an item of each section declares.

use aws_smithy_types::base64;
use lambda_cache::sources::dynamodb::KeyValue;

use super::fields::Fields;
use super::mistakes::Mistakes;
use super::yaml::Node;
use super::{Declaration, Options, Place, Section, Thing};

/// Fields that items of all sections may have.
const COMMON: [&str; 7] =
    ["name", "max_age", "refresh_after", "stale_if_error", "timeout", "region", "role"];

/// What an item declares, as far as it is right.
pub(super) fn declared(section: Section, item: &Node, mistakes: &mut Mistakes) -> Vec<Declaration> {
    let (what, own): (_, &[&str]) = match section {
        Section::Parameters | Section::Secrets => ("an item with `names`", &["names"]),
        Section::DynamoDb => (
            "an item of `dynamodb`",
            &[
                "table",
                "hashkey",
                "hashkeytype",
                "hashkeyvalue",
                "sortkey",
                "sortkeytype",
                "sortkeyvalue",
            ],
        ),
        Section::Objects => ("an item of `objects`", &["uri"]),
        Section::Configurations => {
            ("an item of `configurations`", &["application", "environment", "configuration"])
        }
    };
    let known: Vec<&'static str> = own.iter().chain(&COMMON).copied().collect();
    let Some(fields) = item.fields(mistakes, what, &known) else { return Vec::new() };
    let options = options(&fields, mistakes);
    let things = match section {
        Section::Parameters => named(&fields, mistakes, Thing::Parameter),
        Section::Secrets => named(&fields, mistakes, Thing::Secret),
        Section::DynamoDb => item_of_table(&fields, mistakes).into_iter().collect(),
        Section::Objects => object(&fields, mistakes).into_iter().collect(),
        Section::Configurations => configuration(&fields, mistakes).into_iter().collect(),
    };
    let mut own_name = fields.text(mistakes, "name");
    if let (Some(node), true) = (fields.get("name"), things.len() > 1) {
        mistakes.add(node.place, "`name` can be that of one thing, and `names` lists several");
        own_name = None;
    }
    let declaration = |(name, place, thing)| Declaration {
        section,
        name: own_name.clone().unwrap_or(name),
        thing,
        options: options.clone(),
        place,
    };
    things.into_iter().map(declaration).collect()
}

/// A thing, what it is called unless its user says otherwise, and where it stands.
type Found = (String, Place, Thing);

fn options(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Options {
    Options {
        max_age: fields.duration(mistakes, "max_age"),
        refresh_after: fields.duration(mistakes, "refresh_after"),
        stale_if_error: fields.duration(mistakes, "stale_if_error"),
        timeout: fields.duration(mistakes, "timeout"),
        region: fields.region(mistakes, "region"),
        role: fields.text(mistakes, "role"),
    }
}

fn named(
    fields: &Fields<'_>,
    mistakes: &mut Mistakes,
    thing: impl Fn(String) -> Thing,
) -> Vec<Found> {
    let Some(names) = fields.get("names") else {
        mistakes.add(fields.place, "`names` is missing");
        return Vec::new();
    };
    let names = names.list(mistakes, "names");
    let mut found = Vec::new();
    for node in names {
        match node.written(mistakes, "names") {
            Some(name) => found.push((name.clone(), node.place, thing(name))),
            None => mistakes.add(node.place, "`names` has one that is not a name"),
        }
    }
    found
}

/// `<table>-<hash key>[-<sort key>]`
fn item_of_table(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Found> {
    let table = fields.required(mistakes, "table");
    let key = key(fields, mistakes, ["hashkey", "hashkeytype", "hashkeyvalue"]);
    let sort_key = match fields.text(mistakes, "sortkey") {
        Some(_) => Some(self::key(fields, mistakes, ["sortkey", "sortkeytype", "sortkeyvalue"])?),
        None => {
            for lone in ["sortkeytype", "sortkeyvalue"] {
                if fields.text(mistakes, lone).is_some() {
                    mistakes.add(fields.place, format!("`{lone}` without `sortkey`"));
                }
            }
            None
        }
    };
    let (table, (key, text)) = (table?, key?);
    let mut name = format!("{table}-{text}");
    let sort_key = sort_key.map(|(sort_key, text)| {
        name = format!("{name}-{text}");
        sort_key
    });
    Some((name, fields.place, Thing::Item { table, key, sort_key }))
}

/// A key attribute's name and value, and the value as it is written.
fn key(
    fields: &Fields<'_>,
    mistakes: &mut Mistakes,
    [attribute, kind, value]: [&str; 3],
) -> Option<((String, KeyValue), String)> {
    let attribute = fields.required(mistakes, attribute);
    let kind_text = fields.required(mistakes, kind);
    let text = fields.required(mistakes, value);
    let (attribute, kind_text, text) = (attribute?, kind_text?, text?);
    let key = match &*kind_text {
        "S" => KeyValue::from(&*text),
        "N" => KeyValue::number(&*text),
        "B" => match base64::decode(&*text) {
            Ok(bytes) => KeyValue::from(bytes),
            Err(_) => {
                mistakes.add(fields.place_of(value), format!("`{value}` is not in Base64"));
                return None;
            }
        },
        _ => {
            mistakes.add(fields.place_of(kind), format!("`{kind}` must be S, N or B"));
            return None;
        }
    };
    Some(((attribute, key), text))
}

fn object(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Found> {
    let uri = fields.required(mistakes, "uri")?;
    Some((uri.clone(), fields.place, Thing::Object(uri)))
}

fn configuration(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Found> {
    let application = fields.required(mistakes, "application");
    let environment = fields.required(mistakes, "environment");
    let configuration = fields.required(mistakes, "configuration");
    let (application, environment, configuration) = (application?, environment?, configuration?);
    let name = format!("{application}-{environment}-{configuration}");
    let thing = Thing::Configuration { application, environment, configuration };
    Some((name, fields.place, thing))
}
