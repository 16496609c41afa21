//! config.yaml: what is to be kept fresh.
//!
//! The Go extension's own files are read as they are; see `docs/sidecar.md` for what can be said
//! beyond that. Whatever is wrong is told at once, each with its line and column.

mod fields;
mod mistakes;
mod things;
mod yaml;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::time::Duration;

use lambda_cache::sources::dynamodb::KeyValue;
use saphyr_parser::Marker;

use self::mistakes::Mistakes;
use self::yaml::Node;
use crate::messages::Problem;

/// The most things that a file may declare: by aliases a short one could name any number.
const MOST: usize = 10_000;

/// What kind of thing is declared: a section of config.yaml, and a path of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Section {
    Parameters,
    DynamoDb,
    Secrets,
    Objects,
    Configurations,
}

impl Section {
    pub(crate) const ALL: [Self; 5] =
        [Self::Parameters, Self::DynamoDb, Self::Secrets, Self::Objects, Self::Configurations];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::DynamoDb => "dynamodb",
            Self::Secrets => "secrets",
            Self::Objects => "objects",
            Self::Configurations => "configurations",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// One thing to keep fresh.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) section: Section,
    /// What clients ask for.
    pub(crate) name: String,
    pub(crate) thing: Thing,
    pub(crate) options: Options,
    pub(crate) place: Place,
}

/// What it is, to the service that has it.
#[derive(Debug, Clone)]
pub(crate) enum Thing {
    Parameter(String),
    Item {
        table: String,
        key: (String, KeyValue),
        sort_key: Option<(String, KeyValue)>,
    },
    Secret(String),
    /// By its URI.
    Object(String),
    Configuration {
        application: String,
        environment: String,
        configuration: String,
    },
}

/// How old it may be, how long it may take, and where it is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) max_age: Option<Duration>,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) region: Option<String>,
    pub(crate) role: Option<String>,
}

/// Where in config.yaml something stands, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Where the next character after `text` stands.
    fn after(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let (line, last) = text.split('\n').enumerate().last().unwrap_or_default();
        Self { line: line + 1, column: last.chars().count() + 1 }
    }

    /// What is wrong there.
    pub(crate) fn problem(self, path: &str, message: impl Into<String>) -> Problem {
        Problem::new(format!("{path}:{self}"), message)
    }
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What `file`, the one at `path`, declares, as far as it is right; what is wrong goes to `problems`.
pub(crate) fn parse(file: &[u8], path: &str, problems: &mut Vec<Problem>) -> Vec<Declaration> {
    let mut mistakes = Mistakes::default();
    let documents = match str::from_utf8(file) {
        Ok(text) => yaml::load(text, &mut mistakes),
        Err(error) => {
            mistakes.add(Place::after(&file[..error.valid_up_to()]), "invalid UTF-8");
            Vec::new()
        }
    };
    let declarations = declared(&documents, &mut mistakes);
    problems.extend(mistakes.in_order(path));
    declarations
}

fn declared(documents: &[Node], mistakes: &mut Mistakes) -> Vec<Declaration> {
    let mut declarations = Vec::new();
    let mut documents = documents.iter();
    let document = documents.next().filter(|document| !document.is_null());
    for (section, node) in document.map(|it| sections(it, mistakes)).unwrap_or_default() {
        for item in node.list(mistakes, section.as_str()) {
            if declarations.len() > MOST {
                mistakes.add(item.place, format!("more than {MOST} things"));
                return Vec::new();
            }
            declarations.extend(things::declared(section, item, mistakes));
        }
    }
    if let Some(another) = documents.find(|document| !document.is_null()) {
        mistakes.add(another.place, "a second document; one is all there may be");
    }
    with_names_of_their_own(declarations, mistakes)
}

fn sections<'a>(document: &'a Node, mistakes: &mut Mistakes) -> Vec<(Section, &'a Node)> {
    let known = Section::ALL.map(Section::as_str);
    let Some(fields) = document.fields(mistakes, "config.yaml", &known) else { return Vec::new() };
    let found = Section::ALL.map(|section| Some((section, fields.get(section.as_str())?)));
    found.into_iter().flatten().collect()
}

/// The first entry of each name.
fn with_names_of_their_own(
    declarations: Vec<Declaration>,
    mistakes: &mut Mistakes,
) -> Vec<Declaration> {
    let mut first: HashMap<(Section, String), Place> = HashMap::new();
    let mut is_first = |Declaration { section, name, place, .. }: &Declaration| match first
        .entry((*section, name.clone()))
    {
        Entry::Vacant(vacant) => {
            vacant.insert(*place);
            true
        }
        Entry::Occupied(first) => {
            let (section, first) = (section.as_str(), first.get());
            let message = format!(
                "a second entry of {section} with the name \"{name}\"; the first is at {first}. \
                     Give one of them another by `name`"
            );
            mistakes.add(*place, message);
            false
        }
    };
    declarations.into_iter().filter(|it| is_first(it)).collect()
}

#[cfg(test)]
mod tests;
