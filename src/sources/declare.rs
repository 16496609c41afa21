//! [`Entry`]: what to ask for, how the answer is decoded, and how old it may be; [`ByKey`]: the same for the
//! keys of a memo. [`Connections`]: the sources that both share.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Source};
use crate::decode::DecodeError;
use crate::entry::{Loading, Options};
use crate::error::{Error, SharedError};
use crate::freshness::Ahead;
use crate::snapshot::AnyValue;

/// What one entry asks a source for, as its user declares it.
pub trait Declare: Sized {
    /// The source it asks.
    type Source: Source;

    /// Tells the name that the entry's user gave it, before `declare`.
    fn named(&mut self, _name: &str) {}

    /// Checks what was declared and finds the source that serves it.
    ///
    /// An error here is reported by [`Builder::spawn`](crate::Builder::spawn).
    fn declare(self, connections: &mut Connections) -> Result<Declared<Self::Source>, Error>;
}

/// A request, checked, with the source that serves it.
pub struct Declared<S: Source> {
    /// The source; entries that share it are fetched in batches.
    pub source: Arc<S>,
    /// The request; entries that share it are fetched once.
    pub request: S::Request,
    /// The entry's name unless its user gave it another.
    pub name: Option<String>,
}

impl<S: Source> fmt::Debug for Declared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared")
            .field("request", &self.request.to_string())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pub(crate) type Payload<D> = <<D as Declare>::Source as Source>::Payload;
/// From a payload to a value.
pub(crate) type DecodeFn<P, T> = Arc<dyn Fn(&P) -> Result<Prepared<T>, DecodeError> + Send + Sync>;

/// A value that is decoded, or still to be derived.
pub(crate) enum Prepared<T> {
    Ready(T),
    Deriving(BoxFuture<'static, Result<T, SharedError>>),
}

/// Derives an entry's value from what was decoded.
pub(crate) struct Derivation(pub(crate) BoxFuture<'static, Result<AnyValue, SharedError>>);

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").finish_non_exhaustive()
    }
}

impl<T: 'static> Prepared<T> {
    /// The value, derived if need be.
    pub(crate) async fn finish(self) -> Result<T, SharedError> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::Deriving(value) => value.await,
        }
    }

    /// Decodes the value further, now or when it has been derived.
    #[cfg(feature = "aws")]
    pub(crate) fn and_then<U>(
        self,
        convert: impl FnOnce(T) -> Result<U, DecodeError> + Send + 'static,
    ) -> Result<Prepared<U>, DecodeError> {
        match self {
            Self::Ready(value) => convert(value).map(Prepared::Ready),
            Self::Deriving(value) => Ok(Prepared::Deriving(Box::pin(async move {
                convert(value.await?).map_err(|error| Arc::new(error) as SharedError)
            }))),
        }
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U + Send + 'static) -> Prepared<U> {
        match self {
            Self::Ready(value) => Prepared::Ready(convert(value)),
            Self::Deriving(value) => {
                Prepared::Deriving(Box::pin(async move { value.await.map(convert) }))
            }
        }
    }
}

/// An entry for [`Builder::add`](crate::Builder::add): what to ask for (`D`), what the answer is
/// decoded to (`T`), its name and how old it may be.
///
/// Sources have the constructors, such as [`ssm::parameter`](super::ssm::parameter) and
/// [`from_fn`](super::function::from_fn), and options beside the ones here.
#[must_use = "an entry is fetched only when it is added to a builder"]
pub struct Entry<D: Declare, T> {
    pub(crate) asks: D,
    pub(crate) options: Options,
    pub(crate) decode: DecodeFn<Payload<D>, T>,
}

impl<D: Declare, T> Entry<D, T> {
    /// An entry whose source answers `asks`, decoded by `decode`.
    pub fn new(
        asks: D,
        decode: impl Fn(&Payload<D>) -> Result<T, DecodeError> + Send + Sync + 'static,
    ) -> Self {
        let decode = move |payload: &Payload<D>| decode(payload).map(Prepared::Ready);
        Self { asks, options: Options::default(), decode: Arc::new(decode) }
    }

