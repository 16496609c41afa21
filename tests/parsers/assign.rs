//! Answers of GetParameters under property tests: each name gets its own parameter.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

/// How many names a call takes.
const MOST: usize = 10;

const NAMES: [&str; 3] = ["/x", "/y", "x"];
const ARNS: [&str; 2] = ["arn:aws:ssm:r:1:parameter/x", "arn:aws:ssm:r:1:parameter/y"];
const SELECTORS: [&str; 6] = ["", ":1", ":2", ":3", ":live", ":old"];

/// What is asked for: the name of a parameter, how it is written, and its selector.
type Asked = Vec<(usize, String)>;

fn asked() -> impl Strategy<Value = Asked> {
    let written = NAMES.iter().enumerate().chain(ARNS.iter().enumerate());
    let all = written.flat_map(|(index, name)| {
        SELECTORS.iter().map(move |selector| (index, format!("{name}{selector}")))
    });
    prop::sample::subsequence(all.collect::<Vec<_>>(), 1..=MOST).prop_shuffle()
}

/// The versions that are live and old, for each name. The newest is 3.
fn labels() -> impl Strategy<Value = [[i64; 2]; 3]> {
    prop::array::uniform3(prop::array::uniform2(1..=3_i64))
}

fn version_of(name: &str, [live, old]: [i64; 2]) -> i64 {
    match without_selector(name).1 {
        None => 3,
        Some("live") => live,
        Some("old") => old,
        Some(number) => number.parse().expect("a number"),
    }
}

/// The parameter that answers what was asked for, and the value that this has to get.
fn answer(asked: &(usize, String), labels: [[i64; 2]; 3]) -> (types::Parameter, String) {
    let (index, name) = asked;
    let (version, selector) = (version_of(name, labels[*index]), without_selector(name).1);
    let value = format!("{} {version}", NAMES[*index]);
    let arn = format!("arn:aws:ssm:r:1:parameter/{}", NAMES[*index].trim_start_matches('/'));
    // `x` and `/x` have one ARN, so one of them is another account's.
    let arn = if *index == 2 { "arn:aws:ssm:r:2:parameter/x".to_owned() } else { arn };
    let parameter = types::Parameter::builder().name(NAMES[*index]).arn(arn).version(version);
    let selector = selector.map(|it| format!(":{it}"));
    (parameter.value(&value).set_selector(selector).build(), value)
}

fn value(found: &HashMap<&str, Parameter>, name: &str) -> Option<String> {
    Some(found.get(name)?.value.expose_secret().to_owned())
}

proptest! {
    #[test]
    fn each_name_gets_its_own_parameter_or_none(
        asked in asked(), labels in labels(), are_there in any::<[bool; MOST]>()
    ) {
        let answers: Vec<_> = asked.iter().map(|it| answer(it, labels)).collect();
        let there = answers.iter().zip(are_there).filter(|(_, is)| *is);
        let mut parameters: Vec<_> = there.map(|((it, _), _)| it.clone()).collect();
        parameters.reverse();
        let names: Vec<&str> = asked.iter().map(|(_, name)| &**name).collect();
        let found = assign(&names, parameters);
        for ((name, (_, expected)), is_there) in names.iter().zip(answers).zip(are_there) {
            let found = value(&found, name);
            prop_assert!(found.is_some() || !is_there, "{name} has no value");
            prop_assert!(found.is_none_or(|it| it == expected), "{name} has another's value");
        }
    }

    /// As emulators answer: everything, without selectors, and what is the same perhaps once.
    #[test]
    fn no_name_gets_anothers_parameter_where_selectors_are_not_given(
        asked in asked(), labels in labels(), once: bool
    ) {
        let answers: Vec<_> = asked.iter().map(|it| answer(it, labels)).collect();
        let mut parameters: Vec<types::Parameter> = Vec::new();
        for (parameter, _) in &answers {
            let mut parameter = parameter.clone();
            parameter.selector = None;
            if !once || !parameters.contains(&parameter) {
                parameters.push(parameter);
            }
        }
        parameters.reverse();
        let names: Vec<&str> = asked.iter().map(|(_, name)| &**name).collect();
        let found = assign(&names, parameters);
        for (name, (_, expected)) in names.iter().zip(answers) {
            let found = value(&found, name);
            prop_assert!(found.is_none_or(|it| it == expected), "{name} has another's value");
        }
    }
}
