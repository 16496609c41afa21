//! Where a memo's values come from, one key at a time or many in one call.

use std::error::Error as StdError;
use std::sync::Arc;

use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::{BoxFuture, Fetch, FetchError, Fetched, count_call};

/// A key to be fetched, and the version of its value that is held.
pub(crate) type Wish<K> = (K, Option<Version>);

/// Fetches and decodes the values of keys.
pub(crate) trait Answers<K, V>: Send + Sync {
    /// Splits keys into batches that are fetched independently.
    fn plan(&self, due: Vec<K>) -> Vec<Vec<K>> {
        due.into_iter().map(|key| vec![key]).collect()
    }

    /// One result for each key of a batch, in their order. Dropped when it takes too long.
    fn fetch(self: Arc<Self>, batch: Vec<Wish<K>>) -> BoxFuture<'static, Vec<Fetch<V>>>;

    /// What is tried, in words: for errors.
    fn describe(&self) -> String;

    /// Forgets connections and credentials.
    fn reset(&self) {}
}

/// An async function of the key.
pub(super) struct Function<F>(pub(super) F);

impl<K, V, F, Fut, E> Answers<K, V> for Function<F>
where
    K: Send + 'static,
    V: Send + 'static,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn fetch(self: Arc<Self>, batch: Vec<Wish<K>>) -> BoxFuture<'static, Vec<Fetch<V>>> {
        Box::pin(async move {
            let mut fetched = Vec::with_capacity(batch.len());
            for (key, _) in batch {
                count_call();
                fetched.push(match (self.0)(key).await {
                    Ok(value) => Ok(Fetched::current(value, None)),
                    Err(cause) => Err(FetchError::new(ErrorKind::Source, cause)),
                });
            }
            fetched
        })
    }

    fn describe(&self) -> String {
        "its function".to_owned()
    }
}
