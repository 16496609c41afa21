//! [`Memo`]: an async function's results by key, each as fresh as an entry.

mod core;
mod declare;
mod fetch;
#[cfg(all(test, feature = "shuttle"))]
#[path = "../tests/interleavings/memo.rs"]
mod interleavings;
mod landing;
mod loader;
mod read;
mod store;
mod tickets;

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub use declare::MemoBuilder;

use self::core::MemoCore;
use self::declare::MemoSpec;
use crate::cache::Cache;
use crate::error::{Error, ErrorKind};
use crate::refresher::Message;
use crate::stats::MemoStats;

/// Every memo of the process has a number of its own.
static MEMOS: AtomicU64 = AtomicU64::new(1);

/// A bounded number of results by key, each within its max age.
///
/// Declared with [`Builder::memo`](crate::Builder::memo) or [`Cache::memo`]. Each key has the promise of
/// an entry: a read never gets a result whose fetch began its max age ago or longer, across freezes of
/// any length; concurrent reads of one key share one fetch; nothing is in flight when the environment
/// freezes. Reading a key that is due refreshes it in the background, so keys in use do not expire.
/// Errors are not kept. Clones share one memo, which lives as long as its last clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::Builder;
/// use std::time::Duration;
///
/// # struct Account { name: String }
/// # async fn fetch_account(id: u64) -> Result<Account, std::io::Error> { Ok(Account { name: format!("{id}") }) }
/// let mut builder = Builder::new();
/// let accounts = builder
///     .memo("accounts", fetch_account)
///     .max_entries(64)
///     .max_age(Duration::from_secs(300))
///     .build();
/// let cache = builder.spawn().await?;
/// assert_eq!(accounts.get(42).await?.name, "42"); // fetched
/// assert_eq!(accounts.get(42).await?.name, "42"); // a memory read
/// assert_eq!(accounts.stats().api_calls, 1);
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
pub struct Memo<K, V>(Arc<Handle<K, V>>);

struct Handle<K, V> {
    name: Arc<str>,
    /// Set when the cache is there.
    connected: OnceLock<Connected<K, V>>,
}

struct Connected<K, V> {
    cache: Cache,
    core: Arc<MemoCore<K, V>>,
}

/// The last handle is gone: so is what is stored, and what is fetched.
impl<K, V> Drop for Connected<K, V> {
    fn drop(&mut self) {
        self.cache.refresher.tell_now(Message::MemoGone { memo: self.core.number });
    }
}

impl<K, V> Memo<K, V> {
    fn named(name: &str) -> Self {
        Self(Arc::new(Handle { name: Arc::from(name), connected: OnceLock::new() }))
    }

    fn connected(&self) -> Result<&Connected<K, V>, Error> {
        self.0.connected.get().ok_or_else(|| {
            let message = "its cache has not been spawned";
            Error::new(ErrorKind::NotLoaded, message).entry_named(&self.0.name)
        })
    }
}

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn connect(&self, cache: &Cache, spec: MemoSpec<K, V>) {
        let number = MEMOS.fetch_add(1, Ordering::Relaxed);
        let core = MemoCore::shared(number, spec.config(cache));
        _ = self.0.connected.set(Connected { cache: cache.clone(), core });
    }

    /// How many keys are kept, expired ones that nothing has displaced included.
    pub fn len(&self) -> usize {
        self.connected().map_or(0, |it| it.core.store.len())
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of reads and fetches so far.
    pub fn stats(&self) -> MemoStats {
        let stats = |it: &Connected<K, V>| it.core.counts.stats(it.core.store.len());
        self.connected().map_or_else(|_| MemoStats::default(), stats)
    }
}

impl<K, V> Clone for Memo<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Its name; never its keys or values.
impl<K, V> fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("name", &self.0.name).finish_non_exhaustive()
    }
}
