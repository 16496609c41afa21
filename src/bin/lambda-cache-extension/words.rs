//! Words for people: on one line, and in the terms of config.yaml.

use std::borrow::Cow;

/// The entry options of the library that config.yaml has too, and what they are called there.
const OPTIONS: [(&str, &str); 7] = [
    ("assume_role", "role"),
    ("max_age", "max_age"),
    ("name", "name"),
    ("refresh_after", "refresh_after"),
    ("region", "region"),
    ("stale_if_error", "stale_if_error"),
    ("timeout", "timeout"),
];

/// The longest quotation of a request.
const MOST_QUOTED: usize = 256;

/// The text with its control characters escaped, as JSON escapes them, so that it neither begins a
/// line of its own nor moves the cursor of whoever reads it.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if is_hidden(character) => {
                shown.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => shown.push(character),
        }
    }
    shown.into()
}

/// The beginning of what a client has sent, which may be long: enough to know it by.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_QUOTED)]
}

/// Control characters, and those that break lines or change the direction of what follows.
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with the library's hints, such as `` `.region("us-west-2")` ``, as they are in config.yaml:
/// `` `region: us-west-2` ``. The quotes may be escaped, as in JSON.
pub(crate) fn in_yaml(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut said = String::new();
    while let Some((before, hint, after)) = next_hint(rest) {
        said.push_str(before);
        said.push_str(&hint);
        rest = after;
    }
    if said.is_empty() {
        return text.into();
    }
    said.push_str(rest);
    said.into()
}

/// What is before the first hint, the hint as it is in YAML, and what comes after it.
fn next_hint(text: &str) -> Option<(&str, String, &str)> {
    for (at, _) in text.match_indices("`.") {
        let call = &text[at + 2..];
        let Some((method, arguments)) = call.split_once('(') else { break };
        let Some(&(_, field)) = OPTIONS.iter().find(|(name, _)| *name == method) else { continue };
        let Some((argument, after)) = arguments.split_once(")`") else { break };
        let quotes: &[_] = &['\\', '"'];
        let hint = format!("`{field}: {}`", argument.trim_matches(quotes));
        return Some((&text[..at], hint, after));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_is_shown_breaks_a_line_or_moves_a_cursor() {
        let text = "a\nb\r\n\tc\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}\u{2028}\u{202e}d \u{e9}\u{1f600}";
        let shown =
            "a\\nb\\r\\n\\tc\\u0000\\u001b[2J\\u007f\\u0085\\u009b\\u2028\\u202ed \u{e9}\u{1f600}";
        assert_eq!(on_one_line(text), shown);
        assert!(matches!(on_one_line("as it is"), Cow::Borrowed("as it is")));
    }

    #[test]
    fn hints_are_in_the_terms_of_config_yaml() {
        for (said, expected) in [
            ("add `.region(\"us-west-2\")` to it", "add `region: us-west-2` to it"),
            ("add `.region(\\\"us-west-2\\\")` to it", "add `region: us-west-2` to it"),
            (
                "name it with `.name(..)`; or `.assume_role(..)`",
                "name it with `name: ..`; or `role: ..`",
            ),
            ("see `.other(1)` and `.name(x)`", "see `.other(1)` and `name: x`"),
            ("`.name(", "`.name("),
            ("`.name`", "`.name`"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(in_yaml(said), expected);
        }
    }

    #[test]
    fn what_is_quoted_of_a_long_text_is_its_beginning() {
        assert_eq!(beginning("short"), "short");
        let long = format!("x{}", "\u{1f600}".repeat(1000));
        assert_eq!(beginning(&long), format!("x{}", "\u{1f600}".repeat(63)));
    }

    proptest! {
        #[test]
        fn json_stays_json(text in "([\\PC\n\"\\\\]|`\\.name\\(|\\)`){0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            let shown = in_yaml(&json).into_owned();
            let shown = on_one_line(&shown).into_owned();
            prop_assert!(serde_json::from_str::<String>(&shown).is_ok(), "{}", shown);
        }
    }
}
