//! A table: what items and queries of it have in common.

use std::collections::HashMap;

use super::key::{KeyPart, KeyValue};
use super::{DynamoDb, Request};
use crate::sources::Entry;
use crate::sources::aws::{AtPlace, Declaration, arn_parts, consists_of};

/// A table, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// Its name or ARN.
    pub(super) name: String,
    consistency: Consistency,
    /// The attributes to read; empty for all.
    projection: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Consistency {
    Eventual,
    Strong,
}

/// Names for an expression, by placeholders, since many words are reserved.
pub(super) type Names = HashMap<String, String>;

impl Table {
    pub(super) fn new(name: String) -> Self {
        Self { name, consistency: Consistency::Eventual, projection: Vec::new() }
    }

    pub(super) fn set_consistent(&mut self) {
        self.consistency = Consistency::Strong;
    }

    /// Sorted and without duplicates, so that equal projections are equal. The service refuses to be
    /// asked for an attribute twice.
    pub(super) fn set_projection(
        &mut self,
        attributes: impl IntoIterator<Item = impl Into<String>>,
    ) {
        self.projection = attributes.into_iter().map(Into::into).collect();
        self.projection.sort();
        self.projection.dedup();
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let is_name = |name: &str| (3..=255).contains(&name.len()) && consists_of(name, "_.-");
        let is_arn = matches!(arn_parts(name), Some([_, "dynamodb", _, _, resource])
            if resource.strip_prefix("table/").is_some_and(is_name));
        if !is_name(name) && !is_arn {
            return Err("that is not the name or ARN of a table".to_owned());
        }
        match self.projection.iter().any(|path| path.split('.').any(str::is_empty)) {
            true => Err("the projection has an empty name".to_owned()),
            false => Ok(()),
        }
    }

    pub(super) fn is_consistent(&self) -> bool {
        self.consistency == Consistency::Strong
    }

    /// Whether items are read with this attribute.
    pub(super) fn reads(&self, attribute: &str) -> bool {
        self.projection.is_empty() || self.projection.iter().any(|it| it == attribute)
    }

    /// The projection with `extra` attributes as an expression, if there is a projection. A dot leads
    /// into a map, as in a document path.
    pub(super) fn projection<'a>(
        &'a self,
        extra: impl Iterator<Item = &'a str>,
    ) -> (Option<String>, Option<Names>) {
        if self.projection.is_empty() {
            return (None, None);
        }
        let mut names = Names::new();
        let mut placeholder = |name: &str| {
            let next = format!("#p{}", names.len());
            match names.iter().find(|(_, known)| *known == name) {
                Some((known, _)) => known.clone(),
                None => {
                    names.insert(next.clone(), name.to_owned());
                    next
                }
            }
        };
        let paths = self.projection.iter().map(String::as_str).chain(extra);
        let paths: Vec<String> = paths
            .map(|path| path.split('.').map(&mut placeholder).collect::<Vec<_>>().join("."))
            .collect();
        (Some(paths.join(", ")), Some(names))
    }
}

/// What an entry asks of a table: its partition key, and options of items or queries.
#[derive(Debug, Clone)]
pub struct FromTable<O> {
    table: Table,
    key: Option<KeyPart>,
    pub(super) options: O,
}

/// The options of items or of queries.
pub trait TableOptions: Sized {
    /// What they are options of, for errors.
    const WHAT: &str;

    /// The entry's name unless its user gives it another.
    fn default_name(&self, _table: &Table, _key: &KeyPart) -> Option<String> {
        None
    }

    /// The request, or what is wrong with the declaration.
    fn request(self, table: Table, key: KeyPart) -> Result<Request, String>;
}

impl<O> FromTable<O> {
    pub(super) fn new(table: String, options: O) -> Self {
        Self { table: Table::new(table), key: None, options }
    }
}

impl<O: TableOptions, T> Entry<AtPlace<FromTable<O>>, T> {
    /// The partition key: the attribute's name and its value, which is text, an integer, bytes, or a
    /// [`KeyValue`].
    pub fn key(self, name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        self.set(|it| it.key = Some((name.into(), value.into())))
    }

    /// Strongly consistent reads: each fetch sees all writes that ended before it began. They cost
    /// twice as much, and global indexes do not support them.
    pub fn consistent(self) -> Self {
        self.set(|it| it.table.set_consistent())
    }

    /// Only these attributes, which may be reserved words; a dot leads into a map. Attributes that an
    /// item does not have are left out. It saves memory and transfer, not read capacity.
    pub fn projection(self, attributes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.set(|it| it.table.set_projection(attributes))
    }
}

impl<O: TableOptions> Declaration for FromTable<O> {
    type Source = DynamoDb;

    fn default_name(&self) -> Option<String> {
        self.options.default_name(&self.table, self.key.as_ref()?)
    }

    fn request(self) -> Result<Request, String> {
        let Self { table, key, options } = self;
        in_table(&table.name.clone(), || {
            table.check()?;
            let key = key.ok_or_else(|| format!("{} needs a `.key(name, value)`", O::WHAT))?;
            options.request(table, key)
        })
    }
}

/// Adds the table's name to what is wrong with a declaration.
pub(super) fn in_table<T>(
    table: &str,
    check: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    check().map_err(|problem| format!("table \"{table}\": {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_names_each_attribute_once() {
        let mut table = Table::new("table".to_owned());
        table.set_projection(["name", "size.width", "size.height"]);
        let (expression, names) = table.projection(["id"].into_iter());
        assert_eq!(expression.as_deref(), Some("#p0, #p1.#p2, #p1.#p3, #p4"));
        assert_eq!(names.expect("names").len(), 5);
    }
}