    /// A unique name, used in errors, in traces and by [`Cache::key`](crate::Cache::key).
    ///
    /// Defaults to the last segment of the path of what is asked for. Two entries of one name are
    /// an error at [`spawn`](crate::Builder::spawn).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// The hard bound: no read returns a value requested this long ago or longer.
    ///
    /// Zero means that every read fetches. Defaults to 60 seconds.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.policy.max_age = Some(age);
        self
    }

    /// The value never expires: it is fetched once, and again only on request
    /// ([`Cache::refresh`](crate::Cache::refresh), [`Cache::invalidate`](crate::Cache::invalidate)),
    /// or after [`refresh_after`](Self::refresh_after) where that is set.
    pub fn never_expires(mut self) -> Self {
        self.options.policy.max_age = None;
        self
    }

    /// The former name of [`never_expires`](Self::never_expires).
    #[deprecated = "use `never_expires`"]
    pub fn once(self) -> Self {
        self.never_expires()
    }

    /// The soft bound: an older value is still served, but is due for a refresh in the background.
    ///
    /// Up to a tenth is taken off at random, so that environments which started together do not
    /// refresh together. Set to the max age itself, nothing is refreshed ahead.
    ///
    /// By default the traffic decides when an entry is refreshed ([`ahead`](Self::ahead)); where timers
    /// run (Managed Instances, servers), it is at three quarters of the max age.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.options.policy.refresh_after = Some(age);
        self
    }

    /// Whether the value is refreshed ahead of need, in an environment that freezes: see [`Ahead`].
    ///
    /// Beside [`refresh_after`](Self::refresh_after) it is an error at [`spawn`](crate::Builder::spawn).
    /// Defaults to what the cache's builder says ([`Builder::ahead`](crate::Builder::ahead)).
    pub fn ahead(mut self, ahead: Ahead) -> Self {
        self.options.policy.ahead = Some(ahead);
        self
    }

    /// While refreshes fail, serves the last value for this long beyond its max age, marked stale
    /// (RFC 5861). A failure never resets the age. Defaults to zero.
    pub fn stale_if_error(mut self, longer: Duration) -> Self {
        self.options.policy.stale_if_error = longer;
        self
    }

    /// How long a read waits for another attempt while refreshes fail and the value has expired.
    /// Then it gets the stale value where that is allowed, or the error. An attempt that takes longer
    /// goes on, for later reads.
    ///
    /// Defaults to three times what the source usually takes, but 50 milliseconds at least and 1
    /// second at most.
    pub fn wait_if_failing(mut self, wait: Duration) -> Self {
        self.options.policy.wait_if_failing = Some(wait);
        self
    }

    /// How long one fetch may take, all its attempts together. Within an invocation it is cut to less
    /// than the time left. Entries that share a request share the shortest timeout.
    ///
    /// Defaults to the cache's [`operation_timeout`](crate::Builder::operation_timeout). Zero is an
    /// error at [`spawn`](crate::Builder::spawn).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Fetches at the first read rather than at init, so that init neither waits for it nor fails
    /// with it. From then on the entry is kept fresh like any other.
    pub fn lazy(mut self) -> Self {
        self.options.loading = Loading::Lazy;
        self
    }

    /// Starts the first fetch at init, which neither waits for it nor fails with it. Reads wait for
    /// it.
    pub fn in_background(mut self) -> Self {
        self.options.loading = Loading::InBackground;
        self
    }

    /// Builds what handlers use from each new value, such as a connection pool from a secret.
    ///
    /// The function runs only when the value's version has changed; a source without versions, such
    /// as [`from_fn`](super::function::from_fn), changes with each refresh. Entries that share the
    /// request do not wait for it. The previous result lives as long as a reader holds it.
    ///
    /// The future is dropped when it and the fetch together take longer than the operation timeout,
    /// or when the environment is about to freeze, so it must be cancel safe. Its error or panic is
    /// the entry's ([`ErrorKind::Derive`](crate::ErrorKind::Derive)), which then is tried again.
    /// Errors must not contain secrets.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use lambda_cache::{Builder, from_fn};
    /// # async fn fetch_words() -> Result<String, std::io::Error> { Ok("a b".into()) }
    /// async fn count(words: String) -> Result<usize, std::io::Error> {
    ///     Ok(words.split(' ').count())
    /// }
    ///
    /// let mut builder = Builder::new();
    /// let words = builder.add(from_fn("words", fetch_words).derive(count));
    /// let cache = builder.spawn().await?;
    /// assert_eq!(*cache.get(words).await?, 2);
    /// # Ok::<_, lambda_cache::Error>(()) }).unwrap();
    /// ```
    pub fn derive<F, Fut, U, E>(self, function: F) -> Entry<D, U>
    where
        D: 'static,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send + 'static,
        T: Send + 'static,
        U: 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (decode, function) = (self.decode, Arc::new(function));
        let decode = move |payload: &Payload<D>| {
            let (prepared, function) = (decode(payload)?, Arc::clone(&function));
            let value: BoxFuture<'static, Result<U, SharedError>> = Box::pin(async move {
                let value = prepared.finish().await?;
                function(value).await.map_err(|error| SharedError::from(error.into()))
            });
            Ok(Prepared::Deriving(value))
        };
        Entry { asks: self.asks, options: self.options, decode: Arc::new(decode) }
    }
}

