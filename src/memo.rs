//! [`Memo`]: an async function's results by key, each as fresh as an entry.

mod answers;
mod counts;
mod family;
mod flights;
mod kept;

use std::borrow::Borrow;
use std::error::Error as StdError;
use std::fmt;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use crate::cache::Cache;
use crate::entry::Options;
use crate::error::{Error, ErrorKind};
use crate::refresher::{Keyed, Message};
use crate::snapshot::{Life, Read, ReadKind, Value};
use crate::sources::ByKey;

use answers::{Answers, Function, Requests};
pub use counts::MemoStats;
use family::{Design, Family};
use kept::{Bound, BytesBound};

/// How many keys a memo keeps unless its user says otherwise.
const ENTRIES: NonZero<usize> = NonZero::new(1000).unwrap();

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
    family: OnceLock<Result<Arc<Family<K, V>>, Error>>,
}

type DynAnswers<K, V> = Arc<dyn Answers<K, V>>;

/// What a memo's user has said of it so far.
struct Blueprint<K, V> {
    options: Options,
    bound: Bound<K>,
    cache_errors_for: Duration,
    /// Where values come from, unless that was declared wrongly.
    answers: Result<DynAnswers<K, V>, Error>,
    /// An option that cannot be.
    invalid: Option<&'static str>,
}

impl<K, V> Clone for Blueprint<K, V> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            bound: self.bound.clone(),
            answers: self.answers.clone(),
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
    /// The name is what errors and traces call the memo; they do not show keys.
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
        let answers = source.map(|source| Arc::new(Requests::new(values, source)) as _);
        Memo::new(self, name.into(), answers)
    }
}

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn new(cache: &Cache, name: String, answers: Result<DynAnswers<K, V>, Error>) -> Self {
        let blueprint = Blueprint {
            options: Options { name: Some(name), ..Options::default() },
            bound: Bound { entries: ENTRIES, bytes: None },
            cache_errors_for: Duration::ZERO,
            answers,
            invalid: None,
        };
        Self::of(cache.clone(), blueprint)
    }

    fn of(cache: Cache, blueprint: Blueprint<K, V>) -> Self {
        Self(Arc::new(Shared { cache, blueprint, family: OnceLock::new() }))
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
        self.with(|it| match NonZero::new(most) {
            Some(most) => it.bound.entries = most,
            None => it.invalid = Some("`max_entries` of zero keeps nothing"),
        })
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
        let weigh = move |key: &K, value: &crate::snapshot::AnyValue| match value.downcast_ref() {
            Some(value) => weigh(key, value) as u64,
            None => unreachable!("a memo's values are of its value type"),
        };
        self.with(|it| match NonZero::new(most) {
            Some(most) => it.bound.bytes = Some(BytesBound { most, weigh: Arc::new(weigh) }),
            None => it.invalid = Some("`max_bytes` of zero keeps nothing"),
        })
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

    /// Keep an error for this long: reads of a key that failed get it without another attempt.
    /// Defaults to zero.
    #[must_use]
    pub fn cache_errors_for(self, long: Duration) -> Self {
        self.with(|it| it.cache_errors_for = long)
    }

    /// The result for a key, within its max age now.
    ///
    /// If it is held and fresh this is a memory read; otherwise it waits for a fetch, which
    /// concurrent readers share.
    ///
    /// # Errors
    ///
    /// What the fetch failed with; [`ErrorKind::Declaration`] if an option of the memo cannot be;
    /// [`ErrorKind::Stopped`] if the refresher has ended and nothing fresh is held.
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
                self.0.cache.refresher.tell_now(Message::Keyed(Arc::clone(family) as _));
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
    /// [`ErrorKind::Declaration`] if an option of the memo cannot be.
    pub async fn invalidate(&self, key: impl Borrow<K> + Send) -> Result<(), Error> {
        let family = self.family()?;
        if family.invalidate(key.borrow()) {
            // If the refresher has ended, those who wait for it are told so.
            let fetch = Message::Keyed(Arc::clone(family) as Arc<dyn Keyed>);
            _ = self.0.cache.refresher.tell(fetch).await;
        }
        Ok(())
    }

    /// How many keys are kept, expired ones that nothing has displaced included.
    pub fn len(&self) -> usize {
        self.family().map_or(0, |family| family.len())
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of reads and fetches so far.
    pub fn stats(&self) -> MemoStats {
        self.family().map_or_else(|_| MemoStats::default(), |it| it.counts.stats(it.len()))
    }

    fn family(&self) -> Result<&Arc<Family<K, V>>, Error> {
        let Shared { cache, blueprint, family } = &*self.0;
        let family = family.get_or_init(|| {
            let Blueprint { options, bound, cache_errors_for, answers, invalid } =
                blueprint.clone();
            let name: Arc<str> = Arc::from(options.name.as_deref().unwrap_or_default());
            let answers = answers.map_err(|error| error.entry_named(&name))?;
            let definition = family::definition::<V>(options, answers.describe())?;
            if let Some(message) = invalid {
                let error = Error::new(ErrorKind::Declaration, message);
                return Err(error.entry_named(&definition.name));
            }
            let patience = cache.refresher.reader().load().catalog.patience;
            let clock = cache.clock.clone();
            let design = Design { definition, bound, cache_errors_for, patience, clock, answers };
            Ok(Arc::new(Family::new(design)))
        });
        family.as_ref().map_err(Error::clone)
    }

    /// Waits for fetches of a key until one brings what this read may have.
    async fn fetch(
        &self,
        family: &Arc<Family<K, V>>,
        key: &K,
        kind: ReadKind,
    ) -> Result<Value<V>, Error> {
        let refresher = &self.0.cache.refresher;
        let read = Read { kind, after: refresher.reader().fetches() };
        let named = |error: Error| error.entry_named(&family.design().definition.name);
        let mut life = refresher.reader().changes();
        loop {
            let mut outcome = match family.join(key, read) {
                Ok(found) => return found.answer,
                Err(outcome) => outcome,
            };
            refresher.tell(Message::Keyed(Arc::clone(family) as _)).await.map_err(named)?;
            tokio::select! {
                _ = outcome.changed() => {}
                stopped = life.wait_for(|life| matches!(life, Life::Stopped(_))) => {
                    if let Ok(Life::Stopped(error)) = stopped.as_deref() {
                        return Err(named(error.clone()));
                    }
                }
            }
            let landed = outcome.borrow_and_update().clone();
            if let Some(found) = landed.and_then(|slot| family.judge(&slot, read)) {
                return found.answer;
            }
        }
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
