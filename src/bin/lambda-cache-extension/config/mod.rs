//! config.yaml: what to keep fresh.
//!
//! It accepts the Go extension's files as they are; `docs/sidecar.md` has what is new. All mistakes of a
//! file are reported at once, each with its line and column.

mod fields;
mod items;
mod yaml;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use lambda_cache::sources::dynamodb::KeyValue;
use saphyr_parser::Marker;

use self::fields::Fields;
use self::yaml::Node;
use crate::messages::Problem;

/// Without a limit, a short file could declare any number of entries by aliases.
const MAX_ENTRIES: usize = 10_000;

/// A kind of resource: a section of config.yaml, and a path that clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Section {
    Parameters,
    DynamoDb,
    Secrets,
    Objects,
    Configurations,
}

impl Section {
    const ALL: [Self; 5] =
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

/// One entry to keep fresh.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) section: Section,
    /// The name that clients ask for.
    pub(crate) name: String,
    pub(crate) resource: Resource,
    pub(crate) options: Options,
    pub(crate) position: Position,
}

/// What to fetch from an AWS service.
#[derive(Debug, Clone)]
pub(crate) enum Resource {
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

/// The options that entries of all sections have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) max_age: Option<Duration>,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) region: Option<String>,
    pub(crate) role: Option<String>,
}

/// A position in config.yaml. Both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// The position right after `text`.
    fn after(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let (line, last) = text.split('\n').enumerate().last().unwrap_or_default();
        Self { line: line + 1, column: last.chars().count() + 1 }
    }

    pub(crate) fn problem(self, path: &str, message: impl Into<String>) -> Problem {
        Problem::new(format!("{path}:{self}"), message)
    }
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The mistakes in a file, sorted by position. A mistake in an anchor's node is found again at each of
/// its aliases, and kept once.
#[derive(Default)]
struct Mistakes(BTreeSet<(Position, String)>);

impl Mistakes {
    fn add(&mut self, position: Position, message: impl Into<String>) {
        self.0.insert((position, message.into()));
    }
}

/// The valid declarations in `file`, which is at `path`. Adds its mistakes to `problems`.
pub(crate) fn parse(file: &[u8], path: &str, problems: &mut Vec<Problem>) -> Vec<Declaration> {
    let mut mistakes = Mistakes::default();
    let documents = match str::from_utf8(file) {
        Ok(text) => yaml::load(text, &mut mistakes),
        Err(error) => {
            mistakes.add(Position::after(&file[..error.valid_up_to()]), "invalid UTF-8");
            Vec::new()
        }
    };
    let declarations = declarations(&documents, &mut mistakes);
    let problem = |(position, message): (Position, String)| position.problem(path, message);
    problems.extend(mistakes.0.into_iter().map(problem));
    declarations
}

fn declarations(documents: &[Node], mistakes: &mut Mistakes) -> Vec<Declaration> {
    let mut declarations = Vec::new();
    let mut documents = documents.iter();
    let document = documents.next().filter(|document| !document.is_null());
    for (section, node) in document.map(|it| sections(it, mistakes)).unwrap_or_default() {
        for item in node.list(mistakes, section.as_str()) {
            if declarations.len() > MAX_ENTRIES {
                mistakes.add(item.position, format!("more than {MAX_ENTRIES} entries"));
                return Vec::new();
            }
            declarations.extend(items::declarations(section, item, mistakes));
        }
    }
    if let Some(another) = documents.find(|document| !document.is_null()) {
        mistakes.add(another.position, "a second document; a file can have one");
    }
    without_duplicates(declarations, mistakes)
}

fn sections<'n>(document: &'n Node, mistakes: &mut Mistakes) -> Vec<(Section, &'n Node)> {
    let known = Section::ALL.map(Section::as_str);
    let Some(fields) = Fields::of(document, mistakes, "config.yaml", &known) else {
        return Vec::new();
    };
    let present = |section: Section| Some((section, fields.get(section.as_str())?));
    Section::ALL.into_iter().filter_map(present).collect()
}

/// The first entry of each name.
fn without_duplicates(all: Vec<Declaration>, mistakes: &mut Mistakes) -> Vec<Declaration> {
    let mut positions: HashMap<(Section, String), Position> = HashMap::new();
    let mut is_first = |Declaration { section, name, position, .. }: &Declaration| match positions
        .entry((*section, name.clone()))
    {
        Entry::Vacant(vacant) => {
            vacant.insert(*position);
            true
        }
        Entry::Occupied(first) => {
            let (section, first) = (section.as_str(), first.get());
            let message = format!(
                "a second entry of {section} with the name \"{name}\"; the first is at {first}. \
                     Give one of them another by `name`"
            );
            mistakes.add(*position, message);
            false
        }
    };
    all.into_iter().filter(|it| is_first(it)).collect()
}

#[cfg(test)]
#[path = "../../../../tests/parsers/config.rs"]
mod parsers;
#[cfg(test)]
mod tests;
