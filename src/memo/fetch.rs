//! What the refresher asks of a memo: plan, fetch, forget.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::core::{MemoConfig, MemoCore};
use super::landing::Fetched;
use super::loader::Wish;
use super::tickets::{Progress, Ticket};
use crate::clock::{self, Clocks, Stamp};
use crate::error::{Error, ErrorKind};
use crate::refresher::{AnyMemo, FetchedKeys, PlannedKeys, blocking, retire};
use crate::snapshot::{Asked, Stored};
use crate::sources::{BoxFuture, Calls, Fetch, FetchError};

impl<K, V> AnyMemo for MemoCore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn number(&self) -> u64 {
        self.number
    }

    fn plan(&self, tickets: &[u64], ahead: bool, now: Stamp) -> PlannedKeys {
        let (taken, dropped) = self.take(tickets, ahead, now);
        PlannedKeys { batches: self.batches(&taken), dropped }
    }

    fn fetch(
        self: Arc<Self>,
        tickets: Vec<u64>,
        asked: Asked,
        timeout: Duration,
    ) -> BoxFuture<'static, Box<dyn FetchedKeys>> {
        Box::pin(async move {
            let tickets: Vec<Arc<Ticket<K>>> = {
                let known = self.tickets();
                tickets.into_iter().filter_map(|ticket| known.get(ticket)).collect()
            };
            let mut trace = FetchTrace::of(&self, &tickets, asked.began);
            let ask = self.ask(&tickets, asked.began, timeout).instrument(trace.span.clone());
            let answers = AssertUnwindSafe(ask).catch_unwind().await.unwrap_or_else(|_| {
                // The source's own panics are caught where it is asked.
                let error =
                    Error::new(ErrorKind::Panic, "the key's `Clone`, `Eq` or `Hash` panicked");
                tickets.iter().map(|_| (None, Err(error.clone()))).collect()
            });
            let answers = tickets.into_iter().zip(answers);
            let fetched = blocking(|| Fetched::new(self, asked, answers));
            trace.outcome = fetched.outcome();
            Box::new(fetched) as Box<dyn FetchedKeys>
        })
    }

    fn pause(&self, tickets: &[u64], now: Stamp) {
        let mut ended = Vec::new();
        let mut known = self.tickets();
        for &number in tickets {
            let Some(ticket) = known.get(number) else { continue };
            if let Some(state) = self.store.peek(&ticket.key) {
                self.store.replace(ticket.key.clone(), state.cancelled(now));
            }
            if !ticket.waiting.any() {
                ended.push(known.remove(number));
            }
        }
    }

    fn slow(&self, ticket: u64) {
        if let Some(ticket) = self.tickets().get(ticket) {
            ticket.progress.send_if_modified(|progress| {
                let pending = matches!(progress, Progress::Pending);
                if pending {
                    *progress = Progress::Slow;
                }
                pending
            });
        }
    }

    fn age(&self, trace_time: i64, seen: Stamp) {
        let policy = &self.config.definition.policy;
        let _tickets = self.tickets();
        for (key, state) in self.store.iter() {
            if let Some(older) = state.slot.aged_to(policy, trace_time, state.aged, seen) {
                self.store.replace(key, state.aged(older, policy, seen));
            }
        }
    }

    fn clear(&self) {
        let removed = {
            let _tickets = self.tickets();
            self.store.drain()
        };
        removed.into_iter().for_each(|removed| {
            _ = catch_unwind(AssertUnwindSafe(|| drop(removed)));
        });
    }

    fn reset(&self) {
        self.config.loader.reset();
    }
}

