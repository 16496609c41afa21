//! YAML nodes as the fields they should be, and what is wrong with them.

use std::collections::HashMap;
use std::time::Duration;

use saphyr::{MarkedYaml, ScalarStyle, YamlData};

use super::Place;
use crate::go;
use crate::problem::Problem;

/// What is wrong with one file.
#[derive(Default)]
pub(super) struct Mistakes(Vec<(Place, String)>);

impl Mistakes {
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.0.push((place, message.into()));
    }

    /// In the order in which they stand in the file at `path`.
    pub(super) fn in_order(mut self, path: &str) -> impl Iterator<Item = Problem> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(move |(place, message)| place.problem(path, message))
    }
}

/// A node of the document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a MarkedYaml<'a>);

impl<'a> Node<'a> {
    pub(super) fn place(self) -> Place {
        self.0.span.start.into()
    }

    /// Whether nothing is written there.
    pub(super) fn is_null(self) -> bool {
        match &self.0.data {
            YamlData::Representation(text, ScalarStyle::Plain, _) => {
                matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            YamlData::BadValue => true,
            _ => false,
        }
    }

    /// The text of a scalar, as it is written, unless it is empty.
    pub(super) fn text(self, mistakes: &mut Mistakes, what: &str) -> Option<String> {
        match &self.0.data {
            _ if self.is_null() => None,
            YamlData::Representation(text, ..) => {
                Some(text.to_string()).filter(|text| !text.is_empty())
            }
            _ => {
                mistakes.add(self.place(), format!("`{what}` must be a text"));
                None
            }
        }
    }

    /// The nodes of a list; of nothing, none.
    pub(super) fn list(self, mistakes: &mut Mistakes, what: &str) -> Vec<Node<'a>> {
        match &self.0.data {
            YamlData::Sequence(nodes) => nodes.iter().map(Node).collect(),
            _ if self.is_null() => Vec::new(),
            _ => {
                mistakes.add(self.place(), format!("`{what}` must be a list"));
                Vec::new()
            }
        }
    }

    /// The fields of a mapping, which must be among those that are `known`; if it is one.
    pub(super) fn fields(
        self,
        mistakes: &mut Mistakes,
        what: &str,
        known: &[&'static str],
    ) -> Option<Fields<'a>> {
        let YamlData::Mapping(mapping) = &self.0.data else {
            let message = format!("{what} must be a mapping, such as `field: value`");
            mistakes.add(self.place(), message);
            return None;
        };
        let mut fields = Fields { place: self.place(), found: HashMap::new() };
        for (key, value) in mapping {
            let (key, value) = (Node(key), Node(value));
            let Some(name) = key.text(mistakes, "a field's name") else { continue };
            match known.iter().find(|&&it| it == name) {
                Some(&name) => _ = fields.found.insert(name, value),
                None => {
                    let known = known.join(", ");
                    let message = format!("unknown field `{name}`; {what} may have: {known}");
                    mistakes.add(key.place(), message);
                }
            }
        }
        Some(fields)
    }
}

/// The fields of one mapping, by name.
pub(super) struct Fields<'a> {
    pub(super) place: Place,
    found: HashMap<&'static str, Node<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        self.found.get(name).copied()
    }

    /// The text of a field, unless it is not there, or empty.
    pub(super) fn text(&self, mistakes: &mut Mistakes, name: &str) -> Option<String> {
        self.get(name)?.text(mistakes, name)
    }

    /// The text of a field that must be there.
    pub(super) fn required(&self, mistakes: &mut Mistakes, name: &str) -> Option<String> {
        match self.get(name) {
            Some(node) => {
                let text = node.text(mistakes, name);
                if text.is_none() && matches!(node.0.data, YamlData::Representation(..)) {
                    mistakes.add(node.place(), format!("`{name}` is empty"));
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
        let text = self.text(mistakes, name)?;
        match go::duration(&text) {
            Ok(duration) => Some(duration),
            Err(message) => {
                let place = self.get(name).map_or(self.place, Node::place);
                mistakes.add(place, format!("`{name}`: {message}"));
                None
            }
        }
    }
}
