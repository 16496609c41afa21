//! Reads of a memo: look, and if what is stored will not do, wait for the key's fetch.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use super::core::{Found, Joined, KeyLook, MemoCore};
use super::tickets::Progress;
use super::{Connected, Memo};
use crate::cache::Cache;
use crate::error::Error;
use crate::refresher::Message;
use crate::snapshot::{Read, ReadKind, Reader, RefresherStatus, Value, Waiting};
use crate::sync::watch;

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The result for a key, within its max age now.
    ///
    /// If it is stored and fresh this is a memory read; otherwise it waits for a fetch, which
    /// concurrent readers share.
    ///
    /// # Errors
    ///
    /// What the fetch failed with; [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) if the refresher
    /// has ended and nothing fresh is stored; [`ErrorKind::NotLoaded`](crate::ErrorKind::NotLoaded)
    /// before the cache is spawned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe, and cancels nothing for other readers.
    pub async fn get(&self, key: impl Borrow<K> + Send) -> Result<Value<V>, Error> {
        let (Connected { cache, core }, key) = (self.connected()?, key.borrow());
        // No fetch is an answer to this read yet, so only what is fresh as it is will do.
        let read = Read { kind: ReadKind::Entry, after: u64::MAX };
        let turn = cache.refresher.reader().turn();
        if let Some(found) = core.look(key, KeyLook { read, turn, slow: false }) {
            core.counts.hit();
            if found.due
                && let Some(asked) = core.ahead(key)
            {
                let memo = Arc::clone(core) as _;
                cache.refresher.suggest(Message::Key { memo, asked });
            }
            return found.answer;
        }
        core.counts.missed();
        Box::pin(fetch(cache, core, key, ReadKind::Entry)).await
    }

    /// Fetches the result for a key, however fresh it is, and returns what came: nothing that was
    /// asked for before the call.
    ///
    /// # Errors
    ///
    /// The failure of the fetch, `stale_if_error` or not; otherwise as [`get`](Self::get). What was
    /// stored stays, and its age.
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    pub async fn refresh(&self, key: impl Borrow<K> + Send) -> Result<Value<V>, Error> {
        let Connected { cache, core } = self.connected()?;
        Box::pin(fetch(cache, core, key.borrow(), ReadKind::Forced)).await
    }

    /// Declares that what is stored of a key is wrong: no read that begins after this returns gets it,
    /// and a fetch that is under way is discarded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoaded`](crate::ErrorKind::NotLoaded) before the cache is spawned.
    ///
    /// # Cancel safety
    ///
    /// Once polled it has happened.
    pub async fn invalidate(&self, key: impl Borrow<K> + Send) -> Result<(), Error> {
        let Connected { cache, core } = self.connected()?;
        let refresher = &cache.refresher;
        let (removed, again) = core.invalidate(key.borrow());
        drop(removed);
        if let Some(asked) = again {
            refresher.tell_now(Message::Key { memo: Arc::clone(core) as _, asked });
        }
        Ok(())
    }
}

/// Waits for fetches of a key until one brings what this read may have.
///
/// No end of a fetch is missed: joining it and its landing exclude each other.
// guarantee 14
async fn fetch<K, V>(
    cache: &Cache,
    core: &Arc<MemoCore<K, V>>,
    key: &K,
    kind: ReadKind,
) -> Result<Value<V>, Error>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let refresher = &cache.refresher;
    let reader = refresher.reader();
    let read = Read { kind, after: reader.fetches() };
    let mut status = reader.changes();
    loop {
        let look = KeyLook { read, turn: reader.turn(), slow: false };
        let Joined { waiter, failing } = match core.join(key, look) {
            Ok(found) => return found.answer,
            Err(joined) => joined,
        };
        let asked = core.asked(waiter.ticket, waiter.count, failing);
        let _waiting = Leaving { waiting: Some(waiter.waiting), reader };
        let told = refresher.tell(Message::Key { memo: Arc::clone(core) as _, asked }).await;
        told.map_err(|error| core.error(key, &error))?;
        let mut progress = waiter.progress;
        let found = tokio::select! {
            // What has come is an answer even if there will be no other.
            biased;
            found = core.wait(key, &mut progress, KeyLook { turn: reader.turn(), ..look }) => found,
            stopped = status.wait_for(|it| matches!(it, RefresherStatus::Stopped(_))) => {
                match stopped.as_deref() {
                    Ok(RefresherStatus::Stopped(error)) => return Err(core.error(key, error)),
                    _ => None,
                }
            }
        };
        if let Some(found) = found {
            return found.answer;
        }
    }
}

impl<K, V> MemoCore<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// What a read gets of a ticket that it waits for; `None` if it has to ask again.
    async fn wait(
        &self,
        key: &K,
        progress: &mut watch::Receiver<Progress>,
        look: KeyLook,
    ) -> Option<Found<V>> {
        loop {
            let now = progress.borrow_and_update().clone();
            match now {
                Progress::Pending => {}
                Progress::Slow => {
                    if let Some(found) = self.look(key, KeyLook { slow: true, ..look }) {
                        return Some(found);
                    }
                }
                Progress::Landed(landed) => return self.accept(&landed, look),
            }
            // The ticket has gone without an answer.
            progress.changed().await.ok()?;
        }
    }
}

/// A reader that waits for a key, and says so when it leaves.
struct Leaving<'a> {
    waiting: Option<Waiting>,
    reader: &'a Reader,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        // First not counted any more, then heard.
        self.waiting = None;
        self.reader.one_has_left();
    }
}
