//! [`Memo`]: an async function's results by key, each as fresh as an entry.

mod core;
mod counts;
mod fetch;
mod key_state;
mod landing;
mod loader;
mod read;
mod store;
mod tickets;
mod trace;

use std::any::TypeId;
use std::error::Error as StdError;
use std::fmt;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use crate::cache::Cache;
use crate::entry::Options;
use crate::error::{Error, ErrorKind};
use crate::freshness;
use crate::refresher::Message;
use crate::snapshot::AnyValue;
use crate::sources::ByKey;

use self::core::{MemoConfig, MemoCore};
pub use counts::MemoStats;
use loader::{Function, Loader, Requests};
use store::{Bound, BytesBound, Weigh};

/// How many keys a memo keeps unless its user says otherwise.
const ENTRIES: usize = 1000;

/// Results by key, each within its max age, of which a bounded number is kept.
///
/// Made by [`Cache::memo`], and then given its options, before the first read. Each key is what an
/// entry is to a cache: a read never gets a result whose fetch began its max age ago or longer,
/// across freezes of any length; concurrent reads of one key share one fetch; nothing is in flight
/// when the environment freezes. Reading a key that is due for refresh has it fetched in the
/// background, so keys in use do not expire. Errors are not kept. Clones share one memo, which lives as
/// long as its last clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lambda_cache::Builder;
/// use std::time::Duration;
///
/// # struct Account { name: String }
/// # async fn fetch_account(id: u64) -> Result<Account, std::io::Error> { Ok(Account { name: format!("{id}") }) }
/// let cache = Builder::new().spawn().await?;
/// let accounts = cache
///     .memo("accounts", fetch_account)
///     .max_entries(64)
///     .max_age(Duration::from_secs(300));
/// assert_eq!(accounts.get(42).await?.name, "42"); // fetched
/// assert_eq!(accounts.get(42).await?.name, "42"); // a memory read
/// assert_eq!(accounts.stats().api_calls, 1);
/// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
/// ```
pub struct Memo<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    cache: Cache,
    blueprint: Blueprint<K, V>,
    /// Made at the first use, when all options are known.
    core: OnceLock<Result<Arc<MemoCore<K, V>>, Error>>,
}

/// The last handle is gone: so is what is stored, and what is fetched.
impl<K, V> Drop for Shared<K, V> {
    fn drop(&mut self) {
        if let Some(Ok(core)) = self.core.get() {
            self.cache.refresher.tell_now(Message::MemoGone { memo: core.number });
        }
    }
}

/// Every memo of the process has a number of its own.
static MEMOS: AtomicU64 = AtomicU64::new(1);

type DynLoader<K, V> = Arc<dyn Loader<K, V>>;

/// What a memo's user has said of it so far.
struct Blueprint<K, V> {
    options: Options,
    max_entries: usize,
    max_bytes: Option<(u64, Weigh<K>)>,
    cache_errors_for: Duration,
    /// Where values come from, unless that was declared wrongly.
    loader: Result<DynLoader<K, V>, Error>,
}

impl<K, V> Clone for Blueprint<K, V> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            max_bytes: self.max_bytes.clone(),
            loader: self.loader.clone(),
            ..*self
        }
    }
}

