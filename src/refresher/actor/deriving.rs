//! Deriving an entry's value from what was fetched, in a task of its own: entries that share the fetch
//! do not wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Actor;
use super::fetches::{Flight, Running, Stage};
use crate::clock::{self, Stamp};
use crate::entry::Version;
use crate::error::{Cause, Error, ErrorKind};
use crate::refresher::job::{Finished, Outcome, Part, Target};
use crate::snapshot::{AnyValue, Held};
use crate::sources::{BoxFuture, Calls};

/// A value that is being derived.
pub(super) struct Deriving {
    /// The task that derives it, and the last fetch that brought or confirmed what it comes from.
    pub(super) flight: Flight,
    pub(super) version: Version,
    lifetime: Option<Duration>,
}

impl Deriving {
    /// A later fetch says that this is still the version.
    pub(super) fn revalidated(&mut self, began: Stamp, fetch: u64, lifetime: Option<Duration>) {
        self.flight = Flight { began, number: fetch, ..self.flight };
        self.lifetime = lifetime;
    }

    /// The value, which is as old as what it comes from.
    pub(super) fn hold(self, value: AnyValue) -> Held {
        let Flight { began, number: fetch, .. } = self.flight;
        Held { value, began, fetch, version: self.version, lifetime: self.lifetime }
    }
}

/// What an entry's value comes from.
pub(super) struct Origin {
    pub(super) fetched: Flight,
    pub(super) source: usize,
    pub(super) version: Version,
    pub(super) lifetime: Option<Duration>,
}

impl Actor {
    /// Starts deriving an entry's value.
    pub(super) fn derive(
        &mut self,
        entry: usize,
        value: BoxFuture<'static, Result<AnyValue, Cause>>,
        origin: Origin,
        now: Stamp,
    ) {
        let Origin { fetched, source, version, lifetime } = origin;
        let definition = &self.publisher.catalog().entries[entry];
        let request = definition.request;
        let local = self.requests[request].local();
        let what = self.sources[source].describe(local);
        let spent = clock::duration(now.monotonic - fetched.began.monotonic);
        let left = self.settings.operation_timeout.saturating_sub(spent).min(self.timeout(now));
        let span = tracing::debug_span!(
            "derive",
            entry = %definition.name,
            outcome = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        );
        let derive = async move {
            let from = format!("deriving it from the answer of {what}");
            let outcome = match tokio::time::timeout(left, value).await {
                Ok(Ok(value)) => Ok(Outcome::Derived(value)),
                Ok(Err(cause)) => {
                    Err(Error::new(ErrorKind::Derive, format!("{from} failed")).caused_by(cause))
                }
                Err(_) => {
                    let message = format!("{from} took longer than the {left:.1?} left for it");
                    Err(Error::new(ErrorKind::Timeout, message))
                }
            };
            vec![Finished { request, outcomes: vec![(entry, outcome)] }]
        };
        let abort = self.jobs.spawn(derive);
        let flight = Flight { task: abort.id(), ..fetched };
        self.deriving.insert(entry, Deriving { flight, version, lifetime });
        let target = Target { entry, held: None, decode: Arc::clone(&self.decoders[entry]) };
        let running = Running {
            abort,
            stage: Stage::Derive,
            source,
            parts: vec![Part { request, local, targets: vec![target] }],
            invocation: self.invocations,
            spans: HashMap::from([(request, span)]),
            calls: Calls::default(),
        };
        self.running.insert(flight.task, running);
    }
}
