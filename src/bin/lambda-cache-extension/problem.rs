//! [`Problem`]: something that keeps the sidecar from starting, and where it is to be put right.

use std::fmt;

use crate::words;

/// What is wrong at one place of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A variable, or a file with line and column.
    place: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, message } = self;
        f.write_str(&words::on_one_line(&words::in_yaml(&format!("{place}: {message}"))))
    }
}
