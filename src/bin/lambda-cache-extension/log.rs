//! The log: standard error, which Lambda puts into the function's. Each event is one line.

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

/// The level that the sidecar's own variable names.
pub(crate) fn own_level(text: &str) -> Result<LevelFilter, String> {
    match &*text.to_ascii_lowercase() {
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        "error" => Ok(LevelFilter::ERROR),
        "none" => Ok(LevelFilter::OFF),
        _ => Err(format!("\"{text}\" is none of debug, info, warn, error and none")),
    }
}

/// The level that Lambda's variable for the function names.
pub(crate) fn function_level(text: &str) -> Result<LevelFilter, String> {
    match &*text.to_ascii_lowercase() {
        "trace" => Ok(LevelFilter::TRACE),
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" => Ok(LevelFilter::WARN),
        // The errors that the sidecar ends with are its fatal ones.
        "error" | "fatal" => Ok(LevelFilter::ERROR),
        _ => Err(format!("\"{text}\" is none of TRACE, DEBUG, INFO, WARN, ERROR and FATAL")),
    }
}

/// The format that Lambda's variable for the function names.
pub(crate) fn format(text: &str) -> Result<LogFormat, String> {
    match &*text.to_ascii_lowercase() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("\"{text}\" is neither Text nor JSON")),
    }
}

/// Logs our own events, at the settings' level. What libraries warn of is in our own errors too, so it
/// is shown at debug only. Their lower levels are never shown: HTTP libraries log what they send and
/// get there.
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
    // A refresh is a span at debug: it gets a line when it ends. Its duration is a field of its own, so
    // the times at which the span was entered are left out.
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

/// Logs where code panicked. The message is logged only if it is a fixed text: a formatted one may
/// quote a value.
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
    /// Writes one line. What requests and services say is part of it, and must not begin another.
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
