//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

pub(crate) const HELP: &str = "\
Keeps parameters, secrets, objects, items and configurations fresh for an AWS Lambda
function in any language, and serves them to it on localhost.

Usage: lambda-cache-extension                    run as an external extension of Lambda
       lambda-cache-extension check config.yaml  say what is wrong with a file, and end
       lambda-cache-extension --help | --version

What is served is declared in config.yaml, how by environment variables; both are
described in docs/sidecar.md.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Check(PathBuf),
    Help,
    Version,
}

impl Command {
    /// What the words after the program's name ask for.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let command = match parser.next()? {
            None => return Ok(Self::Run),
            Some(Short('h') | Long("help")) => Self::Help,
            Some(Short('V') | Long("version")) => Self::Version,
            Some(Value(word)) if word == "check" => Self::Check(parser.value()?.into()),
            Some(other) => return Err(other.unexpected()),
        };
        match parser.next()? {
            None => Ok(command),
            Some(more) => Err(more.unexpected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, String> {
        Command::parse(words.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_is_what_its_words_ask_for() {
        assert_eq!(parse(&[]), Ok(Command::Run));
        assert_eq!(parse(&["--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-V"]), Ok(Command::Version));
        assert_eq!(parse(&["check", "a.yaml"]), Ok(Command::Check("a.yaml".into())));
    }

    #[test]
    fn other_words_are_refused() {
        for words in [&["run"][..], &["check"], &["check", "a", "b"], &["--help", "x"], &["-x"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
