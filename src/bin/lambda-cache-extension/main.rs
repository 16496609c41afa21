//! The sidecar: an external extension of AWS Lambda that keeps parameters, secrets, objects, items and
//! configurations fresh for functions in any language. `docs/sidecar.md` is its guide.
//!
//! A request's way: `http` (is it one of the function's?) to `declared` or `on_demand` (which thing?)
//! to the cache (is it fresh?), which has the answer ready; `answer` is what was made of the thing when
//! it last changed.

mod answer;
mod command;
mod config;
mod declared;
mod go;
mod http;
mod log;
mod on_demand;
mod problem;
mod settings;
mod sidecar;
mod signals;
mod unsent;
mod words;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use lambda_cache::ExternalExtension;
use tokio::runtime::{Builder, Runtime};

use self::command::{Command, HELP};
use self::problem::Problem;
use self::settings::Settings;
use self::sidecar::Sidecar;
use self::signals::Signals;

/// The status of a process that was called wrongly, as shells have it.
const WRONG_CALL: u8 = 2;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    match Command::parse(words) {
        Ok(Command::Run) => in_runtime(|runtime| runtime.block_on(run(&name(&program)))),
        Ok(Command::Check(path)) => in_runtime(|runtime| runtime.block_on(check(&path))),
        Ok(Command::Help) => say(io::stdout(), HELP),
        Ok(Command::Version) => {
            say(io::stdout(), concat!("lambda-cache-extension ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        Err(error) => {
            say(io::stderr(), &format!("{error}\n\n{HELP}"));
            ExitCode::from(WRONG_CALL)
        }
    }
}

/// The name under which Lambda knows the extension: its file's, of which it may be a link.
fn name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

fn in_runtime(work: impl FnOnce(&Runtime) -> ExitCode) -> ExitCode {
    match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = work(&runtime);
            // Nothing that is still going on is worth waiting for.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            say(io::stderr(), &format!("no runtime: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Runs as an extension until Lambda, or whoever else started it, wants it to end.
async fn run(name: &str) -> ExitCode {
    let mut problems = Vec::new();
    let settings = Settings::read(|name| std::env::var(name).ok(), &mut problems);
    log::start(settings.log);
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "no signals");
            return ExitCode::FAILURE;
        }
    };
    // Before anything can go wrong, so that Lambda can be told of it.
    let extension = match ExternalExtension::register(name).await {
        Ok(extension) => extension,
        Err(error) => {
            tracing::error!(%error, "not registered");
            return ExitCode::FAILURE;
        }
    };
    match Sidecar::start(settings, problems).await {
        Ok(sidecar) => match sidecar.run(extension, signals).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "the sidecar cannot go on");
                ExitCode::FAILURE
            }
        },
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "not started");
            }
            extension.fail_init(&lines(&problems)).await;
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with a config.yaml.
async fn check(path: &Path) -> ExitCode {
    let problems = sidecar::check(path).await;
    if problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(io::stderr(), &format!("{}\n", lines(&problems)));
    ExitCode::FAILURE
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Whoever does not listen need not hear it.
fn say(mut to: impl Write, words: &str) -> ExitCode {
    to.write_all(words.as_bytes()).ok();
    ExitCode::SUCCESS
}
