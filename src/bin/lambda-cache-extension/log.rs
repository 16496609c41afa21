//! The log: standard error, which Lambda puts into the function's. A line a event, whatever is in it.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{FmtSpan, JsonFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::words;

/// How much the log says, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) level: LevelFilter,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    /// As Lambda's own JSON lines: `timestamp`, `level`, `message`, and an event's fields beside them.
    Json,
}

/// Logs what is ours, at the settings' level. What libraries warn of is in our own errors already, so
/// it is left to those who look for more; below that, HTTP libraries log what they send and get.
pub(crate) fn start(settings: LogSettings) {
    let LogSettings { level, format } = settings;
    let of_libraries = match level >= LevelFilter::DEBUG {
        true => LevelFilter::WARN,
        false => LevelFilter::ERROR,
    };
    let targets = Targets::new()
        .with_default(level.min(of_libraries))
        .with_target("lambda_cache", level)
        .with_target("lambda_cache_extension", level);
    // A refresh is a span at debug. Its line is written at its end, with its own account of how long it
    // took: the time that a span is entered says nothing of that.
    let lines = fmt::layer()
        .with_writer(StandardError)
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .without_time();
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => {
            let json = fmt::format().json().flatten_event(true).with_span_list(false);
            lines.event_format(json).fmt_fields(JsonFields::new()).boxed()
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
    std::panic::set_hook(Box::new(panicked));
}

/// Where somebody's code panicked. What it said is told only if it is fixed: anything else may quote a
/// value.
fn panicked(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, message, "a panic");
}

/// Writes each line at once, so that nothing comes between its parts.
#[derive(Clone, Copy)]
struct StandardError;

impl MakeWriter<'_> for StandardError {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for StandardError {
    /// Writes one line. Requests and services have their words in it, and must not have lines of their
    /// own.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let line = words::on_one_line(&words::in_yaml(line)).into_owned() + "\n";
        io::stderr().write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