impl<D: Declare, T> fmt::Debug for Entry<D, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("holds", &type_name::<T>())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The sources of one cache, each made once and shared by all entries it serves.
#[derive(Default)]
pub struct Connections {
    /// By type and name.
    made: HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>,
}

impl Connections {
    /// The source of type `S` called `which` (a region, say), made at its first use.
    pub fn shared<S: Source>(&mut self, which: &str, make: impl FnOnce(&Self) -> S) -> Arc<S> {
        self.find_or_make(which, make)
    }

    /// The one `T` of the cache, made at its first use: what sources share with each other.
    #[cfg(feature = "aws")]
    pub(crate) fn singleton<T: Default + Send + Sync + 'static>(&mut self) -> Arc<T> {
        self.find_or_make("", |_| T::default())
    }

    fn find_or_make<T: Send + Sync + 'static>(
        &mut self,
        name: &str,
        make: impl FnOnce(&Self) -> T,
    ) -> Arc<T> {
        let key = (TypeId::of::<T>(), name.to_owned());
        if let Some(made) = self.made.get(&key)
            && let Ok(made) = Arc::clone(made).downcast()
        {
            return made;
        }
        let made = Arc::new(make(self));
        self.made.insert(key, Arc::clone(&made) as _);
        made
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("made", &self.made.len()).finish_non_exhaustive()
    }
}

/// Values by key, of a source that can fetch many of them in one call: what
/// [`Cache::memo_from`](crate::Cache::memo_from) makes a memo of.
///
/// ```
/// # use lambda_cache::sources::{BoxFuture, Fetch, Fetched, Source, Wanted, count_call};
/// # struct Prices;
/// # impl Source for Prices {
/// #     type Request = u32;
/// #     type Payload = f64;
/// #     fn fetch(&self, batch: Vec<Wanted<u32>>) -> BoxFuture<'_, Vec<Fetch<f64>>> {
/// #         count_call();
/// #         Box::pin(async move { batch.iter().map(|_| Ok(Fetched::current(0.0, None))).collect() })
/// #     }
/// # }
/// use lambda_cache::sources::{ByKey, Connections};
/// use lambda_cache::{DecodeError, Error};
/// use std::sync::Arc;
///
/// struct PriceOf;
///
/// impl ByKey for PriceOf {
///     type Key = u32;
///     type Value = f64;
///     type Source = Prices; // its request is an article's number, its payload a price
///
///     fn source(&self, connections: &mut Connections) -> Result<Arc<Prices>, Error> {
///         Ok(connections.shared("", |_| Prices))
///     }
///     fn request(&self, article: &u32) -> u32 {
///         *article
///     }
///     fn decode(&self, price: &f64) -> Result<f64, DecodeError> {
///         Ok(*price)
///     }
///     fn describe(&self) -> String {
///         "prices:Get".to_owned()
///     }
/// }
/// ```
pub trait ByKey: Send + Sync + 'static {
    /// What values are found by.
    type Key;
    /// What they are decoded to.
    type Value;
    /// The source they come from.
    type Source: Source;

    /// Checks what was declared and finds the source.
    fn source(&self, connections: &mut Connections) -> Result<Arc<Self::Source>, Error>;

    /// The request for one key. Different keys must have different requests.
    fn request(&self, key: &Self::Key) -> <Self::Source as Source>::Request;

    /// A value from what the source answered. Errors must not quote it.
    fn decode(
        &self,
        payload: &<Self::Source as Source>::Payload,
    ) -> Result<Self::Value, DecodeError>;

    /// The operation and what it asks for, without a key: for errors.
    fn describe(&self) -> String;
}
