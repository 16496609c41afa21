//! The read path: load, look at the clocks, compare; and on the far side of the bound, ask and wait.
//!
//! A reader never trusts that what it waited for is what it needs. It looks at each published state
//! itself and, if that does not do (a fetch it joined was frozen in flight, say), asks again.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Cache;
use crate::clock::Stamp;
use crate::engine::Cause;
use crate::entry::Key;
use crate::error::Error;
use crate::refresher::Message;
use crate::snapshot::{Read, ReadKind, RefresherStatus, Snapshot, State, Value, Verdict};

/// The future of [`Cache::snapshot`]: written out, because the state machine of an `async fn` would
/// be a good part of what a read costs.
struct TakeSnapshot<'a> {
    cache: &'a Cache,
    waiting: Option<Pin<Box<dyn Future<Output = Snapshot> + Send + 'a>>>,
}

impl Future for TakeSnapshot<'_> {
    type Output = Snapshot;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Snapshot> {
        let cache = self.cache;
        if self.waiting.is_none()
            && let Some(snapshot) = cache.fresh_snapshot()
        {
            return Poll::Ready(snapshot);
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(cache.snapshot_when_fresh()));
        waiting.as_mut().poll(context)
    }
}

impl Cache {
    /// Every entry at one instant, each within its max age or holding its own error.
    ///
    /// If all are fresh this is a memory read: two clock readings, one comparison. Otherwise it fetches
    /// those that are not, in as few calls as their sources allow, and waits for them.
    ///
    /// It does not wait for lazy entries that nothing has read yet: they are errors in the snapshot. It
    /// waits only for a moment for an entry whose last refresh failed
    /// ([`wait_if_failing`](crate::sources::Entry::wait_if_failing)); if that fails again, the entry is
    /// an error in the snapshot, or served stale where
    /// [`stale_if_error`](crate::sources::Entry::stale_if_error) allows it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe, and cancels nothing for other readers.
    #[inline]
    pub fn snapshot(&self) -> impl Future<Output = Snapshot> + Send + '_ {
        TakeSnapshot { cache: self, waiting: None }
    }

    /// A snapshot, if the bound of the present state holds.
    #[inline(always)]
    fn fresh_snapshot(&self) -> Option<Snapshot> {
        let state = self.refresher.reader().load();
        let now = self.clock.now();
        state.bounds.admits(now).then(|| Snapshot::vouched(state, now))
    }

    #[cold]
    async fn snapshot_when_fresh(&self) -> Snapshot {
        let read = self.begin(ReadKind::Snapshot);
        let mut asked = false;
        let look = |state: &Arc<State>, now: Stamp| {
            if state.bounds.admits(now) {
                return ControlFlow::Break(Snapshot::vouched(Arc::clone(state), now));
            }
            let waits = state.entries().any(|(slot, definition)| {
                matches!(state.verdict(slot, definition, read, now), Verdict::Wait)
            });
            // Even if nothing has to wait: somebody must look after what is failing.
            if waits || !std::mem::replace(&mut asked, true) {
                ControlFlow::Continue(waits)
            } else {
                ControlFlow::Break(Snapshot::judged(Arc::clone(state), now, read, None))
            }
        };
        match self.wait(None, read, Cause::Read, look).await {
            Ok(snapshot) => snapshot,
            Err(stopped) => {
                let state = self.refresher.reader().load();
                Snapshot::judged(state, self.clock.now(), read, Some(stopped))
            }
        }
    }

    /// One entry's value, within its max age now.
    ///
    /// For handlers that run long enough for their snapshot to age, and for lazy entries. If the
    /// value is fresh this is a memory read; otherwise it waits for a fetch, which concurrent readers
    /// share. While the entry fails, it waits for another attempt only for a moment
    /// ([`wait_if_failing`](crate::sources::Entry::wait_if_failing)).
    ///
    /// # Errors
    ///
    /// The failure of the entry's last fetch, with the value's age, its bound and the cause;
    /// [`ErrorKind::Key`](crate::ErrorKind::Key) for a key of another cache;
    /// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) if the refresher has ended and the value is
    /// no longer fresh.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe, and cancels nothing for other readers.
    #[inline]
    pub async fn get<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Value<T>, Error> {
        self.read(key, ReadKind::Entry).await
    }

    /// As [`get`](Self::get), with the reader's own bound on the age: several readers with different
    /// bounds share one entry.
    ///
    /// The entry's max age holds as well, so a longer `age` changes nothing; zero always fetches.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    pub async fn get_within<T: Send + Sync + 'static>(
        &self,
        key: Key<T>,
        age: Duration,
    ) -> Result<Value<T>, Error> {
        self.read(key, ReadKind::Within(age)).await
    }

    /// Fetches the entry, however fresh it is, and returns what came: nothing that was asked for
    /// before the call. Takes no account of backing off.
    ///
    /// # Errors
    ///
    /// The failure of the fetch, `stale_if_error` or not; otherwise as [`get`](Self::get). The
    /// entry keeps the value it has, and its age.
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get): the fetch goes on.
    pub async fn refresh<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Value<T>, Error> {
        self.read(key, ReadKind::Forced).await
    }

    #[inline]
    async fn read<T: Send + Sync + 'static>(
        &self,
        key: Key<T>,
        kind: ReadKind,
    ) -> Result<Value<T>, Error> {
        let state = self.refresher.reader().load();
        // No fetch is an answer to this read yet, so only what is fresh as it is will do.
        let read = Read { kind, after: u64::MAX };
        if let Some(answer) = state.answer(key, read, self.clock.now()) {
            return answer;
        }
        drop(state);
        Box::pin(self.read_when_fresh(key, kind)).await
    }

    #[cold]
    async fn read_when_fresh<T: Send + Sync + 'static>(
        &self,
        key: Key<T>,
        kind: ReadKind,
    ) -> Result<Value<T>, Error> {
        let read = self.begin(kind);
        let look = |state: &Arc<State>, now: Stamp| match state.answer(key, read, now) {
            Some(answer) => ControlFlow::Break(answer),
            None => ControlFlow::Continue(true),
        };
        let cause = if kind == ReadKind::Forced { Cause::Forced } else { Cause::Read };
        match self.wait(Some(key.entry), read, cause, look).await {
            Ok(result) => result,
            Err(stopped) => {
                let state = self.refresher.reader().load();
                let (slot, definition) = state.find(key)?;
                Err(slot.error(definition, &stopped, self.clock.now()))
            }
        }
    }

    pub(super) fn begin(&self, kind: ReadKind) -> Read {
        Read { kind, after: self.refresher.reader().fetches() }
    }

    /// Looks at each state until one does, asking the refresher each time one does not: it may wait
    /// (`Continue(true)`), or only wants it to know (`Continue(false)`).
    ///
    /// No change is missed: changes count from before the look.
    pub(super) async fn wait<R>(
        &self,
        entry: Option<usize>,
        read: Read,
        cause: Cause,
        mut look: impl FnMut(&Arc<State>, Stamp) -> ControlFlow<R, bool>,
    ) -> Result<R, Error> {
        let reader = self.refresher.reader();
        let mut changes = reader.changes();
        let _waiting = reader.waiting(entry);
        loop {
            // guarantee 5: the state before the clocks. guarantee 6: whatever was waited for is judged again.
            let state = reader.load();
            let waits = match look(&state, self.clock.now()) {
                ControlFlow::Break(result) => return Ok(result),
                ControlFlow::Continue(waits) => waits,
            };
            drop(state);
            self.refresher.tell(Message::Read { entry, read, cause, waits }).await?;
            if let RefresherStatus::Stopped(error) = &*changes.borrow() {
                return Err(error.clone());
            }
            if waits {
                // The sender lives as long as the reader does, so this cannot fail.
                _ = changes.changed().await;
            }
        }
    }
}
