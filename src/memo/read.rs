//! Reads of a memo: look, and if what is held will not do, join the key's fetch and wait.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::watch;

use super::Memo;
use super::family::Family;
use super::flights::Outcome;
use crate::error::Error;
use crate::refresher::{Keyed, Message};
use crate::snapshot::{Life, Read, ReadKind, Reader, Value};

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The result for a key, within its max age now.
    ///
    /// If it is held and fresh this is a memory read; otherwise it waits for a fetch, which
    /// concurrent readers share.
    ///
    /// # Errors
    ///
    /// What the fetch failed with; [`ErrorKind::Declaration`](crate::ErrorKind::Declaration) if an
    /// option of the memo cannot be; [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) if the
    /// refresher has ended and nothing fresh is held.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe, and cancels nothing for other readers.
    pub async fn get(&self, key: impl Borrow<K> + Send) -> Result<Value<V>, Error> {
        let (family, key) = (self.family()?, key.borrow());
        // No fetch is an answer to this read yet, so only what is fresh as it is will do.
        let read = Read { kind: ReadKind::Entry, after: u64::MAX };
        if let Some(found) = family.look(key, read) {
            family.counts.hit();
            if found.due && family.ahead(key) {
                self.tell_of(family);
            }
            return found.answer;
        }
        family.counts.missed();
        Box::pin(self.fetch(family, key, ReadKind::Entry)).await
    }

    /// Fetches the result for a key, however fresh it is, and returns what came: nothing that was
    /// asked for before the call.
    ///
    /// # Errors
    ///
    /// The failure of the fetch, `stale_if_error` or not; otherwise as [`get`](Self::get). What was
    /// held stays, and its age.
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    pub async fn refresh(&self, key: impl Borrow<K> + Send) -> Result<Value<V>, Error> {
        Box::pin(self.fetch(self.family()?, key.borrow(), ReadKind::Forced)).await
    }

    /// Declares that what is held of a key is wrong: no read that begins after this returns gets it,
    /// and a fetch that is under way is discarded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Declaration`](crate::ErrorKind::Declaration) if an option of the memo cannot
    /// be.
    ///
    /// # Cancel safety
    ///
    /// Once polled it has happened.
    pub async fn invalidate(&self, key: impl Borrow<K> + Send) -> Result<(), Error> {
        let family = self.family()?;
        if family.invalidate(key.borrow()) {
            self.tell_of(family);
        }
        Ok(())
    }

    /// Waits for fetches of a key until one brings what this read may have.
    ///
    /// No end of a fetch is missed: joining it and its landing exclude each other.
    async fn fetch(
        &self,
        family: &Arc<Family<K, V>>,
        key: &K,
        kind: ReadKind,
    ) -> Result<Value<V>, Error> {
        let refresher = &self.0.cache.refresher;
        let read = Read { kind, after: refresher.reader().fetches() };
        let mut life = refresher.reader().changes();
        loop {
            let mut waiting = match family.join(key, read) {
                Ok(found) => return found.answer,
                Err(outcome) => Waiting { reader: refresher.reader(), family, key, outcome },
            };
            let told = refresher.tell(Message::Keyed(Arc::clone(family) as _)).await;
            told.map_err(|error| family.error(key, &error))?;
            tokio::select! {
                // What has come is an answer even if there will be no other.
                biased;
                _ = waiting.outcome.changed() => {}
                stopped = life.wait_for(|life| matches!(life, Life::Stopped(_))) => {
                    if let Ok(Life::Stopped(error)) = stopped.as_deref() {
                        return Err(family.error(key, error));
                    }
                }
            }
            let landed = waiting.outcome.borrow().clone();
            if let Some(found) = landed.and_then(|landed| family.accept(&landed, read)) {
                return found.answer;
            }
        }
    }

    /// Has the refresher look at what is to be fetched. If it has ended, those who wait are told so.
    fn tell_of(&self, family: &Arc<Family<K, V>>) {
        self.0.cache.refresher.tell_now(Message::Keyed(Arc::clone(family) as Arc<dyn Keyed>));
    }
}

/// A reader that waits for a key's fetch, and may go before it comes.
struct Waiting<'a, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    reader: &'a Reader,
    family: &'a Family<K, V>,
    key: &'a K,
    outcome: watch::Receiver<Outcome>,
}

impl<K, V> Drop for Waiting<'_, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.outcome.borrow().is_none() {
            // Who waits is who holds a receiver.
            self.outcome = watch::channel(None).1;
            self.family.leave(self.key);
            self.reader.one_has_left();
        }
    }
}
