//! YAML as a tree of nodes with positions.
//!
//! Scalars are texts as they are written, since `007` may be a key. The tree is built in a loop and at
//! most [`MAX_DEPTH`] levels deep, so no file can overflow the stack, not even when the tree is dropped.
//! An alias shares the content of its anchor, so no file can exhaust memory either.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Mistakes, Position};

/// A config.yaml needs four levels.
const MAX_DEPTH: usize = 16;
/// The key whose value is merged into its mapping.
const MERGE: &str = "<<";

/// Part of a document. Clones share their content.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) content: Rc<Content>,
    /// Levels below it, those behind aliases included.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar {
        text: String,
        /// Without quotes, so that `~` and the like are null.
        is_plain: bool,
    },
    List(Vec<Node>),
    /// Keys and values, each key once, merged ones included.
    Mapping(Vec<(Node, Node)>),
}

/// The documents in `text`; none if that is not YAML, or nested too deep.
pub(super) fn load(text: &str, mistakes: &mut Mistakes) -> Vec<Node> {
    let mut tree = Tree { mistakes, open: Vec::new(), anchors: HashMap::new(), roots: Vec::new() };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        if let Err((position, message)) = next.map_err(not_yaml).and_then(|it| tree.add_event(it)) {
            tree.mistakes.add(position, message);
            return Vec::new();
        }
    }
    tree.roots
}

type Mistake = (Position, String);

fn not_yaml(error: ScanError) -> Mistake {
    ((*error.marker()).into(), error.info().to_owned())
}

/// The documents as far as they have been parsed.
struct Tree<'m> {
    mistakes: &'m mut Mistakes,
    /// Lists and mappings that have not ended, the innermost last.
    open: Vec<Collection>,
    /// Complete nodes that have an anchor.
    anchors: HashMap<usize, Node>,
    roots: Vec<Node>,
}

/// A list or a mapping.
struct Collection {
    position: Position,
    anchor: usize,
    /// Of a mapping: keys and values in turn.
    nodes: Vec<Node>,
}

impl Tree<'_> {
    fn add_event(&mut self, (event, span): (Event<'_>, Span)) -> Result<(), Mistake> {
        let position = span.start.into();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(position, tag.as_deref());
                let (text, is_plain) = (text.into_owned(), style == ScalarStyle::Plain);
                let content = Rc::new(Content::Scalar { text, is_plain });
                self.add(Node { position, content, depth: 0 }, anchor);
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                self.check_tag(position, tag.as_deref());
                self.check_depth(position, 0)?;
                self.open.push(Collection { position, anchor, nodes: Vec::new() });
            }
            Event::SequenceEnd => self.end(|_, nodes| Content::List(nodes)),
            Event::MappingEnd => self.end(|tree, nodes| Content::Mapping(tree.fields(nodes))),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err((position, "an alias inside its own anchor".to_owned()));
                };
                self.check_depth(position, node.depth)?;
                self.put(Node { position, ..node.clone() });
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => {}
        }
        Ok(())
    }

    /// Checks that a node with so many levels does not exceed the depth here.
    fn check_depth(&self, position: Position, levels: usize) -> Result<(), Mistake> {
        if self.open.len() + levels < MAX_DEPTH {
            return Ok(());
        }
        Err((position, format!("nested more than {MAX_DEPTH} levels deep")))
    }

    /// Ends the innermost collection, and makes its content of its nodes.
    fn end(&mut self, content: impl FnOnce(&mut Self, Vec<Node>) -> Content) {
        let Some(Collection { position, anchor, nodes }) = self.open.pop() else { return };
        let depth = nodes.iter().map(|node| node.depth + 1).max().unwrap_or(0);
        let content = Rc::new(content(self, nodes));
        self.add(Node { position, content, depth }, anchor);
    }

    /// Adds a complete node.
    fn add(&mut self, node: Node, anchor: usize) {
        // The parser numbers anchors from 1.
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

    /// The fields of a mapping. Its own take precedence over merged ones, and earlier merged ones over
    /// later ones.
    fn fields(&mut self, nodes: Vec<Node>) -> Vec<(Node, Node)> {
        let (mut unique, mut merged) = (UniqueFields::default(), None);
        let mut nodes = nodes.into_iter();
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            let first = match key.is_merge() {
                true => merged.replace((key.clone(), value)).map(|(first, _)| first.position),
                false => unique.add(key.clone(), value),
            };
            if let Some(first) = first {
                let name = key.text().unwrap_or_default();
                let message = format!("`{name}` twice; the first is at {first}");
                self.mistakes.add(key.position, message);
            }
        }
        for mapping in merged.map(|(_, value)| self.mappings(value)).unwrap_or_default() {
            let Content::Mapping(more) = &*mapping.content else { continue };
            for (key, value) in more {
                unique.add(key.clone(), value.clone());
            }
        }
        unique.fields
    }

    /// The mappings in the value of a merge key.
    fn mappings(&mut self, value: Node) -> Vec<Node> {
        let all = match &*value.content {
            Content::List(nodes) => nodes.clone(),
            _ => vec![value],
        };
        for node in &all {
            if !matches!(&*node.content, Content::Mapping(_)) {
                let message = "`<<` merges a mapping, such as `<<: *defaults`, or a list of them";
                self.mistakes.add(node.position, message);
            }
        }
        all
    }

    /// Refuses tags that would need resolving, such as CloudFormation's `!Ref`.
    fn check_tag(&mut self, position: Position, tag: Option<&Tag>) {
        if let Some(tag) = tag.filter(|it| !it.is_yaml_core_schema()) {
            self.mistakes.add(position, format!("the tag `{tag}` is not supported"));
        }
    }
}

/// The fields of a mapping, the first of each name.
#[derive(Default)]
struct UniqueFields {
    fields: Vec<(Node, Node)>,
    positions: HashMap<String, Position>,
}

impl UniqueFields {
    /// Adds a field, unless there is one with its name: then returns the position of that one. A key
    /// that is not a scalar has no name.
    fn add(&mut self, key: Node, value: Node) -> Option<Position> {
        if let Some(name) = key.text() {
            match self.positions.entry(name.to_owned()) {
                Entry::Occupied(first) => return Some(*first.get()),
                Entry::Vacant(vacant) => _ = vacant.insert(key.position),
            }
        }
        self.fields.push((key, value));
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

    /// Whether it is empty, or null in one of YAML's spellings.
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
