//! YAML as a tree of nodes that know where they stand.
//!
//! Scalars are kept as they are written: `007` may be somebody's key. The tree is built in a loop and
//! is at most [`MOST_DEPTH`] deep, so no file can exhaust the stack, not even when the tree is dropped.
//! An alias shares its anchor's content, so no file can grow in memory either.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::Place;
use super::mistakes::Mistakes;

/// A config.yaml needs four levels.
const MOST_DEPTH: usize = 16;
/// The key whose value is merged into its mapping.
const MERGE: &str = "<<";

/// A part of a document. Clones share what it holds.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Rc<Content>,
    /// Levels below it, those behind aliases included.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar {
        text: String,
        /// Whether it stands without quotes, so that `~` and the like are no text.
        is_plain: bool,
    },
    List(Vec<Node>),
    /// Its fields, each name once, with those that it merges.
    Mapping(Vec<(Node, Node)>),
}

/// A text's documents. Gives up at what is not YAML, or is nested too deep.
pub(super) fn load(text: &str, mistakes: &mut Mistakes) -> Vec<Node> {
    let mut tree = Tree { mistakes, open: Vec::new(), anchors: HashMap::new(), roots: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        if let Err((place, message)) = next.map_err(not_yaml).and_then(|it| tree.grow(it)) {
            tree.mistakes.add(place, message);
            return Vec::new();
        }
    }
    tree.roots
}

type Mistake = (Place, String);

fn not_yaml(error: ScanError) -> Mistake {
    ((*error.marker()).into(), error.info().to_owned())
}

/// The documents, as far as they have been read.
struct Tree<'m> {
    mistakes: &'m mut Mistakes,
    /// The lists and mappings that have begun and not ended, the innermost last.
    open: Vec<Open>,
    /// Complete nodes that have an anchor.
    anchors: HashMap<usize, Node>,
    roots: Vec<Node>,
}

struct Open {
    place: Place,
    anchor: usize,
    kind: Kind,
    /// A mapping's keys and values in turn.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Mapping,
}

impl Tree<'_> {
    fn grow(&mut self, (event, span): (Event<'_>, Span)) -> Result<(), Mistake> {
        let place = span.start.into();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(place, tag.as_deref());
                let (text, is_plain) = (text.into_owned(), style == ScalarStyle::Plain);
                let content = Rc::new(Content::Scalar { text, is_plain });
                self.add(Node { place, content, depth: 0 }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(place, tag.as_deref());
                self.begin(place, anchor, Kind::List)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(place, tag.as_deref());
                self.begin(place, anchor, Kind::Mapping)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err((place, "an alias within what it stands for".to_owned()));
                };
                self.check_depth(place, node.depth)?;
                self.put(Node { place, ..node.clone() });
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => {}
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, kind: Kind) -> Result<(), Mistake> {
        self.check_depth(place, 0)?;
        self.open.push(Open { place, anchor, kind, nodes: Vec::new() });
        Ok(())
    }

    /// Whether there is room here for a node with so many levels.
    fn check_depth(&self, place: Place, levels: usize) -> Result<(), Mistake> {
        if self.open.len() + levels < MOST_DEPTH {
            return Ok(());
        }
        Err((place, format!("nested more than {MOST_DEPTH} levels deep")))
    }

    fn end(&mut self) {
        let Some(Open { place, anchor, kind, nodes }) = self.open.pop() else { return };
        let depth = nodes.iter().map(|node| node.depth + 1).max().unwrap_or(0);
        let content = match kind {
            Kind::Mapping => Content::Mapping(self.fields(nodes)),
            Kind::List => Content::List(nodes),
        };
        self.add(Node { place, content: Rc::new(content), depth }, anchor);
    }

    /// Adds a complete node.
    fn add(&mut self, node: Node, anchor: usize) {
        // Zero is no anchor.
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node);
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.roots.push(node),
        }
    }

    /// The fields of a mapping whose keys and values these are, with what it merges: its own come
    /// before merged ones, and what is merged earlier before what is merged later.
    fn fields(&mut self, nodes: Vec<Node>) -> Vec<(Node, Node)> {
        let (mut fields, mut merged) = (Fields::default(), None);
        let mut nodes = nodes.into_iter();
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            let first = match key.is_merge() {
                true => merged.replace((key.clone(), value)).map(|(first, _)| first.place),
                false => fields.add(key.clone(), value),
            };
            if let Some(first) = first {
                let name = key.text().unwrap_or_default();
                let message = format!("`{name}` twice; the first is at {first}");
                self.mistakes.add(key.place, message);
            }
        }
        for mapping in merged.map(|(_, value)| self.mappings(value)).unwrap_or_default() {
            let Content::Mapping(more) = &*mapping.content else { continue };
            for (key, value) in more {
                fields.add(key.clone(), value.clone());
            }
        }
        fields.found
    }

    /// The mappings that the value of a merge key stands for.
    fn mappings(&mut self, value: Node) -> Vec<Node> {
        let all = match &*value.content {
            Content::List(nodes) => nodes.clone(),
            _ => vec![value],
        };
        for node in &all {
            if !matches!(&*node.content, Content::Mapping(_)) {
                let message = "`<<` merges a mapping, such as `<<: *defaults`, or a list of them";
                self.mistakes.add(node.place, message);
            }
        }
        all
    }

    /// What a tag would make of a node, such as CloudFormation's `!Ref`, is not known here.
    fn check_tag(&mut self, place: Place, tag: Option<&Tag>) {
        if let Some(tag) = tag.filter(|it| !it.is_yaml_core_schema()) {
            self.mistakes.add(place, format!("the tag `{tag}` means nothing here"));
        }
    }
}

/// The fields of a mapping, the first of each name.
#[derive(Default)]
struct Fields {
    found: Vec<(Node, Node)>,
    places: HashMap<String, Place>,
}

impl Fields {
    /// Adds a field, unless there is one of its name: then it gives the place of that one. (A key that
    /// is no text has none.)
    fn add(&mut self, key: Node, value: Node) -> Option<Place> {
        if let Some(name) = key.text() {
            match self.places.entry(name.to_owned()) {
                Entry::Occupied(first) => return Some(*first.get()),
                Entry::Vacant(vacant) => _ = vacant.insert(key.place),
            }
        }
        self.found.push((key, value));
        None
    }
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &*self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether nothing is written there.
    pub(super) fn is_null(&self) -> bool {
        match &*self.content {
            Content::Scalar { text, is_plain: true } => {
                matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    fn is_merge(&self) -> bool {
        matches!(&*self.content, Content::Scalar { text, is_plain: true } if text == MERGE)
    }
}