impl<K, V> MemoCore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The tickets to fetch, and those to drop. A ticket that nobody waits for is fetched only while its
    /// key is stored and fresh: if it was evicted or has expired since, the next reader fetches it.
    fn take(&self, numbers: &[u64], ahead: bool, now: Stamp) -> (Vec<Arc<Ticket<K>>>, Vec<u64>) {
        let (mut taken, mut dropped) = (Vec::new(), Vec::new());
        let mut tickets = self.tickets();
        for &number in numbers {
            let fresh = |key| self.store.peek(key).is_some_and(|it| it.fresh(now).is_some());
            match tickets.get(number) {
                Some(ticket) if ticket.waiting.any() || ahead && fresh(&ticket.key) => {
                    taken.push(ticket);
                }
                _ => {
                    retire(vec![Box::new(tickets.remove(number))]);
                    dropped.push(number);
                }
            }
        }
        (taken, dropped)
    }

    /// Splits tickets into batches as their source plans. Tickets that it leaves out, or all of them if
    /// it panics, are fetched one by one.
    fn batches(&self, tickets: &[Arc<Ticket<K>>]) -> Vec<Vec<u64>> {
        if tickets.len() < 2 {
            return tickets.iter().map(|ticket| vec![ticket.number]).collect();
        }
        let keys = tickets.iter().map(|ticket| ticket.key.clone()).collect();
        let plan = catch_unwind(AssertUnwindSafe(|| self.config.loader.plan(keys)));
        let mut of_key: HashMap<&K, u64> =
            tickets.iter().map(|ticket| (&ticket.key, ticket.number)).collect();
        let mut number =
            |batch: Vec<K>| batch.iter().filter_map(|key| of_key.remove(key)).collect();
        let mut batches: Vec<Vec<u64>> =
            plan.unwrap_or_default().into_iter().map(&mut number).collect();
        batches.extend(of_key.into_values().map(|number| vec![number]));
        batches
    }

    /// For each ticket what was stored when it was asked for, and the answer. A panic is the failure of
    /// them all.
    async fn ask(
        &self,
        tickets: &[Arc<Ticket<K>>],
        began: Stamp,
        timeout: Duration,
    ) -> Vec<(Option<Stored>, Result<crate::sources::Fetched<V>, Error>)> {
        // What is revalidated is what is stored now: it may be displaced meanwhile.
        let stored = |ticket: &Arc<Ticket<K>>| {
            // A new attempt is not slow yet. That is nothing to wake readers for.
            ticket.progress.send_if_modified(|progress| {
                if matches!(progress, Progress::Slow) {
                    *progress = Progress::Pending;
                }
                false
            });
            self.store.peek(&ticket.key).and_then(|state| state.slot.stored().cloned())
        };
        let (stored, wishes) = blocking(|| {
            let stored: Vec<Option<Stored>> = tickets.iter().map(stored).collect();
            let version = |stored: &Option<Stored>| stored.as_ref().map(|it| it.version.clone());
            let keys = tickets.iter().map(|ticket| ticket.key.clone());
            let wishes: Vec<Wish<K>> = keys.zip(stored.iter().map(version)).collect();
            (stored, wishes)
        });
        let answers = self.load(wishes, began, timeout).await;
        stored.into_iter().zip(answers).collect()
    }

    async fn load(
        &self,
        wishes: Vec<Wish<K>>,
        began: Stamp,
        timeout: Duration,
    ) -> Vec<Result<crate::sources::Fetched<V>, Error>> {
        let MemoConfig { loader, .. } = &self.config;
        let keys = wishes.len();
        let counted = Counted { core: self, calls: Calls::default() };
        let fetch = async { Arc::clone(loader).fetch(wishes, began).await };
        let fetch = counted.calls.of(AssertUnwindSafe(fetch).catch_unwind());
        let what = loader.describe();
        let failed = |kind, message: String| {
            (0..keys).map(|_| Err(Error::new(kind, message.clone()))).collect()
        };
        let fetched: Vec<Fetch<V>> = match tokio::time::timeout(timeout, fetch).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(_)) => return failed(ErrorKind::Panic, format!("{what} panicked")),
            Err(_) => {
                let message = format!("{what} did not answer within {timeout:.1?}");
                return failed(ErrorKind::Timeout, message);
            }
        };
        let missing = format!("{} results for {} keys", fetched.len(), keys);
        let missing = || Err(FetchError::new(ErrorKind::Source, missing.clone()));
        let fetched = fetched.into_iter().chain(std::iter::repeat_with(missing));
        let error = |failure: FetchError| failure.into_error(format!("{what} failed"));
        fetched.take(keys).map(|it| it.map_err(error)).collect()
    }
}

/// Counts the calls of a fetch, however it ends.
struct Counted<'a, K, V> {
    core: &'a MemoCore<K, V>,
    calls: Calls,
}

impl<K, V> Drop for Counted<'_, K, V> {
    fn drop(&mut self) {
        self.core.counts.called(self.calls.count());
    }
}

/// Records in its span, when dropped, how a fetch ended. A fetch that is dropped before that was
/// cancelled.
struct FetchTrace {
    span: Span,
    outcome: &'static str,
    clock: Clocks,
    began: Stamp,
}

impl FetchTrace {
    fn of<K, V>(core: &MemoCore<K, V>, tickets: &[Arc<Ticket<K>>], began: Stamp) -> Self {
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
