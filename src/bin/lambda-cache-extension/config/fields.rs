//! The fields of a YAML mapping, with the types that they must have.

use std::collections::HashMap;
use std::time::Duration;

use super::yaml::{Content, Node};
use super::{Mistakes, Position};
use crate::go_syntax;

/// A region is part of a host name, so it cannot be longer than this.
const MAX_REGION: usize = 63;

/// The fields of one mapping, by name. What is wrong with them goes to `mistakes`.
pub(super) struct Fields<'n, 'm> {
    pub(super) position: Position,
    nodes: HashMap<&'static str, &'n Node>,
    mistakes: &'m mut Mistakes,
}

impl<'n, 'm> Fields<'n, 'm> {
    /// The `known` fields of `node`, called `what` in messages. `None` if it is not a mapping.
    pub(super) fn of(
        node: &'n Node,
        mistakes: &'m mut Mistakes,
        what: &str,
        known: &[&'static str],
    ) -> Option<Self> {
        let position = node.position;
        let Content::Mapping(mapping) = &*node.content else {
            mistakes.add(position, format!("{what} must be a mapping, such as `field: value`"));
            return None;
        };
        let mut nodes = HashMap::new();
        for (key, value) in mapping {
            let Some(name) = key.scalar(mistakes, "a field's name") else { continue };
            match known.iter().find(|&&it| it == name) {
                Some(&name) => _ = nodes.insert(name, value),
                None => {
                    let known = known.join(", ");
                    let message = format!("unknown field `{name}`; {what} may have: {known}");
                    mistakes.add(key.position, message);
                }
            }
        }
        Some(Self { position, nodes, mistakes })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.nodes.get(name).copied()
    }

    /// The text of an optional field; `None` if it is empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.get(name)?.scalar(self.mistakes, name)
    }

    /// The text of a field that must be there.
    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        let text = self.text(name);
        match self.get(name) {
            None => self.mistake(name, format!("`{name}` is missing")),
            Some(node) if text.is_none() && node.text().is_some() => {
                self.mistake(name, format!("`{name}` is empty"));
            }
            Some(_) => {}
        }
        text
    }

    /// The texts of a list that must be there, each with its position.
    pub(super) fn required_list(&mut self, name: &str) -> Vec<(String, Position)> {
        let Some(list) = self.get(name) else {
            self.mistake(name, format!("`{name}` is missing"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for node in list.list(self.mistakes, name) {
            match node.scalar(self.mistakes, name) {
                Some(text) => texts.push((text, node.position)),
                None => self.mistakes.add(node.position, format!("`{name}` must list names")),
            }
        }
        texts
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, go_syntax::duration)
    }

    pub(super) fn region(&mut self, name: &str) -> Option<String> {
        self.parsed(name, region)
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.mistake(name, format!("`{name}`: {message}"));
                None
            }
        }
    }

    /// Adds a mistake at the value of a field, or at the mapping if it does not have that field.
    pub(super) fn mistake(&mut self, name: &str, message: impl Into<String>) {
        let position = self.get(name).map_or(self.position, |node| node.position);
        self.mistakes.add(position, message);
    }
}

impl Node {
    /// The text of a scalar as it is written; `None` if it is empty.
    fn scalar(&self, mistakes: &mut Mistakes, what: &str) -> Option<String> {
        if self.is_null() {
            return None;
        }
        let text = self.text();
        if text.is_none() {
            mistakes.add(self.position, format!("`{what}` must be a text"));
        }
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The nodes of a list, which may be missing.
    pub(super) fn list(&self, mistakes: &mut Mistakes, what: &str) -> &[Node] {
        match &*self.content {
            Content::List(nodes) => nodes,
            _ if self.is_null() => &[],
            _ => {
                mistakes.add(self.position, format!("`{what}` must be a list"));
                &[]
            }
        }
    }
}

/// Checks the form of a region's name, `<area>-<direction>-<number>`, such as `us-gov-west-1`. AWS adds
/// regions, so there is no list of them.
fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let is_region = match &*parts {
        [area, between @ .., number] => {
            !between.is_empty()
                && text.len() <= MAX_REGION
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
    fn a_region_is_checked_by_its_form() {
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

    mod parsers {
        use proptest::prelude::*;

        use super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn a_region_is_three_words_or_more_that_can_be_part_of_a_host_name(
                name in near_any(
                    &["us-west-2", "us-gov-east-1", "me-x2-south-10"],
                    &["-", "--", ".", "/", "A", "a", "1", " ", "\n", "\u{e9}", "@"],
                )
            ) {
                if let Ok(region) = region(&name) {
                    prop_assert_eq!(&region, &name);
                    let is_allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
                    prop_assert!(name.chars().all(is_allowed) && name.len() <= 63);
                    prop_assert!(name.split('-').count() >= 3 && name.split('-').all(|it| !it.is_empty()));
                }
            }
        }
    }
}
