//! Any async function as a source.
//!
//! Version: none, so every answer counts as a change.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use lambda_cache::{Builder, from_fn};
//!
//! async fn fetch_rates() -> Result<Vec<f64>, std::io::Error> {
//!     Ok(vec![1.08, 0.86]) // from an API, say
//! }
//!
//! let mut builder = Builder::new();
//! let rates = builder.add(from_fn("rates", fetch_rates));
//! let cache = builder.spawn().await?;
//! assert_eq!(cache.snapshot().await.get(rates)?.len(), 2);
//! # Ok::<_, lambda_cache::Error>(()) }).unwrap();
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
    count_call,
};
use crate::decode::DecodeError;
use crate::error::{Error, ErrorKind};

/// An entry that holds what an async function returns.
///
/// The function is called at each refresh. Its future is dropped when it takes longer than the
/// operation timeout or the environment is about to freeze, so it must be cancel safe. Its errors
/// reach readers as the cause of the entry's error, so they must not contain secrets. A panic in it
/// is the entry's error.
pub fn from_fn<F, Fut, T, E>(name: impl Into<String>, function: F) -> Entry<FromFn<F>, T>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
    FromFn<F>: Declare<Source = Function<T>>,
{
    let name = name.into();
    Entry::new(FromFn { name, function }, Returned::take)
}

/// What an entry made by [`from_fn`] asks for: a call of its function.
pub struct FromFn<F> {
    name: String,
    function: F,
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F, Fut, T, E> Declare for FromFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Source = Function<T>;

    fn declare(self, _: &mut Connections) -> Result<Declared<Function<T>>, Error> {
        let function = self.function;
        let call = move || -> BoxFuture<'static, Fetch<Returned<T>>> {
            count_call();
            let future = function();
            Box::pin(async move {
                let value = future.await.map_err(|it| FetchError::new(ErrorKind::Source, it))?;
                Ok(Fetched::current(Returned(Mutex::new(Some(value))), None))
            })
        };
        Ok(Declared {
            source: Arc::new(Function { call: Box::new(call) }),
            request: Call(self.name.clone()),
            name: Some(self.name),
        })
    }
}

/// An async function as a [`Source`] of one request.
pub struct Function<T> {
    call: Box<dyn Fn() -> BoxFuture<'static, Fetch<Returned<T>>> + Send + Sync>,
}

/// The value that the function returned, for the one entry that asked for it.
pub struct Returned<T>(Mutex<Option<T>>);

impl<T> Returned<T> {
    fn take(&self) -> Result<T, DecodeError> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| DecodeError::new("the function's value has already been taken"))
    }
}

impl<T> fmt::Debug for Returned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Returned").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Function<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}

/// The request of a [`Function`]: a call, by the entry's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call(String);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {}", self.0)
    }
}

impl<T: Send + 'static> Source for Function<T> {
    type Request = Call;
    type Payload = Returned<T>;

    fn fetch(&self, _: Vec<Wanted<Call>>) -> BoxFuture<'_, Vec<Fetch<Returned<T>>>> {
        Box::pin(async move { vec![(self.call)().await] })
    }
}
