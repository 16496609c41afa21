//! [`MemoBuilder`]: a memo that is being declared, in a [`Builder`] or in a [`Cache`].

use std::any::TypeId;
use std::error::Error as StdError;
use std::fmt;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Memo;
use super::core::MemoConfig;
use super::loader::{Function, Loader, Requests};
use super::store::{Bound, BytesBound, Weigh};
use crate::cache::{Builder, Cache};
use crate::entry::{Definition, Options};
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Ahead};
use crate::snapshot::AnyValue;
use crate::sources::{ByKey, Connections};

/// How many keys a memo keeps by default.
const ENTRIES: usize = 1000;

/// A memo that is being declared: its options, and then [`build`](Self::build).
///
/// Made by [`Builder::memo`] before the cache is spawned, or by [`Cache::memo`] after that.
#[must_use = "a memo is made by `build`"]
pub struct MemoBuilder<P, K, V> {
    /// The builder or the cache that it belongs to.
    place: P,
    options: Options,
    max_entries: usize,
    max_bytes: Option<(u64, Weigh<K>)>,
    cache_errors_for: Duration,
    /// Where values come from, unless that was declared wrongly.
    loader: Result<Arc<dyn Loader<K, V>>, Error>,
}

/// A memo, as declared and checked.
pub(super) struct MemoSpec<K, V> {
    pub(super) definition: Definition,
    pub(super) bound: Bound<K>,
    pub(super) cache_errors_for: Duration,
    pub(super) loader: Arc<dyn Loader<K, V>>,
}

impl Builder {
    /// Declares a memo: an async function's results by key. See [`Memo`].
    ///
    /// [`spawn`](Self::spawn) reports invalid options, together with those of entries. The memo can be
    /// read once the cache has been spawned.
    ///
    /// The function is called for keys that are not stored, and again when they are due. Its future is
    /// dropped, not awaited further, when it takes longer than the memo's timeout or the environment is
    /// about to freeze, so it must be cancel safe. Its errors reach readers as the cause of theirs, so
    /// they must not contain secrets. A panic in it is the key's error.
    ///
    /// The name is used in errors and traces; they do not show keys. The function runs in a span of its
    /// fetch, `refresh`, whose empty field `key` it may record.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # async fn fetch_account(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
    /// let mut builder = lambda_cache::Builder::new();
    /// let accounts = builder.memo("accounts", fetch_account).max_entries(64).build();
    /// let cache = builder.spawn().await?;
    /// assert_eq!(*accounts.get(42).await?, "42");
    /// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
    /// ```
    pub fn memo<K, V, F, Fut, E>(
        &mut self,
        name: impl Into<String>,
        function: F,
    ) -> MemoBuilder<&mut Self, K, V>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        MemoBuilder::new(self, name.into(), Ok(Arc::new(Function(function))))
    }

    /// Declares a memo of a source's values by key, such as
    /// [`dynamodb::items`](crate::sources::dynamodb::items): keys that are missed or due together are
    /// fetched in as few calls as the source can make.
    ///
    /// [`spawn`](Self::spawn) reports invalid options.
    pub fn memo_from<M>(
        &mut self,
        name: impl Into<String>,
        values: M,
    ) -> MemoBuilder<&mut Self, M::Key, M::Value>
    where
        M: ByKey,
        M::Key: Clone + Eq + Hash + Send + Sync + 'static,
        M::Value: Send + Sync + 'static,
    {
        let loader = loader_of(values, self.connections());
        MemoBuilder::new(self, name.into(), loader)
    }
}

impl Cache {
    /// As [`Builder::memo`], for a cache that has been spawned:
    /// `cache.memo("accounts", fetch_account).max_entries(64).build()?`.
    pub fn memo<K, V, F, Fut, E>(
        &self,
        name: impl Into<String>,
        function: F,
    ) -> MemoBuilder<&Self, K, V>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        MemoBuilder::new(self, name.into(), Ok(Arc::new(Function(function))))
    }

    /// As [`Builder::memo_from`], for a cache that has been spawned.
    pub fn memo_from<M>(
        &self,
        name: impl Into<String>,
        values: M,
    ) -> MemoBuilder<&Self, M::Key, M::Value>
    where
        M: ByKey,
        M::Key: Clone + Eq + Hash + Send + Sync + 'static,
        M::Value: Send + Sync + 'static,
    {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let loader = loader_of(values, &mut connections);
        drop(connections);
        MemoBuilder::new(self, name.into(), loader)
    }
}

fn loader_of<M>(
    values: M,
    connections: &mut Connections,
) -> Result<Arc<dyn Loader<M::Key, M::Value>>, Error>
where
    M: ByKey,
    M::Key: Clone + Send + Sync + 'static,
    M::Value: Send + 'static,
{
    let source = values.source(connections)?;
    Ok(Arc::new(Requests::new(values, source)))
}

impl<K, V> MemoBuilder<&mut Builder, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The memo, to be read once the cache has been spawned.
    pub fn build(self) -> Memo<K, V> {
        let memo = Memo::named(self.options.name.as_deref().unwrap_or_default());
        let (builder, spec) = self.check();
        let connects = memo.clone();
        let connect = spec.map(|spec| {
            let name = Arc::clone(&spec.definition.name);
            (name, move |cache: &Cache| connects.connect(cache, spec))
        });
        builder.add_later(connect);
        memo
    }
}

