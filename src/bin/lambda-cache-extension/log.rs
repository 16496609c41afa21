//! The log: standard error, which Lambda puts into the function's.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// What is ours, at this level. What others log is no use to the function's owner, unless it warns;
/// below that, HTTP libraries log what they send and get.
pub(crate) fn start(level: LevelFilter) {
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("lambda_cache", level)
        .with_target("lambda_cache_extension", level);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).without_time();
    tracing_subscriber::registry().with(lines.with_filter(targets)).init();
}
