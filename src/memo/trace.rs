//! The span of a memo's fetch, as an entry's fetch has one.

use std::sync::Arc;

use tracing::Span;
use tracing::field::Empty;

use super::core::MemoCore;
use super::tickets::Ticket;
use crate::clock::{self, Clocks, Stamp};

/// Tells the span how its fetch ended when it goes. A fetch that goes before it has ended was
/// cancelled.
pub(super) struct FetchTrace {
    pub(super) span: Span,
    pub(super) outcome: &'static str,
    clock: Clocks,
    began: Stamp,
}

impl FetchTrace {
    pub(super) fn of<K, V>(
        core: &MemoCore<K, V>,
        tickets: &[Arc<Ticket<K>>],
        began: Stamp,
    ) -> Self {
        let config = &core.config;
        let waited_for = tickets.iter().any(|ticket| ticket.waiting.any());
        let span = tracing::debug_span!(
            "refresh",
            memo = %config.definition.name,
            // The memo shows no keys. Its function may.
            key = Empty,
            source = %config.definition.source,
            cause = if waited_for { "read" } else { "ahead" },
            batch = tickets.len(),
            outcome = Empty,
            duration_ms = Empty,
        );
        Self { span, outcome: "cancelled", clock: config.clock.clone(), began }
    }
}

impl Drop for FetchTrace {
    fn drop(&mut self) {
        if self.span.is_disabled() {
            return;
        }
        let took = self.clock.now().monotonic.saturating_sub(self.began.monotonic);
        self.span.record("outcome", self.outcome);
        self.span.record("duration_ms", clock::duration(took).as_secs_f64() * 1e3);
    }
}
