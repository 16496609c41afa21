//! YAML nodes as the fields they should be, and what is wrong with them.

use std::collections::HashMap;
use std::time::Duration;

use super::Place;
use super::mistakes::Mistakes;
use super::yaml::{Content, Node};
use crate::go_syntax;

/// The longest name of a region; it is part of a host's name.
const MOST_REGION: usize = 63;

impl Node {
    /// The text of a scalar, as it is written, unless it is empty.
    pub(super) fn written(&self, mistakes: &mut Mistakes, what: &str) -> Option<String> {
        if self.is_null() {
            return None;
        }
        let text = self.text();
        if text.is_none() {
            mistakes.add(self.place, format!("`{what}` must be a text"));
        }
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The nodes of a list; of nothing, none.
    pub(super) fn list(&self, mistakes: &mut Mistakes, what: &str) -> &[Node] {
        match &*self.content {
            Content::List(nodes) => nodes,
            _ if self.is_null() => &[],
            _ => {
                mistakes.add(self.place, format!("`{what}` must be a list"));
                &[]
            }
        }
    }

    /// The fields of a mapping, which must be among those that are `known`; if it is one.
    pub(super) fn fields(
        &self,
        mistakes: &mut Mistakes,
        what: &str,
        known: &[&'static str],
    ) -> Option<Fields<'_>> {
        let Content::Mapping(mapping) = &*self.content else {
            let message = format!("{what} must be a mapping, such as `field: value`");
            mistakes.add(self.place, message);
            return None;
        };
        let mut fields = Fields { place: self.place, found: HashMap::new() };
        for (key, value) in mapping {
            let Some(name) = key.written(mistakes, "a field's name") else { continue };
            match known.iter().find(|&&it| it == name) {
                Some(&name) => _ = fields.found.insert(name, value),
                None => {
                    let known = known.join(", ");
                    let message = format!("unknown field `{name}`; {what} may have: {known}");
                    mistakes.add(key.place, message);
                }
            }
        }
        Some(fields)
    }
}

/// The fields of one mapping, by name.
pub(super) struct Fields<'a> {
    pub(super) place: Place,
    found: HashMap<&'static str, &'a Node>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.found.get(name).copied()
    }

    /// The text of a field, unless it is not there, or empty.
    pub(super) fn text(&self, mistakes: &mut Mistakes, name: &str) -> Option<String> {
        self.get(name)?.written(mistakes, name)
    }

    /// The text of a field that must be there.
    pub(super) fn required(&self, mistakes: &mut Mistakes, name: &str) -> Option<String> {
        match self.get(name) {
            Some(node) => {
                let text = node.written(mistakes, name);
                if text.is_none() && node.text().is_some() {
                    mistakes.add(node.place, format!("`{name}` is empty"));
                }
                text
            }
            None => {
                mistakes.add(self.place, format!("`{name}` is missing"));
                None
            }
        }
    }

    pub(super) fn duration(&self, mistakes: &mut Mistakes, name: &str) -> Option<Duration> {
        self.parsed(mistakes, name, go_syntax::duration)
    }

    /// The name of a region that there may be. Which there are AWS decides, and adds to.
    pub(super) fn region(&self, mistakes: &mut Mistakes, name: &str) -> Option<String> {
        self.parsed(mistakes, name, region)
    }

    fn parsed<T>(
        &self,
        mistakes: &mut Mistakes,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(mistakes, name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                mistakes.add(self.place_of(name), format!("`{name}`: {message}"));
                None
            }
        }
    }

    /// Where a field's value stands, or the mapping if there is none.
    pub(super) fn place_of(&self, name: &str) -> Place {
        self.get(name).map_or(self.place, |node| node.place)
    }
}

/// `<area>-<direction>-<number>`, such as `us-gov-west-1`.
fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let is_region = match &*parts {
        [area, between @ .., number] => {
            !between.is_empty()
                && text.len() <= MOST_REGION
                && parts.iter().all(is_word)
                && area.bytes().all(|it| it.is_ascii_lowercase())
                && number.bytes().all(|it| it.is_ascii_digit())
        }
        _ => false,
    };
    if is_region {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not the name of a region, such as us-west-2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_told_by_its_name() {
        for name in
            ["us-west-2", "us-gov-east-1", "us-iso-west-1", "eusc-de-east-1", "me-x2-south-10"]
        {
            assert_eq!(region(name), Ok(name.to_owned()));
        }
        let long = format!("us-{}-1", "x".repeat(60));
        for name in [
            "us",
            "us-west",
            "us-west-2a",
            "US-WEST-2",
            "us west 2",
            "us_west_2",
            "us--2",
            "-us-west-2",
            "us-west-",
            "3-west-2",
            "us-west-2.evil.example",
            "us-west-2\n",
            "\u{fc}s-west-2",
            &long,
        ] {
            assert!(region(name).is_err(), "{name}");
        }
    }
}
