//! Query strings.

use std::borrow::Cow;

use super::refusal::Refusal;

/// What a query has for a name, if anything.
pub(crate) type Value<'a> = Option<Cow<'a, str>>;

/// The values of a query's names, which must be among these, each at most once.
pub(crate) fn parse<'a, const N: usize>(
    query: &'a str,
    names: [&str; N],
) -> Result<[Value<'a>; N], Refusal> {
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = decoded(pair);
        let Some(at) = names.iter().position(|&it| it == name) else {
            let known = names.join(", ");
            return Err(Refusal::bad_request(format!(
                "an unknown query parameter; there are: {known}"
            )));
        };
        if values[at].replace(value).is_some() {
            return Err(Refusal::bad_request(format!("two query parameters {}", names[at])));
        }
    }
    Ok(values)
}

/// A name and its value. Most have nothing in them that is encoded.
fn decoded(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    if pair.bytes().any(|it| matches!(it, b'%' | b'+')) {
        form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default()
    } else {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.into(), value.into())
    }
}

/// A value that must be there.
pub(crate) fn required<'a>(name: &str, value: Value<'a>) -> Result<Cow<'a, str>, Refusal> {
    let value = value.filter(|it| !it.is_empty());
    value.ok_or_else(|| Refusal::bad_request(format!("missing query parameter {name}")))
}

/// A boolean, if there is one, as AWS's agent reads it.
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
    use proptest::prelude::*;

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
    fn unknown_and_repeated_names_are_refused() {
        for query in ["nam=a", "name=a&name=a", "Name=a", "name=a&x", "=a", "name%00=a"] {
            assert_eq!(values(query), None, "{query}");
        }
    }

    #[test]
    fn booleans_are_in_any_case() {
        let boolean = |text: &'static str| boolean("x", Some(text.into())).ok().flatten();
        assert_eq!(["true", "True", "1"].map(boolean), [Some(true); 3]);
        assert_eq!(["false", "FALSE", "0"].map(boolean), [Some(false); 3]);
        assert_eq!(["", "yes", "t"].map(boolean), [None; 3]);
    }

    proptest! {
        #[test]
        fn pairs_are_read_as_the_standard_has_it(query in "([a-c]|=|&|%2[05F]|%|\\+|\u{fc}){0,12}") {
            let pairs = query.split('&').filter(|it| !it.is_empty()).map(decoded);
            let expected = form_urlencoded::parse(query.as_bytes());
            prop_assert_eq!(pairs.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }

        #[test]
        fn any_query_is_read_or_refused(query in "\\PC{0,64}") {
            _ = values(&query);
        }

        #[test]
        fn whatever_a_name_is_its_encoding_is_read_as_it(name in "\\PC{0,40}", label in "\\PC{0,9}") {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("name", &name).append_pair("label", &label);
            prop_assert_eq!(values(&query.finish()), Some([Some(name), Some(label)]));
        }
    }
}
