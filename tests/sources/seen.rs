//! What the crate prints, logs or puts into an error, so that a test can look for values in it.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt::Debug;
use std::io;
use std::sync::Once;

use lambda_cache::Error;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What all secret values have in common.
pub(crate) const SECRET: &str = "hunter2";

thread_local! {
    static SEEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Everything on this thread, which is all that a test does, that could be seen by somebody who must
/// not see a value.
///
/// The subscriber is one for the whole process: tracing decides once for all threads whether anybody
/// listens to a span.
#[derive(Clone)]
pub(crate) struct Seen;

impl io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SEEN.with_borrow_mut(|seen| seen.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seen {
    /// From now on, what the crate traces.
    pub(crate) fn listen() -> Self {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(|| Seen)
                .with_span_events(FmtSpan::FULL)
                .with_ansi(false)
                .with_filter(Targets::new().with_target("lambda_cache", LevelFilter::TRACE));
            tracing_subscriber::registry().with(layer).init();
        });
        Self
    }

    pub(crate) fn debug(&self, thing: &dyn Debug) {
        io::Write::write_all(&mut self.clone(), format!("{thing:?}\n{thing:#?}\n").as_bytes())
            .unwrap();
    }

    pub(crate) fn error(&self, error: &Error) {
        self.debug(error);
        self.debug(&error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            self.debug(&error.to_string());
            cause = error.source();
        }
        error.others().iter().for_each(|other| self.error(other));
    }

    /// Checks that all of `parts` were seen, and no value.
    pub(crate) fn check(&self, parts: &[&str]) {
        let text = SEEN.with_borrow(|seen| String::from_utf8(seen.clone()).unwrap());
        for part in parts {
            assert!(text.contains(part), "{text}\nlacks {part}");
        }
        assert!(!text.contains(SECRET), "{text}");
    }
}
