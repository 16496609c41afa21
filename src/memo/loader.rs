//! Where a memo's values come from, one key at a time or many in one call.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::Stamp;
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::sources::{
    Answered, BoxFuture, ByKey, Fetch, FetchError, Fetched, Source, Wanted, count_call,
};

/// A key to be fetched, and the version of its value that is held.
pub(crate) type Wish<K> = (K, Option<Version>);

/// Fetches and decodes the values of keys.
pub(crate) trait Loader<K, V>: Send + Sync {
    /// Splits keys into batches that are fetched independently.
    fn plan(&self, due: Vec<K>) -> Vec<Vec<K>> {
        due.into_iter().map(|key| vec![key]).collect()
    }

    /// One result for each key of a batch, in their order. Dropped when it takes too long.
    fn fetch(
        self: Arc<Self>,
        batch: Vec<Wish<K>>,
        began: Stamp,
    ) -> BoxFuture<'static, Vec<Fetch<V>>>;

    /// What is tried, in words: for errors.
    fn describe(&self) -> String;

    /// Forgets connections and credentials.
    fn reset(&self) {}
}

/// An async function of the key.
pub(super) struct Function<F>(pub(super) F);

impl<K, V, F, Fut, E> Loader<K, V> for Function<F>
where
    K: Send + 'static,
    V: Send + 'static,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn fetch(self: Arc<Self>, batch: Vec<Wish<K>>, _: Stamp) -> BoxFuture<'static, Vec<Fetch<V>>> {
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

/// The requests of a source, made from keys.
pub(super) struct Requests<M: ByKey> {
    by_key: M,
    source: Arc<M::Source>,
}

impl<M: ByKey> Requests<M> {
    pub(super) fn new(by_key: M, source: Arc<M::Source>) -> Self {
        Self { by_key, source }
    }
}

impl<M: ByKey> Loader<M::Key, M::Value> for Requests<M>
where
    M::Key: Clone + Send + Sync + 'static,
    M::Value: Send + 'static,
{
    fn plan(&self, due: Vec<M::Key>) -> Vec<Vec<M::Key>> {
        let requests: Vec<_> = due.iter().map(|key| self.by_key.request(key)).collect();
        let mut keys: HashMap<_, _> = requests.iter().cloned().zip(due).collect();
        let mut of = |batch: Vec<_>| batch.iter().filter_map(|it| keys.remove(it)).collect();
        self.source.plan(requests).into_iter().map(&mut of).collect()
    }

    fn fetch(
        self: Arc<Self>,
        batch: Vec<Wish<M::Key>>,
        began: Stamp,
    ) -> BoxFuture<'static, Vec<Fetch<M::Value>>> {
        Box::pin(async move {
            let wanted = |(key, held)| Wanted { request: self.by_key.request(&key), held, began };
            let fetched = self.source.fetch(batch.into_iter().map(wanted).collect()).await;
            fetched.into_iter().map(|fetch| fetch.and_then(|it| self.decode(it))).collect()
        })
    }

    fn describe(&self) -> String {
        self.by_key.describe()
    }

    fn reset(&self) {
        self.source.reset();
    }
}

impl<M: ByKey> Requests<M> {
    fn decode(&self, fetched: PayloadOf<M>) -> Fetch<M::Value> {
        let valid_until = fetched.valid_until;
        let answer = match fetched.answer {
            Answered::Unchanged => Answered::Unchanged,
            Answered::Current(payload, version) => {
                // The payload of a panic may quote the value, so it is not kept.
                let value = catch_unwind(AssertUnwindSafe(|| self.by_key.decode(&payload)));
                let panicked = |_| FetchError::new(ErrorKind::Panic, "the decoder panicked");
                let value = value.map_err(panicked)?;
                let value = value.map_err(|error| FetchError::new(error.kind(), error))?;
                Answered::Current(value, version)
            }
        };
        Ok(Fetched { answer, valid_until })
    }
}

type PayloadOf<M> = Fetched<<<M as ByKey>::Source as Source>::Payload>;
