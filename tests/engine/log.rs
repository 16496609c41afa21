//! What is traced.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::fmt::format::FmtSpan;

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was traced on this thread, which is all that its test's runtime did.
///
/// The subscriber is one for the whole process: tracing decides once for all threads whether anybody
/// listens to a span.
pub(crate) struct Log;

impl Log {
    pub(crate) fn listen() -> Self {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            tracing_subscriber::fmt()
                .with_writer(|| Log)
                .with_max_level(tracing::Level::TRACE)
                .with_span_events(FmtSpan::FULL)
                .with_ansi(false)
                .init();
        });
        Self
    }

    pub(crate) fn text(&self) -> String {
        LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap())
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
