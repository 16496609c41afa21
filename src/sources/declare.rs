//! [`Entry`]: a request, how its answer is decoded, and how old it may be.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Connections, Source};
use crate::decode::DecodeError;
use crate::entry::{Loading, Options};
use crate::error::{Cause, Error};
use crate::snapshot::AnyValue;

/// What one entry asks a source for, as its user declares it.
pub trait Declare: Sized {
    /// The source it asks.
    type Source: Source;

    /// Tells the name that the entry's user gave it, before it is declared.
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

/// A value, at once or in a while.
pub(crate) enum Prepared<T> {
    Ready(T),
    /// It is derived from what was decoded.
    Deriving(BoxFuture<'static, Result<T, Cause>>),
}

/// What makes an entry's value of what was decoded.
pub(crate) struct Derivation(pub(crate) BoxFuture<'static, Result<AnyValue, Cause>>);

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").finish_non_exhaustive()
    }
}

impl<T: 'static> Prepared<T> {
    /// The value, once it is there.
    pub(crate) async fn finish(self) -> Result<T, Cause> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::Deriving(value) => value.await,
        }
    }

    /// What it is decoded to further, in which it may fail: at once, or once the value is there.
    pub(crate) fn and_then<U>(
        self,
        convert: impl FnOnce(T) -> Result<U, DecodeError> + Send + 'static,
    ) -> Result<Prepared<U>, DecodeError> {
        match self {
            Self::Ready(value) => convert(value).map(Prepared::Ready),
            Self::Deriving(value) => Ok(Prepared::Deriving(Box::pin(async move {
                convert(value.await?).map_err(|error| Arc::new(error) as Cause)
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

/// An entry, ready for [`Builder::add`](crate::Builder::add): what to ask for (`D`), what it is
/// decoded to (`T`), its name and how old it may be.
///
/// The constructors are those of the sources, such as [`ssm::parameter`](super::ssm::parameter) and
/// [`from_fn`](super::function::from_fn); each adds options of its own to the ones here.
pub struct Entry<D: Declare, T> {
    pub(crate) asks: D,
    pub(crate) options: Options,
    pub(crate) decode: DecodeFn<Payload<D>, T>,
}

impl<D: Declare, T> Entry<D, T> {
    /// An entry that asks for this and is decoded so.
    pub fn new(
        asks: D,
        decode: impl Fn(&Payload<D>) -> Result<T, DecodeError> + Send + Sync + 'static,
    ) -> Self {
        let decode = move |payload: &Payload<D>| decode(payload).map(Prepared::Ready);
        Self { asks, options: Options::default(), decode: Arc::new(decode) }
    }

    /// The name, by which [`Cache::key`](crate::Cache::key), errors and traces know the entry.
    ///
    /// Defaults to the last segment of the path of what is asked for. Two entries of one name are
    /// an error at [`spawn`](crate::Builder::spawn).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// The hard bound: a value whose request began this long ago or longer is not served.
    ///
    /// Zero means that every read fetches. Defaults to 60 seconds.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.policy.max_age = Some(age);
        self
    }

    /// The value never expires: it is fetched once, and again only on request
    /// ([`Cache::refresh`](crate::Cache::refresh), [`Cache::invalidate`](crate::Cache::invalidate)),
    /// or after [`refresh_after`](Self::refresh_after) where that is set.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.options.policy.max_age = None;
        self
    }

    /// The soft bound: an older value is still served, but is due for a refresh in the background.
    ///
    /// Up to a tenth is taken off at random, so that environments which started together do not
    /// refresh together. Set to the max age itself, nothing is refreshed ahead. Defaults to three
    /// quarters of the max age.
    #[must_use]
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.options.policy.refresh_after = Some(age);
        self
    }

    /// While refreshes fail, serve the last value for this long beyond its max age, marked stale
    /// (RFC 5861). A failure never resets the age. Defaults to zero.
    #[must_use]
    pub fn stale_if_error(mut self, longer: Duration) -> Self {
        self.options.policy.stale_if_error = longer;
        self
    }

    /// How long a read waits for another attempt while refreshes fail and the value has expired, before
    /// it gets the stale value where that is allowed, or the error. An attempt that takes longer goes
    /// on, and later reads get what it brings.
    ///
    /// Defaults to three times what the source usually takes, within 50 milliseconds and 1 second.
    #[must_use]
    pub fn wait_if_failing(mut self, wait: Duration) -> Self {
        self.options.policy.wait_if_failing = Some(wait);
        self
    }

    /// How long one fetch may take, all its attempts together. Within an invocation it is cut to less
    /// than the time left. Entries that share a request share the shortest of theirs.
    ///
    /// Defaults to the cache's [`operation_timeout`](crate::Builder::operation_timeout). Zero is an
    /// error at [`spawn`](crate::Builder::spawn).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Fetch at the first read rather than at init, so that init neither waits for it nor fails
    /// with it. From then on it is kept fresh as any other.
    #[must_use]
    pub fn lazy(mut self) -> Self {
        self.options.loading = Loading::Lazy;
        self
    }

    /// Begin to fetch at init, which neither waits for it nor fails with it. Reads wait for it.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.options.loading = Loading::InBackground;
        self
    }

    /// Makes of each new value what handlers need of it: a connection pool of a secret, a model of an
    /// object.
    ///
    /// The function runs when the value's version has changed, and not while it stays; a source
    /// without versions, such as [`from_fn`](super::function::from_fn), changes with each refresh.
    /// Entries that want the value as it is need not wait for it. What was derived before lives as
    /// long as a reader holds it.
    ///
    /// The future is dropped, not awaited further, when it and the fetch together take longer than
    /// the operation timeout, or when the environment is about to freeze, so it must be cancel safe.
    /// Its error or panic is the entry's ([`ErrorKind::Derive`](crate::ErrorKind::Derive)), which
    /// then is tried again. Errors must not contain secrets.
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
            let value: BoxFuture<'static, Result<U, Cause>> = Box::pin(async move {
                let value = prepared.finish().await?;
                function(value).await.map_err(|error| Cause::from(error.into()))
            });
            Ok(Prepared::Deriving(value))
        };
        Entry { asks: self.asks, options: self.options, decode: Arc::new(decode) }
    }

    /// The same entry, what it holds decoded further.
    #[cfg(feature = "aws")]
    pub(crate) fn then<U>(
        self,
        convert: impl Fn(&T) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Entry<D, U>
    where
        D: 'static,
        T: Send + 'static,
    {
        let Self { asks, options, decode } = self;
        let convert = Arc::new(convert);
        let decode = move |payload: &Payload<D>| {
            let convert = Arc::clone(&convert);
            decode(payload)?.and_then(move |value| convert(&value))
        };
        Entry { asks, options, decode: Arc::new(decode) }
    }

    /// The same entry, decoded in another way.
    #[cfg(feature = "aws")]
    pub(crate) fn decoded<U>(
        self,
        decode: impl Fn(&Payload<D>) -> Result<U, DecodeError> + Send + Sync + 'static,
    ) -> Entry<D, U> {
        Entry { options: self.options, ..Entry::new(self.asks, decode) }
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
