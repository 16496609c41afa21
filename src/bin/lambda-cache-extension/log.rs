//! The log: standard error, which Lambda adds to the function's log. Each event is one line.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{FmtSpan, JsonFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::messages;

/// The levels that the sidecar's own variable can name.
pub(crate) const OWN_LEVELS: &[(&str, LevelFilter)] = &[
    ("debug", LevelFilter::DEBUG),
    ("info", LevelFilter::INFO),
    ("warn", LevelFilter::WARN),
    ("error", LevelFilter::ERROR),
    ("none", LevelFilter::OFF),
];

/// The levels that Lambda's variable for the function can name.
pub(crate) const FUNCTION_LEVELS: &[(&str, LevelFilter)] = &[
    ("TRACE", LevelFilter::TRACE),
    ("DEBUG", LevelFilter::DEBUG),
    ("INFO", LevelFilter::INFO),
    ("WARN", LevelFilter::WARN),
    ("ERROR", LevelFilter::ERROR),
    // The sidecar ends with an error, so its fatal events have that level.
    ("FATAL", LevelFilter::ERROR),
];

/// The formats that Lambda's variable for the function can name.
pub(crate) const FORMATS: &[(&str, LogFormat)] =
    &[("Text", LogFormat::Text), ("JSON", LogFormat::Json)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) level: LevelFilter,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    /// As Lambda's own JSON lines: `timestamp`, `level`, `message`, and the event's fields beside them.
    Json,
}

/// Starts logging our own events at the level of `settings`.
///
/// Warnings of libraries are shown only at debug, since our own errors contain them. Their lower
/// levels are never shown: HTTP libraries log what they send and receive.
pub(crate) fn start(settings: LogSettings) {
    let LogSettings { level, format } = settings;
    let library_level = match level >= LevelFilter::DEBUG {
        true => LevelFilter::WARN,
        false => LevelFilter::ERROR,
    };
    let targets = Targets::new()
        .with_default(level.min(library_level))
        .with_target("lambda_cache", level)
        .with_target("lambda_cache_extension", level);
    // At debug each refresh is a span, and its line is written when it ends. The span has a field for
    // its duration, so tracing-subscriber's own times are left out.
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
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs the location of a panic. Its message is logged only if it is a literal: a formatted one may
/// contain a value.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(place, message, "a panic");
}

/// Writes each line in one call, so that lines of different threads do not mix.
#[derive(Clone, Copy)]
struct StandardError;

impl MakeWriter<'_> for StandardError {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for StandardError {
    /// Writes one event. It may contain texts of clients and services, which must not start a line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let event = String::from_utf8_lossy(bytes);
        let line = messages::readable(event.strip_suffix('\n').unwrap_or(&event)) + "\n";
        io::stderr().write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
