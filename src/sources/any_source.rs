//! [`AnySource`]: sources of any type as one trait object, for the refresher.
//!
//! Types are erased and restored here alone. A request becomes its index in the order in which its
//! source's requests were declared; a payload becomes an `Arc<dyn Any>`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use super::declare::{DecodeFn, Payload, Prepared};
use super::{BoxFuture, Declare, Fetch, FetchError, Source, Wanted};
use crate::clock::Stamp;
use crate::decode::DecodeError;
use crate::entry::Version;
use crate::error::ErrorKind;
use crate::snapshot::AnyValue;

/// An answer of any type, before it is decoded.
pub(crate) type AnyPayload = Arc<dyn Any + Send + Sync>;

/// From a payload to the value an entry holds.
pub(crate) type Decode =
    Arc<dyn Fn(&AnyPayload) -> Result<Prepared<AnyValue>, DecodeError> + Send + Sync>;

/// One request of a batch: its index at its source, and the version that is held.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: usize,
    pub(crate) held: Option<Version>,
}

/// A [`Source`] and its requests, their types erased.
pub(crate) trait AnySource: Any + Send + Sync {
    /// Batches of what is due, with what they take along in as many calls.
    fn plan(&self, due: &[usize], along: &[usize]) -> Vec<Vec<usize>>;
    fn fetch(
        self: Arc<Self>,
        batch: Vec<Ask>,
        began: Stamp,
    ) -> BoxFuture<'static, Vec<Fetch<AnyPayload>>>;
    fn reset(&self);
}

/// The sources and requests of a cache, in order of first use.
#[derive(Default)]
pub(crate) struct Registry {
    sources: Vec<Arc<dyn AnySource>>,
    /// From a source's address to its index.
    indices: HashMap<usize, usize>,
    /// Every request: its source's index, and its own index there.
    pub(crate) requests: Vec<(usize, usize)>,
}

impl Registry {
    /// The number of this request among all; equal requests of one source have one number.
    pub(crate) fn request<S: Source>(&mut self, source: &Arc<S>, request: S::Request) -> usize {
        let index = *self.indices.entry(Arc::as_ptr(source).addr()).or_insert_with(|| {
            let (requests, indices) = (Vec::new(), HashMap::new());
            self.sources.push(Arc::new(Typed { source: Arc::clone(source), requests, indices }));
            self.sources.len() - 1
        });
        let typed = Arc::get_mut(&mut self.sources[index]).map(|it| it as &mut dyn Any);
        let Some(typed) = typed.and_then(|it| it.downcast_mut::<Typed<S>>()) else {
            unreachable!("only the registry holds it, and a live source's address is unique");
        };
        let (local, next) = (typed.requests.len(), self.requests.len());
        let (_, number) = *typed.indices.entry(request.clone()).or_insert((local, next));
        if number == next {
            typed.requests.push(request);
            self.requests.push((index, local));
        }
        number
    }

    /// The sources, for the refresher to fetch from.
    pub(crate) fn finish(self) -> Vec<Arc<dyn AnySource>> {
        self.sources
    }
}

/// From an entry's own decoder to one of any type.
pub(crate) fn erase_decode<D: Declare + 'static, T: Send + Sync + 'static>(
    decode: DecodeFn<Payload<D>, T>,
) -> Decode {
    Arc::new(move |payload| match payload.downcast_ref::<Payload<D>>() {
        Some(payload) => decode(payload).map(|prepared| prepared.map(AnyValue::new)),
        None => unreachable!("a source's payloads are of its payload type"),
    })
}

struct Typed<S: Source> {
    source: Arc<S>,
    requests: Vec<S::Request>,
    /// From a request to its index here and its number among all.
    indices: HashMap<S::Request, (usize, usize)>,
}

impl<S: Source> Typed<S> {
    fn batches<'a>(&self, indices: impl Iterator<Item = &'a usize>) -> Vec<Vec<usize>> {
        let requests = indices.map(|&index| self.requests[index].clone()).collect();
        let local = |request| self.indices.get(request).map(|&(local, _)| local);
        let batches = self.source.plan(requests);
        batches.iter().map(|batch| batch.iter().filter_map(local).collect()).collect()
    }
}

impl<S: Source> AnySource for Typed<S> {
    fn plan(&self, due: &[usize], along: &[usize]) -> Vec<Vec<usize>> {
        let alone = self.batches(due.iter());
        let rides = |index: &&usize| self.source.rides_along(&self.requests[**index]);
        let along: Vec<&usize> = along.iter().filter(rides).collect();
        if along.is_empty() {
            return alone;
        }
        let mut together = self.batches(due.iter().chain(along));
        together.retain(|batch| batch.iter().any(|index| due.contains(index)));
        if together.len() > alone.len() { alone } else { together }
    }

    fn fetch(
        self: Arc<Self>,
        batch: Vec<Ask>,
        began: Stamp,
    ) -> BoxFuture<'static, Vec<Fetch<AnyPayload>>> {
        Box::pin(async move {
            let expected = batch.len();
            let wanted = |Ask { request, held }| {
                let request = self.requests[request].clone();
                Wanted { request, held, began }
            };
            let fetched = self.source.fetch(batch.into_iter().map(wanted).collect()).await;
            let erase = |payload| Arc::new(payload) as AnyPayload;
            let mut answers: Vec<_> =
                fetched.into_iter().map(|fetch| fetch.map(|it| it.map(erase))).collect();
            let got = answers.len();
            answers.resize_with(expected, || {
                let cause = format!("the source gave {got} results for {expected} requests");
                Err(FetchError::new(ErrorKind::Source, cause).lasting())
            });
            answers
        })
    }

    fn reset(&self) {
        self.source.reset();
    }
}
