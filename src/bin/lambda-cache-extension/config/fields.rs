//! YAML nodes as the fields they should be, and what is wrong with them.

use std::collections::HashMap;
use std::time::Duration;

use saphyr::{MarkedYaml, ScalarStyle, YamlData};

use super::Place;
use crate::go;
use crate::problem::Problem;

/// Where mistakes of one file go.
pub(super) struct Mistakes<'a> {
    path: &'a str,
    found: &'a mut Vec<Problem>,
}

impl<'a> Mistakes<'a> {
    pub(super) fn new(path: &'a str, found: &'a mut Vec<Problem>) -> Self {
        Self { path, found }
    }

    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.found.push(place.problem(self.path, message));
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
    fn is_null(self) -> bool {
        match &self.0.data {
            YamlData::Representation(text, ScalarStyle::Plain, _) => {
                matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            YamlData::BadValue => true,
            _ => false,
        }
    }

    /// The text of a scalar, as it is written, unless it is empty.
    pub(super) fn text(self, mistakes: &mut Mistakes<'_>, what: &str) -> Option<String> {
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
    pub(super) fn list(self, mistakes: &mut Mistakes<'_>, what: &str) -> Vec<Node<'a>> {
        match &self.0.data {
            YamlData::Sequence(nodes) => nodes.iter().map(Node).collect(),
            _ if self.is_null() => Vec::new(),
            _ => {
                mistakes.add(self.place(), format!("`{what}` must be a list"));
                Vec::new()
            }
        }
    }

    /// The fields of a mapping, which must be among those that are `known`.
    pub(super) fn fields(
        self,
        mistakes: &mut Mistakes<'_>,
        what: &str,
        known: &[&'static str],
    ) -> Fields<'a> {
        let mut fields = Fields { place: self.place(), found: HashMap::new() };
        let mapping = match &self.0.data {
            YamlData::Mapping(mapping) => mapping,
            _ => {
                if !self.is_null() || what != "config.yaml" {
                    let message = format!("{what} must be a mapping, such as `field: value`");
                    mistakes.add(self.place(), message);
                }
                return fields;
            }
        };
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
        fields
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
    pub(super) fn text(&self, mistakes: &mut Mistakes<'_>, name: &str) -> Option<String> {
        self.get(name)?.text(mistakes, name)
    }

    /// The text of a field that must be there.
    pub(super) fn required(&self, mistakes: &mut Mistakes<'_>, name: &str) -> Option<String> {
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

    pub(super) fn duration(&self, mistakes: &mut Mistakes<'_>, name: &str) -> Option<Duration> {
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
