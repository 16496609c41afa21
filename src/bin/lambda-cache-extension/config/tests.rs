use proptest::prelude::*;

use super::*;

/// The Go extension's own example, but for its comments.
const GO: &str = "
parameters:
  - region: us-west-2
    names:
      - CacheExtensions_Parameter1
      - /aws/reference/secretsmanager/secret_info
dynamodb:
  - table: DynamoDbTable
    hashkey: pKey
    hashkeytype: S
    hashkeyvalue: pKey1
    sortkey: sKey
    sortkeytype: S
    sortkeyvalue: sKey1
";

fn names(declarations: &[Declaration]) -> Vec<(&'static str, &str)> {
    declarations.iter().map(|it| (it.section.as_str(), &*it.name)).collect()
}

fn read(text: &str) -> (Vec<Declaration>, Vec<String>) {
    let mut problems = Vec::new();
    let declarations = parse(text, "config.yaml", &mut problems);
    (declarations, problems.iter().map(ToString::to_string).collect())
}

/// What a file declares in which nothing is wrong.
fn right(text: &str) -> Vec<Declaration> {
    let (declarations, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    declarations
}

fn problems(text: &str) -> Vec<String> {
    read(text).1
}

#[test]
fn the_go_extensions_own_file_is_read_as_it_is() {
    let declarations = right(GO);
    let expected = [
        ("parameters", "CacheExtensions_Parameter1"),
        ("parameters", "/aws/reference/secretsmanager/secret_info"),
        ("dynamodb", "DynamoDbTable-pKey1-sKey1"),
    ];
    assert_eq!(names(&declarations), expected);
    assert_eq!(declarations[0].options.region.as_deref(), Some("us-west-2"));
    let Thing::Item { table, key, sort_key } = &declarations[2].thing else { panic!("no item") };
    assert_eq!((&**table, key), ("DynamoDbTable", &("pKey".to_owned(), "pKey1".into())));
    assert_eq!(sort_key, &Some(("sKey".to_owned(), "sKey1".into())));
}

#[test]
fn every_section_has_its_things_and_names() {
    let text = "
parameters: [{names: [/app/a], name: a, max_age: 5m, refresh_after: 1m, stale_if_error: 1h}]
dynamodb:
  - {table: t, hashkey: id, hashkeytype: N, hashkeyvalue: 007}
  - {table: t, hashkey: id, hashkeytype: B, hashkeyvalue: aGk=, sortkey: '', name: hi}
secrets: [{names: [/prod/db, /prod/key], region: eu-west-1, role: 'arn:aws:iam::111122223333:role/reader'}]
objects: [{uri: s3://conf/app.json}]
configurations: [{application: shop, environment: prod, configuration: flags}]
";
    let declarations = right(text);
    let expected = [
        ("parameters", "a"),
        ("dynamodb", "t-007"),
        ("dynamodb", "hi"),
        ("secrets", "/prod/db"),
        ("secrets", "/prod/key"),
        ("objects", "s3://conf/app.json"),
        ("configurations", "shop-prod-flags"),
    ];
    assert_eq!(names(&declarations), expected);
    let seconds = |it: Option<Duration>| it.map(|it| it.as_secs());
    let Options { max_age, refresh_after, stale_if_error, .. } = &declarations[0].options;
    let ages = [max_age, refresh_after, stale_if_error].map(|&it| seconds(it));
    assert_eq!(ages, [Some(300), Some(60), Some(3600)]);
    assert!(declarations[4].options.role.is_some());
    let Thing::Item { key, .. } = &declarations[1].thing else { panic!("no item") };
    assert_eq!(key.1, KeyValue::number("7"));
    let Thing::Item { key, sort_key, .. } = &declarations[2].thing else { panic!("no item") };
    assert_eq!((&key.1, sort_key), (&KeyValue::from(b"hi"), &None));
}

#[test]
fn nothing_declares_nothing() {
    for text in [
        "",
        "# later\n",
        "---\n",
        "{}\n---\n",
        "{}",
        "parameters:\ndynamodb: ~\n",
        "parameters: []",
    ] {
        assert!(right(text).is_empty(), "{text}");
    }
}

#[test]
fn each_mistake_is_told_with_its_line_and_column() {
    let text = "
parameters:
  - region: us-west-2
    nmes: [a]
    max_age: five
  - names: [a, b, a]
    name: c
dynamodb:
  - table: t
    hashkey: id
    hashkeytype: X
    hashkeyvalue: 1
    sortkeyvalue: 2
secret: []
objects: s3://conf/app.json
configurations: [text]
";
    let expected = [
        "config.yaml:3:5: `names` is missing",
        "config.yaml:4:5: unknown field `nmes`; an item with `names` may have: names, name, max_age, refresh_after, stale_if_error, region, role",
        "config.yaml:5:14: `max_age`: \"five\" is not a duration such as 30s, 1h30m or 500ms",
        "config.yaml:6:19: a second entry of parameters with the name \"a\"; the first is at 6:13. Give one of them another by `name`",
        "config.yaml:7:11: `name` can be that of one thing, and `names` lists several",
        "config.yaml:9:5: `sortkeyvalue` without `sortkey`",
        "config.yaml:11:18: `hashkeytype` must be S, N or B",
        "config.yaml:14:1: unknown field `secret`; config.yaml may have: parameters, dynamodb, secrets, objects, configurations",
        "config.yaml:15:10: `objects` must be a list",
        "config.yaml:16:18: an item of `configurations` must be a mapping, such as `field: value`",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn two_entries_of_one_name_are_told_apart_by_place() {
    let text = "parameters:\n  - names: [a]\n  - region: us-east-1\n    names: [a]\n";
    let [problem] = &problems(text)[..] else { panic!("not one problem") };
    assert!(problem.starts_with("config.yaml:4:13: a second entry of parameters"), "{problem}");
    assert!(problem.contains("the first is at 2:13"), "{problem}");
    // A secret may be called as a parameter is.
    assert_eq!(right("parameters: [{names: [a]}]\nsecrets: [{names: [a]}]").len(), 2);
}

#[test]
fn what_is_no_yaml_is_one_mistake() {
    for text in ["parameters: [", "a: b: c", "parameters: []\nparameters: []", "\t- x", "- a", "x"]
    {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with("config.yaml:"), "{problems:?}");
    }
}

#[test]
fn a_file_that_would_grow_without_end_is_refused() {
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..30 {
        let before = n - 1;
        text += &format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}, *a{before}]\n");
    }
    assert!(!problems(&text).is_empty());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        _ = read(&text);
    }

    #[test]
    fn what_looks_like_a_file_is_read_or_refused_with_places_in_it(
        text in "((parameters|dynamodb|secrets|objects|x):( \\[?\\{?| \n)?(  - (names|table|name|max_age|hashkeytype): ?(\\[a, b\\]|N|1h|'|\\*x|&x y|~)?\n)*){0,4}"
    ) {
        let lines = text.lines().count().max(1);
        {
            for problem in problems(&text) {
                let line: usize = problem.split(':').nth(1).unwrap().parse().unwrap();
                // The end of the text may be a line of its own.
                prop_assert!((1..=lines + 1).contains(&line), "{}", problem);
            }
        }
    }

    #[test]
    fn whatever_a_parameter_is_called_it_is_served_by_that_name(name in "[a-zA-Z0-9_./-]{1,40}") {
        let declarations = right(&format!("parameters: [{{names: ['{name}']}}]"));
        prop_assert_eq!(names(&declarations), [("parameters", &*name)]);
    }
}
