//! What is wrong with a declaration, if anything. Nothing here quotes the value of a key.

use crate::error::{Error, ErrorKind};
use crate::sources::dynamodb::key::KeyValue;

/// How many bytes a partition key's value has at most.
pub(super) const PARTITION_KEY: usize = 2048;
/// How many bytes a sort key's value has at most.
pub(super) const SORT_KEY: usize = 1024;

/// A name has 3 to 255 letters, digits and `_.-`; an ARN will do too.
pub(super) fn check_table(table: &str) -> Result<(), Error> {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
    let is_name = (3..=255).contains(&table.len()) && table.chars().all(allowed);
    match is_name || table.starts_with("arn:") && table.contains(":table/") {
        true => Ok(()),
        false => Err(invalid(table, "that is not the name or ARN of a table")),
    }
}

/// The names of a key's attributes.
pub(super) fn check_names(table: &str, names: &[&String]) -> Result<(), Error> {
    if names.iter().any(|name| name.is_empty()) {
        return Err(invalid(table, "the name of a key's attribute is empty"));
    }
    match names {
        [partition, sort] if partition == sort => {
            Err(invalid(table, &format!("\"{sort}\" is both partition key and sort key")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_value(
    table: &str,
    name: &str,
    value: &KeyValue,
    most: usize,
) -> Result<(), Error> {
    match value.fault(most) {
        Some(fault) => Err(invalid(table, &format!("the value of \"{name}\" {fault}"))),
        None => Ok(()),
    }
}

pub(super) fn check_projection(table: &str, attributes: &[String]) -> Result<(), Error> {
    match attributes.iter().any(|path| path.split('.').any(str::is_empty)) {
        true => Err(invalid(table, "the projection has an empty name")),
        false => Ok(()),
    }
}

pub(super) fn invalid(table: &str, why: &str) -> Error {
    Error::new(ErrorKind::Declaration, format!("table \"{table}\": {why}"))
}
