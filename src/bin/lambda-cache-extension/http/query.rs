//! Query strings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Refusal;

/// The value of a parameter, if the query has it.
pub(crate) type Value<'a> = Option<Cow<'a, str>>;

/// The values of the parameters with these `names`. Others, and repeated ones, are refused.
pub(crate) fn parse<'a, const N: usize>(
    query: &'a str,
    names: [&str; N],
) -> Result<[Value<'a>; N], Refusal> {
    let mut values = [const { None }; N];
    for pair in pairs(query) {
        let (name, value) = pair?;
        let Some(at) = names.iter().position(|&it| it == name) else {
            let message = format!("an unknown query parameter; known are: {}", names.join(", "));
            return Err(Refusal::bad_request(message));
        };
        if values[at].replace(value).is_some() {
            let message = format!("the query parameter {} is given twice", names[at]);
            return Err(Refusal::bad_request(message));
        }
    }
    Ok(values)
}

/// The first parameter in the query that is one of `names` and has a value.
pub(crate) fn first<'n, const N: usize>(query: &str, names: [&'n str; N]) -> Option<&'n str> {
    let mut pairs = pairs(query).filter_map(Result::ok).filter(|(_, value)| !value.is_empty());
    pairs.find_map(|(name, _)| names.into_iter().find(|&it| it == name))
}

/// The names and values, in their order.
fn pairs(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Refusal>> {
    let pairs = query.split('&').filter(|it| !it.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    })
}

/// Decodes `application/x-www-form-urlencoded`. Usually nothing is encoded, so nothing is copied.
fn decoded(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.bytes().any(|it| matches!(it, b'%' | b'+')) {
        return Ok(text.into());
    }
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(text) => Ok(text.into_owned().into()),
        // A lossy decoding could be another name.
        Err(_) => Err(Refusal::bad_request("a query parameter is not UTF-8")),
    }
}

/// A value that must be there, and not empty.
pub(crate) fn required<'a>(name: &str, value: Value<'a>) -> Result<Cow<'a, str>, Refusal> {
    let value = value.filter(|it| !it.is_empty());
    value.ok_or_else(|| Refusal::bad_request(format!("missing query parameter {name}")))
}

/// An optional boolean, as AWS's agent reads it.
pub(crate) fn boolean(name: &str, value: Value<'_>) -> Result<Option<bool>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    match &*value.to_ascii_lowercase() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(Refusal::bad_request(format!("{name} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(query: &str) -> Option<[Option<String>; 2]> {
        let values = parse(query, ["name", "label"]).ok()?;
        Some(values.map(|it| it.map(Cow::into_owned)))
    }

    #[test]
    fn values_are_found_by_name_and_decoded() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(values(""), Some([None, None]));
        assert_eq!(values("name=a"), Some([text("a"), None]));
        assert_eq!(values("label=b&name=%2Fprod%2Fa+b"), Some([text("/prod/a b"), text("b")]));
        assert_eq!(values("name=/prod/a:b@c"), Some([text("/prod/a:b@c"), None]));
        assert_eq!(values("name=&&label"), Some([text(""), text("")]));
        assert_eq!(values("name=a=b"), Some([text("a=b"), None]));
        assert_eq!(values("name=%C3%BC"), Some([text("\u{fc}"), None]));
    }

    #[test]
    fn invalid_utf_8_is_refused_and_never_taken_for_another_name() {
        for query in ["name=%FF", "name=a%C3", "name=a&label=%ED%A0%80", "%FF=a", "name=%C3%28"] {
            assert_eq!(values(query), None, "{query}");
        }
        let replacement = Some("\u{fffd}".to_owned());
        assert_eq!(values("name=%EF%BF%BD"), Some([replacement, None]));
    }

    #[test]
    fn the_first_parameter_is_the_first_with_a_value() {
        let first = |query| first(query, ["name", "label"]);
        assert_eq!(first("x=y&label=a&name=b"), Some("label"));
        assert_eq!(first("n%61me=a&label=b"), Some("name"));
        assert_eq!(first("name=&label=b"), Some("label"));
        assert_eq!(first("x=y"), None);
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        for query in ["nam=a", "name=a&name=a", "Name=a", "name=a&x", "=a", "name%00=a"] {
            assert_eq!(values(query), None, "{query}");
        }
    }

    #[test]
    fn booleans_may_be_in_any_case() {
        let boolean = |text: &'static str| boolean("x", Some(text.into())).ok().flatten();
        assert_eq!(["true", "True", "1"].map(boolean), [Some(true); 3]);
        assert_eq!(["false", "FALSE", "0"].map(boolean), [Some(false); 3]);
        assert_eq!(["", "yes", "t"].map(boolean), [None; 3]);
    }

    mod parsers {
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn pairs_are_parsed_as_by_form_urlencoded(query in "([a-c]|=|&|%2[05F]|%|\\+|\u{fc}){0,12}") {
                let expected: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
                let read: Result<Vec<_>, _> = pairs(&query).collect();
                let is_text = !expected.iter().any(|(name, value)| format!("{name}{value}").contains('\u{fffd}'));
                prop_assert_eq!(read.ok(), is_text.then_some(expected));
            }

            #[test]
            fn a_query_is_refused_or_read_as_by_form_urlencoded(
                query in near_any(
                    &["name=/prod/a%20b&label=live", "label=&name=%C3%BC+x", "name=a:1"],
                    &["&", "=", "%", "%2", "%C3", "%00", "+", "name", "label", ";", "\u{e9}", "#"],
                )
            ) {
                if let Some(read) = values(&query) {
                    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
                    for (name, value) in ["name", "label"].into_iter().zip(read) {
                        let mut given = pairs.iter().filter(|(it, _)| it == name);
                        let expected = given.next().map(|(_, value)| value.clone().into_owned());
                        prop_assert_eq!(value, expected);
                        prop_assert_eq!(given.next(), None);
                    }
                    prop_assert!(pairs.iter().all(|(name, _)| name == "name" || name == "label"));
                }
            }

            #[test]
            fn decoding_reverses_encoding(name in "\\PC{0,40}", label in "\\PC{0,9}") {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("name", &name).append_pair("label", &label);
                prop_assert_eq!(values(&query.finish()), Some([Some(name), Some(label)]));
            }
        }
    }
}
