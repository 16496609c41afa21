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
    let declarations = parse(text.as_bytes(), "config.yaml", &mut problems);
    (declarations, problems.iter().map(ToString::to_string).collect())
}

/// The declarations of a file without mistakes.
fn valid(text: &str) -> Vec<Declaration> {
    let (declarations, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    declarations
}

fn problems(text: &str) -> Vec<String> {
    read(text).1
}

#[test]
fn the_go_extensions_own_file_is_accepted() {
    let declarations = valid(GO);
    let expected = [
        ("parameters", "CacheExtensions_Parameter1"),
        ("parameters", "/aws/reference/secretsmanager/secret_info"),
        ("dynamodb", "DynamoDbTable-pKey1-sKey1"),
    ];
    assert_eq!(names(&declarations), expected);
    assert_eq!(declarations[0].options.region.as_deref(), Some("us-west-2"));
    let Resource::Item { table, key, sort_key } = &declarations[2].resource else {
        panic!("no item")
    };
    assert_eq!((&**table, key), ("DynamoDbTable", &("pKey".to_owned(), "pKey1".into())));
    assert_eq!(sort_key, &Some(("sKey".to_owned(), "sKey1".into())));
}

#[test]
fn every_section_declares_entries_with_their_default_names() {
    let text = "
parameters: [{names: [/app/a], name: a, max_age: 5m, refresh_after: 1m, stale_if_error: 1h, timeout: 2s}]
dynamodb:
  - {table: t, hashkey: id, hashkeytype: N, hashkeyvalue: 007}
  - {table: t, hashkey: id, hashkeytype: B, hashkeyvalue: aGk=, sortkey: '', name: hi}
secrets: [{names: [/prod/db, /prod/key], region: eu-west-1, role: 'arn:aws:iam::111122223333:role/reader'}]
objects: [{uri: s3://conf/app.json}]
configurations: [{application: shop, environment: prod, configuration: flags}]
";
    let declarations = valid(text);
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
    let Options { max_age, refresh_after, stale_if_error, timeout, .. } = &declarations[0].options;
    let times = [max_age, refresh_after, stale_if_error, timeout].map(|&it| seconds(it));
    assert_eq!(times, [Some(300), Some(60), Some(3600), Some(2)]);
    assert!(declarations[4].options.role.is_some());
    let Resource::Item { key, .. } = &declarations[1].resource else { panic!("no item") };
    assert_eq!(key.1, KeyValue::number("7"));
    let Resource::Item { key, sort_key, .. } = &declarations[2].resource else { panic!("no item") };
    assert_eq!((&key.1, sort_key), (&KeyValue::from(b"hi"), &None));
}

#[test]
fn an_empty_file_declares_nothing() {
    for text in [
        "",
        "# later\n",
        "---\n",
        "{}\n---\n",
        "{}",
        "parameters:\ndynamodb: ~\n",
        "parameters: []",
    ] {
        assert!(valid(text).is_empty(), "{text}");
    }
}

#[test]
fn each_mistake_is_reported_with_its_line_and_column() {
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
        "config.yaml:4:5: unknown field `nmes`; an item with `names` may have: names, name, max_age, refresh_after, stale_if_error, timeout, region, role",
        "config.yaml:5:14: `max_age`: \"five\" is not a duration such as 30s, 1h30m or 500ms",
        "config.yaml:6:19: a second entry of parameters with the name \"a\"; the first is at 6:13. Give one of them another by `name`",
        "config.yaml:7:11: `name` is for one entry, and `names` lists several",
        "config.yaml:9:5: `sortkeyvalue` without `sortkey`",
        "config.yaml:11:18: `hashkeytype` must be S, N or B",
        "config.yaml:14:1: unknown field `secret`; config.yaml may have: parameters, dynamodb, secrets, objects, configurations",
        "config.yaml:15:10: `objects` must be a list",
        "config.yaml:16:18: an item of `configurations` must be a mapping, such as `field: value`",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn two_entries_with_one_name_are_a_mistake_with_both_positions() {
    let text = "parameters:\n  - names: [a]\n  - region: us-east-1\n    names: [a]\n";
    let [problem] = &problems(text)[..] else { panic!("not one problem") };
    assert!(problem.starts_with("config.yaml:4:13: a second entry of parameters"), "{problem}");
    assert!(problem.contains("the first is at 2:13"), "{problem}");
    // A secret may have the name of a parameter.
    assert_eq!(valid("parameters: [{names: [a]}]\nsecrets: [{names: [a]}]").len(), 2);
}

#[test]
fn a_file_that_is_not_yaml_is_one_mistake() {
    for text in ["parameters: [", "a: b: c", "parameters: []\nparameters: []", "\t- x", "- a", "x"]
    {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with("config.yaml:"), "{problems:?}");
    }
}

#[test]
fn a_field_given_twice_is_a_mistake_with_both_positions_however_it_is_quoted() {
    for (text, expected) in [
        (
            "parameters:\n  - names: [a]\n    \"names\": [b]\n",
            "config.yaml:3:5: `names` twice; the first is at 2:5",
        ),
        (
            "parameters:\n  - names: [a]\n    max_age: 1m\n    max_age: 1m\n",
            "config.yaml:4:5: `max_age` twice; the first is at 3:5",
        ),
        (
            "parameters: []\nsecrets: []\n'parameters': [{names: [a]}]\n",
            "config.yaml:3:1: `parameters` twice; the first is at 1:1",
        ),
        (
            "objects: [{uri: s3://a/b, ? uri : s3://a/c}]\n",
            "config.yaml:1:29: `uri` twice; the first is at 1:12",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn an_impossible_region_is_a_mistake_at_its_position() {
    for region in
        ["us west 2", "US-WEST-2", "us-west-2a", "'us-west-2.example'", "us", "3", "\"a\\0b\""]
    {
        let text = format!("parameters:\n  - names: [a]\n    region: {region}\n");
        let [problem] = &problems(&text)[..] else { panic!("not one problem: {region}") };
        assert!(problem.starts_with("config.yaml:3:13: `region`: \""), "{problem}");
        assert!(problem.ends_with("is not the name of a region, such as us-west-2"), "{problem}");
    }
}

#[test]
fn a_file_nested_too_deep_is_a_mistake_with_a_position_however_deep_it_is() {
    let deep = 100_000;
    for open in ["{a: ", "[", "- ", "? ", "a: &a [", "{[", "[{"] {
        for close in ["", "}", "]"] {
            let text = open.repeat(deep) + &close.repeat(deep);
            let problems = problems(&text);
            assert_eq!(problems.len(), 1, "{open}{close}: {problems:?}");
            assert!(problems[0].starts_with("config.yaml:1:"), "{problems:?}");
        }
    }
    // As block collections, each on a line of its own.
    let text: String = (0..3000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert_eq!(problems(&text), ["config.yaml:17:17: nested more than 16 levels deep"]);
}

#[test]
fn aliases_cannot_nest_a_file_deeper() {
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..100_000 {
        text += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    let problems = problems(&text);
    assert_eq!(problems, ["config.yaml:15:12: nested more than 16 levels deep"]);
    let within = super::tests::problems("a: &a [*a]");
    assert_eq!(within, ["config.yaml:1:8: an alias inside its own anchor"]);
}

#[test]
fn merge_keys_give_the_fields_that_an_item_does_not_have_itself() {
    let text = "
parameters:
  - &mine
    names: [/app/a]
    region: us-west-2
    max_age: 1m
  - <<: *mine
    names: [/app/b]
    max_age: 2m
  - names: [/app/c]
    <<: [{max_age: 3m}, *mine, {role: 'arn:aws:iam::111122223333:role/reader'}]
";
    let declarations = valid(text);
    let seen = |it: &Declaration| {
        let Options { max_age, region, role, .. } = &it.options;
        (it.name.clone(), max_age.unwrap().as_secs(), region.clone().unwrap(), role.is_some())
    };
    let expected = [("/app/a", 60, false), ("/app/b", 120, false), ("/app/c", 180, true)];
    let expected = expected
        .map(|(name, age, has_role)| (name.to_owned(), age, "us-west-2".to_owned(), has_role));
    assert_eq!(declarations.iter().map(seen).collect::<Vec<_>>(), expected);
}

#[test]
fn a_merge_key_that_cannot_merge_is_a_mistake() {
    let merges = "`<<` merges a mapping, such as `<<: *defaults`, or a list of them";
    for (text, expected) in [
        ("parameters: [{<<: x, names: [a]}]", format!("config.yaml:1:19: {merges}")),
        ("parameters: [{<<: [{}, x], names: [a]}]", format!("config.yaml:1:24: {merges}")),
        (
            "parameters: [{<<: {}, <<: {}, names: [a]}]",
            "config.yaml:1:23: `<<` twice; the first is at 1:15".to_owned(),
        ),
        (
            "objects: [{'<<': {}, uri: s3://a/b}]",
            "config.yaml:1:12: unknown field `<<`; an item of `objects` may have: uri, name, \
             max_age, refresh_after, stale_if_error, timeout, region, role"
                .to_owned(),
        ),
        // A mistake in merged fields is reported once, at its own position.
        (
            "objects: [&x {uri: s3://a/b, max_age: x}, {<<: *x, uri: s3://a/c}]",
            "config.yaml:1:39: `max_age`: \"x\" is not a duration such as 30s, 1h30m or 500ms"
                .to_owned(),
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_a_mistake_at_the_first_wrong_byte() {
    let mut problems = Vec::new();
    parse(b"parameters:\n  - names: [\xc3\xa4, b\xff]\n", "config.yaml", &mut problems);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].to_string(), "config.yaml:2:17: invalid UTF-8");
    assert_eq!(
        valid("\u{feff}parameters: [{names: [a]}]").len(),
        1,
        "a byte order mark is not a mistake"
    );
}

#[test]
fn a_tag_that_needs_resolving_is_a_mistake() {
    let expected = ["config.yaml:1:23: the tag `!Ref` is not supported"];
    assert_eq!(problems("parameters: [{names: [!Ref Name]}]"), expected);
    assert_eq!(valid("parameters: [{names: [!!str 1]}]").len(), 1);
}

#[test]
fn a_short_file_cannot_declare_any_number_of_entries() {
    let names = format!("{{names: &n [{}]}}", vec!["x"; 1000].join(", "));
    let items = vec!["{names: *n}"; 1000].join(", ");
    let problems = problems(&format!("parameters: [{names}, {items}]"));
    assert!(problems.iter().any(|it| it.ends_with("more than 10000 entries")), "{problems:?}");
}

#[test]
fn a_file_that_grows_exponentially_by_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..30 {
        let before = n - 1;
        text += &format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}, *a{before}]\n");
    }
    assert!(!problems(&text).is_empty());
}
