//! config.yaml under property tests: what was written is read, and what is near it has mistakes with
//! positions.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::near::near;

/// A file with all sections, and with anchors, aliases, merge keys, comments and both kinds of quotes.
const FILE: &str = "
# what the function needs
parameters:
  - &defaults
    names: [/app/a, '/app/b']
    max_age: 5m
    region: us-west-2
  - <<: *defaults
    names: [\"/app/c\"]
    name: c
dynamodb:
  - {table: accounts, hashkey: id, hashkeytype: N, hashkeyvalue: 007}
  - table: sessions
    hashkey: id
    hashkeytype: S
    hashkeyvalue: >
      folded
    sortkey: at
    sortkeytype: B
    sortkeyvalue: aGk=
objects: [{uri: s3://conf/app.json, stale_if_error: 1h}]
configurations: [{application: shop, environment: prod, configuration: ~}]
";

fn read(text: &str) -> (Vec<Declaration>, Vec<String>) {
    let mut problems = Vec::new();
    let declarations = parse(text.as_bytes(), "config.yaml", &mut problems);
    (declarations, problems.iter().map(ToString::to_string).collect())
}

/// An item of a section, and the entry that it declares: its name, and what is fetched.
type Item = (Section, Value, String, Resource);

fn items() -> impl Strategy<Value = Item> {
    // Any text, numbers and nulls among them: a text is a text however it looks.
    let text = || prop_oneof![3 => "[^\\x00-\\x1f]{1,9}", 1 => Just("~".to_owned()), 1 => Just("007".to_owned())];
    prop_oneof![
        text().prop_map(|name| {
            let item = json!({ "names": [name] });
            (Section::Parameters, item, name.clone(), Resource::Parameter(name))
        }),
        text().prop_map(|name| {
            let item = json!({ "names": [name], "timeout": "1.5s" });
            (Section::Secrets, item, name.clone(), Resource::Secret(name))
        }),
        (text(), text()).prop_map(|(uri, name)| {
            let item = json!({ "uri": uri, "name": name });
            (Section::Objects, item, name, Resource::Object(uri))
        }),
        (text(), text(), text()).prop_map(|(application, environment, configuration)| {
            let name = format!("{application}-{environment}-{configuration}");
            let item = json!({
                "application": application, "environment": environment, "configuration": configuration,
            });
            let resource = Resource::Configuration { application, environment, configuration };
            (Section::Configurations, item, name, resource)
        }),
        (text(), text(), text(), any::<Option<u32>>()).prop_map(|(table, key, value, sort)| {
            let mut name = format!("{table}-{value}");
            let mut item = json!({
                "table": table, "hashkey": key, "hashkeytype": "S", "hashkeyvalue": value,
            });
            if let Some(sort) = sort {
                name = format!("{name}-{sort}");
                item["sortkey"] = "at".into();
                item["sortkeytype"] = "N".into();
                item["sortkeyvalue"] = sort.into();
            }
            let sort_key = sort.map(|it| ("at".to_owned(), KeyValue::number(it.to_string())));
            let key = (key, KeyValue::from(value));
            (Section::DynamoDb, item, name, Resource::Item { table, key, sort_key })
        }),
    ]
}

/// With the values of keys, which no `Debug` shows.
fn shown(resource: &Resource) -> String {
    match resource {
        Resource::Item { table, key, sort_key } => {
            let sort_key = sort_key.as_ref().map(|(name, value)| format!("{name}={value}"));
            format!("{table} {}={} {sort_key:?}", key.0, key.1)
        }
        other => format!("{other:?}"),
    }
}

proptest! {
    /// JSON is YAML, so a file written by a program is read as well.
    #[test]
    fn what_a_file_declares_is_read_as_it_was_written(items in prop::collection::vec(items(), 0..6)) {
        let mut items = items;
        items.sort_by_key(|(section, ..)| Section::ALL.iter().position(|it| it == section));
        let mut names = std::collections::HashSet::new();
        items.retain(|(section, _, name, _)| names.insert((*section, name.clone())));
        let mut file = serde_json::Map::new();
        for (section, item, ..) in &items {
            let section = file.entry(section.as_str()).or_insert(json!([]));
            section.as_array_mut().unwrap().push(item.clone());
        }
        for text in [Value::from(file.clone()).to_string(), format!("{:#}", Value::from(file))] {
            let (declarations, problems) = read(&text);
            prop_assert_eq!(problems, [""; 0], "{}", text);
            let read: Vec<_> =
                declarations.iter().map(|it| (it.section, &it.name, shown(&it.resource))).collect();
            let written: Vec<_> =
                items.iter().map(|(section, _, name, it)| (*section, name, shown(it))).collect();
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn the_mistakes_of_a_near_file_have_positions_in_it(
        text in near(
            Just(FILE.to_owned()),
            &[
                "\n", "  ", "- ", ": ", ":", "[", "]", "{", "}", ",", "'", "\"", "&a ", "*a", "*defaults", "<<: ",
                "? ", "| ", "> ", "!Ref ", "!!str ", "~", "#", "---\n", "...\n", "%YAML 1.2\n", "\t", "\r",
                "names", "table", "\u{feff}", "\u{85}", "\u{e9}", "\0",
            ],
        )
    ) {
        // A line break may also be a carriage return alone.
        let lines = text.split(['\n', '\r', '\u{85}']).count();
        for problem in read(&text).1 {
            let position: Vec<usize> =
                problem.split(':').skip(1).take(2).map(|it| it.parse().unwrap()).collect();
            prop_assert!((1..=lines + 1).contains(&position[0]) && position[1] > 0, "{}", problem);
            prop_assert!(!problem.contains('\n'), "{}", problem);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut problems = Vec::new();
        let declarations = parse(&bytes, "config.yaml", &mut problems);
        prop_assert!(declarations.is_empty());
    }
}