impl<K, V> MemoBuilder<&Cache, K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The memo.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Declaration`] if an option of the memo, or what it fetches, is invalid.
    pub fn build(self) -> Result<Memo<K, V>, Error> {
        let memo = Memo::named(self.options.name.as_deref().unwrap_or_default());
        let (cache, spec) = self.check();
        memo.connect(cache, spec?);
        Ok(memo)
    }
}

impl<P, K, V> MemoBuilder<P, K, V> {
    fn new(place: P, name: String, loader: Result<Arc<dyn Loader<K, V>>, Error>) -> Self {
        Self {
            place,
            options: Options { name: Some(name), ..Options::default() },
            max_entries: ENTRIES,
            max_bytes: None,
            cache_errors_for: Duration::ZERO,
            loader,
        }
    }

    /// The most keys that are kept. A further key evicts the least valuable one: keys that are read often
    /// stay, keys that were read once go first. Zero is an error. Defaults to 1,000.
    pub fn max_entries(mut self, most: usize) -> Self {
        self.max_entries = most;
        self
    }

    /// The most bytes of all kept keys and values together, as `weigh` counts them, beside
    /// [`max_entries`](Self::max_entries). A value larger than that is returned, but not kept. Zero is an
    /// error. No bound by default.
    pub fn max_bytes(
        mut self,
        most: u64,
        weigh: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
    ) -> Self
    where
        V: 'static,
    {
        let weigh = move |key: &K, value: &AnyValue| match value.downcast_ref() {
            Some(value) => weigh(key, value) as u64,
            None => unreachable!("a memo's values are of its value type"),
        };
        self.max_bytes = Some((most, Arc::new(weigh)));
        self
    }

    /// The hard bound: a result whose fetch began this long ago or longer is not served. Zero means
    /// that every read fetches. Defaults to 60 seconds.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.policy.max_age = Some(age);
        self
    }

    /// The soft bound: an older result is still served, and reading it refreshes it in the background.
    /// Up to a tenth is taken off at random. Set to the max age itself, nothing is refreshed ahead.
    /// Longer than the max age is an error. By default the traffic decides ([`ahead`](Self::ahead)), and
    /// at three quarters of the max age a result is due whatever the traffic.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.options.policy.refresh_after = Some(age);
        self
    }

    /// Whether keys in use are refreshed ahead of need: by the read that finds a key which would have
    /// expired at the next invocation. Beside [`refresh_after`](Self::refresh_after) it is an error.
    /// Defaults to what the cache's builder says ([`Builder::ahead`]).
    pub fn ahead(mut self, ahead: Ahead) -> Self {
        self.options.policy.ahead = Some(ahead);
        self
    }

    /// While fetches fail, serve a key's last result for this long beyond its max age, marked stale
    /// (RFC 5861). Defaults to zero.
    pub fn stale_if_error(mut self, longer: Duration) -> Self {
        self.options.policy.stale_if_error = longer;
        self
    }

    /// How long a read waits for another attempt while fetches of its key fail, before it gets the
    /// stale result where that is allowed, or the error. Defaults to three times what fetches usually
    /// take, within 50 milliseconds and 1 second.
    pub fn wait_if_failing(mut self, wait: Duration) -> Self {
        self.options.policy.wait_if_failing = Some(wait);
        self
    }

    /// How long one fetch may take, all its attempts together. Within an invocation it is cut to less
    /// than the time left. Zero is an error. Defaults to the cache's
    /// [`operation_timeout`](Builder::operation_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Keep an error for this long: reads of a key that failed get it without another attempt.
    /// Defaults to zero.
    pub fn cache_errors_for(mut self, long: Duration) -> Self {
        self.cache_errors_for = long;
        self
    }

    /// Checks the options; returns the place beside the result.
    fn check(self) -> (P, Result<MemoSpec<K, V>, Error>)
    where
        V: 'static,
    {
        let Self { place, options, max_entries, max_bytes, cache_errors_for, loader } = self;
        let name: Arc<str> = Arc::from(options.name.as_deref().unwrap_or_default());
        let check = || {
            let loader = loader?;
            let definition = options.check(None, (0, loader.describe()), TypeId::of::<V>())?;
            let invalid = |message| Error::new(ErrorKind::Declaration, message);
            let entries = NonZero::new(max_entries)
                .ok_or_else(|| invalid("`max_entries` of zero keeps nothing"))?;
            let bytes = |(most, weigh)| {
                let most = NonZero::new(most);
                let most = most.ok_or_else(|| invalid("`max_bytes` of zero keeps nothing"))?;
                Ok::<_, Error>(BytesBound { most, weigh })
            };
            let bound = Bound { entries, bytes: max_bytes.map(bytes).transpose()? };
            Ok(MemoSpec { definition, bound, cache_errors_for, loader })
        };
        let spec = check().map_err(|error: Error| error.entry_named(&name));
        (place, spec)
    }
}

impl<K, V> MemoSpec<K, V> {
    /// The configuration of the memo of a cache.
    pub(super) fn config(self, cache: &Cache) -> MemoConfig<K, V> {
        let Self { mut definition, bound, cache_errors_for, loader } = self;
        definition.policy.ahead.get_or_insert(cache.ahead);
        let timeout = definition.timeout.unwrap_or(cache.operation_timeout);
        let frozen_after = freshness::frozen_after(timeout);
        let clock = cache.clock.clone();
        MemoConfig { definition, bound, cache_errors_for, timeout, frozen_after, clock, loader }
    }
}

/// Its name; never its keys or values.
impl<P, K, V> fmt::Debug for MemoBuilder<P, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
