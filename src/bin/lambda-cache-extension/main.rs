//! The sidecar: an external extension of AWS Lambda that keeps parameters, secrets, objects, items and
//! configurations fresh for functions in any language. `docs/sidecar.md` is its guide.
//!
//! The path of a request: `http` checks that it comes from the function; `declared` (port 4000) or
//! `on_demand` (port 2773) finds the cached value; the cache checks its age; `answer` has the bytes to
//! send, made when the value last changed.
//!
//! This file is the process itself: its command line, what ends it, and its exit status.

mod answer;
mod config;
mod declared;
mod go_syntax;
mod http;
mod log;
mod messages;
#[cfg(test)]
#[path = "../../../tests/support/near.rs"]
mod near;
mod on_demand;
mod settings;
mod sidecar;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lambda_cache::ExternalExtension;
use lexopt::Arg::{Long, Short, Value};
use tokio::runtime::Builder;

use self::messages::Problem;
use self::settings::Settings;
use self::sidecar::Sidecar;

const HELP: &str = "\
Keeps parameters, secrets, objects, items and configurations fresh for an AWS Lambda
function in any language, and serves them to it on localhost.

Usage: lambda-cache-extension                    run as an external extension of Lambda
       lambda-cache-extension check config.yaml  report what is wrong with a file, and exit
       lambda-cache-extension --help | --version

config.yaml declares what is served, and environment variables set how. docs/sidecar.md
describes both.
";

/// The exit status for a wrong command line, as shells use it.
const USAGE_ERROR: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run,
    Check(PathBuf),
    Help,
    Version,
}

impl Command {
    /// Parses the arguments after the program's name.
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(arguments);
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

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    match Command::parse(arguments) {
        Ok(Command::Run) => block_on(run(&extension_name(&program))),
        Ok(Command::Check(path)) => block_on(check(&path)),
        Ok(Command::Help) => print(io::stdout(), HELP, ExitCode::SUCCESS),
        Ok(Command::Version) => {
            let version = concat!("lambda-cache-extension ", env!("CARGO_PKG_VERSION"), "\n");
            print(io::stdout(), version, ExitCode::SUCCESS)
        }
        Err(error) => {
            print(io::stderr(), &format!("{error}\n\n{HELP}"), ExitCode::from(USAGE_ERROR))
        }
    }
}

/// The name Lambda knows the extension by: its file's, or that of a link to it.
fn extension_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // Does not wait for tasks that are still running.
            runtime.shutdown_background();
            code
        }
        Err(error) => print(io::stderr(), &format!("no runtime: {error}\n"), ExitCode::FAILURE),
    }
}

/// Runs as an extension until Lambda or a signal ends it.
async fn run(name: &str) -> ExitCode {
    let mut problems = Vec::new();
    let settings = Settings::read(|name| std::env::var(name).ok(), &mut problems);
    log::start(settings.log);
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed("cannot listen for signals", &error),
    };
    // First, so that later failures can be reported to Lambda.
    let extension = match ExternalExtension::register(name).await {
        Ok(extension) => extension,
        Err(error) => return failed("not registered", &error),
    };
    let sidecar = match Sidecar::start(settings, problems).await {
        Ok(sidecar) => sidecar,
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "not started");
            }
            extension.fail_init(&lines(&problems)).await;
            return ExitCode::FAILURE;
        }
    };
    let end = tokio::select! {
        end = sidecar.run(extension) => end,
        () = signals.received() => Ok(()),
    };
    end.map_or_else(|error| failed("the sidecar cannot go on", &error), |()| ExitCode::SUCCESS)
}

fn failed(message: &str, error: &dyn Display) -> ExitCode {
    tracing::error!(%error, "{message}");
    ExitCode::FAILURE
}

/// Reports what is wrong with a config.yaml.
async fn check(path: &Path) -> ExitCode {
    let problems = sidecar::check(path).await;
    if problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    print(io::stderr(), &format!("{}\n", lines(&problems)), ExitCode::FAILURE)
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

fn print(mut to: impl Write, text: &str, code: ExitCode) -> ExitCode {
    // Nobody may be reading.
    to.write_all(text.as_bytes()).ok();
    code
}

/// SIGTERM and SIGINT, which end the process outside Lambda.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Catches them from now on.
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Other systems end a console program without its help.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn received(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        Command::parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_command_is_parsed() {
        assert_eq!(parse(&[]), Ok(Command::Run));
        assert_eq!(parse(&["--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-V"]), Ok(Command::Version));
        assert_eq!(parse(&["check", "a.yaml"]), Ok(Command::Check("a.yaml".into())));
    }

    #[test]
    fn other_arguments_are_refused() {
        for arguments in [&["run"][..], &["check"], &["check", "a", "b"], &["--help", "x"], &["-x"]]
        {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