impl Cache {
    /// An async function's results by key: [`Memo`].
    ///
    /// The function is called for keys that are not held, and again when they are due. Its future is
    /// dropped, not awaited further, when it takes longer than the operation timeout or the
    /// environment is about to freeze, so it must be cancel safe. Its errors reach readers as the
    /// cause of theirs, so they must not contain secrets. A panic in it is the key's error.
    ///
    /// The name is what errors and traces call the memo; they do not show keys. The function runs in a
    /// span of its fetch, `refresh`, whose empty field `key` it may record.
    pub fn memo<K, V, F, Fut, E>(&self, name: impl Into<String>, function: F) -> Memo<K, V>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Memo::new(self, name.into(), Ok(Arc::new(Function(function))))
    }

    /// Values of a source by key, such as [`dynamodb::items`](crate::sources::dynamodb::items):
    /// keys that are missed or due together are fetched in as few calls as the source can make.
    ///
    /// What is wrong with the declaration is the error of the first read
    /// ([`ErrorKind::Declaration`]).
    pub fn memo_from<M>(&self, name: impl Into<String>, values: M) -> Memo<M::Key, M::Value>
    where
        M: ByKey,
        M::Key: Clone + Eq + Hash + Send + Sync + 'static,
        M::Value: Send + Sync + 'static,
    {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let source = values.source(&mut connections);
        let loader = source.map(|source| Arc::new(Requests::new(values, source)) as _);
        Memo::new(self, name.into(), loader)
    }
}

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn new(cache: &Cache, name: String, loader: Result<DynLoader<K, V>, Error>) -> Self {
        let blueprint = Blueprint {
            options: Options { name: Some(name), ..Options::default() },
            max_entries: ENTRIES,
            max_bytes: None,
            cache_errors_for: Duration::ZERO,
            loader,
        };
        Self::of(cache.clone(), blueprint)
    }

    fn of(cache: Cache, blueprint: Blueprint<K, V>) -> Self {
        Self(Arc::new(Shared { cache, blueprint, core: OnceLock::new() }))
    }

    /// A memo like this one in all but one option, which holds nothing yet.
    fn with(self, change: impl FnOnce(&mut Blueprint<K, V>)) -> Self {
        let mut blueprint = self.0.blueprint.clone();
        change(&mut blueprint);
        Self::of(self.0.cache.clone(), blueprint)
    }

    /// The most keys that are kept. Where one more comes the least valuable goes: keys that are read
    /// often stay, those that were read once go first. Defaults to 1,000.
    ///
    /// Zero is an error ([`ErrorKind::Declaration`]) at the first read.
    #[must_use]
    pub fn max_entries(self, most: usize) -> Self {
        self.with(|it| it.max_entries = most)
    }

    /// The most bytes that all kept keys and values may come to, by the count of `weigh`, beside
    /// [`max_entries`](Self::max_entries). No bound by default.
    ///
    /// A value that is larger than all may be is returned, and not kept. Zero is an error
    /// ([`ErrorKind::Declaration`]) at the first read.
    #[must_use]
    pub fn max_bytes(
        self,
        most: u64,
        weigh: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
    ) -> Self {
        let weigh = move |key: &K, value: &AnyValue| match value.downcast_ref() {
            Some(value) => weigh(key, value) as u64,
            None => unreachable!("a memo's values are of its value type"),
        };
        self.with(|it| it.max_bytes = Some((most, Arc::new(weigh))))
    }

    /// The hard bound: a result whose fetch began this long ago or longer is not served. Zero means
    /// that every read fetches. Defaults to 60 seconds.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        self.with(|it| it.options.policy.max_age = Some(age))
    }

    /// The soft bound: an older result is still served, and reading it has it fetched in the
    /// background. Up to a tenth is taken off at random. Set to the max age itself, nothing is
    /// fetched ahead. Defaults to three quarters of the max age.
    #[must_use]
    pub fn refresh_after(self, age: Duration) -> Self {
        self.with(|it| it.options.policy.refresh_after = Some(age))
    }

    /// While fetches fail, serve a key's last result for this long beyond its max age, marked stale
    /// (RFC 5861). Defaults to zero.
    #[must_use]
    pub fn stale_if_error(self, longer: Duration) -> Self {
        self.with(|it| it.options.policy.stale_if_error = longer)
    }

    /// How long one fetch may take, all its attempts together. Within an invocation it is cut to less
    /// than the time left. Defaults to the cache's
    /// [`operation_timeout`](crate::Builder::operation_timeout).
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|it| it.options.timeout = Some(timeout))
    }

    /// How long a read waits for another attempt while fetches of its key fail, before it gets the
    /// stale result where that is allowed, or the error. Defaults to three times what fetches usually
    /// take, within 50 milliseconds and 1 second.
    #[must_use]
    pub fn wait_if_failing(self, wait: Duration) -> Self {
        self.with(|it| it.options.policy.wait_if_failing = Some(wait))
    }

    /// Keep an error for this long: reads of a key that failed get it without another attempt.
    /// Defaults to zero.
    #[must_use]
    pub fn cache_errors_for(self, long: Duration) -> Self {
        self.with(|it| it.cache_errors_for = long)
    }

    /// How many keys are kept, expired ones that nothing has displaced included.
    pub fn len(&self) -> usize {
        self.core().map_or(0, |core| core.store.len())
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of reads and fetches so far.
    pub fn stats(&self) -> MemoStats {
        self.core().map_or_else(|_| MemoStats::default(), |it| it.counts.stats(it.store.len()))
    }

    #[inline]
    fn core(&self) -> Result<&Arc<MemoCore<K, V>>, Error> {
        let Shared { cache, blueprint, core } = &*self.0;
        let made = || {
            let config = blueprint.clone().config(cache)?;
            Ok(MemoCore::shared(MEMOS.fetch_add(1, Ordering::Relaxed), config))
        };
        core.get_or_init(made).as_ref().map_err(Error::clone)
    }
}

impl<K, V: 'static> Blueprint<K, V> {
    /// What the memo is, or what is wrong with its options.
    fn config(self, cache: &Cache) -> Result<MemoConfig<K, V>, Error> {
        let Self { options, max_entries, max_bytes, cache_errors_for, loader } = self;
        let name: Arc<str> = Arc::from(options.name.as_deref().unwrap_or_default());
        let loader = loader.map_err(|error| error.entry_named(&name))?;
        let definition = options.check(None, (0, loader.describe()), TypeId::of::<V>())?;
        let invalid = |message| Error::new(ErrorKind::Declaration, message).entry_named(&name);
        let entries = NonZero::new(max_entries)
            .ok_or_else(|| invalid("`max_entries` of zero keeps nothing"))?;
        let bytes = |(most, weigh)| {
            let most = NonZero::new(most);
            let most = most.ok_or_else(|| invalid("`max_bytes` of zero keeps nothing"))?;
            Ok(BytesBound { most, weigh })
        };
        let bound = Bound { entries, bytes: max_bytes.map(bytes).transpose()? };
        let timeout = definition.timeout.unwrap_or(cache.operation_timeout);
        let frozen_after = freshness::frozen_after(timeout);
        let clock = cache.clock.clone();
        Ok(MemoConfig { definition, bound, cache_errors_for, timeout, frozen_after, clock, loader })
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
        let name = self.0.blueprint.options.name.as_deref().unwrap_or_default();
        f.debug_struct("Memo").field("name", &name).finish_non_exhaustive()
    }
}
