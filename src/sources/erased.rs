//! Sources of any type behind one face, so that the refresher can hold them all.
//!
//! This is the only place that knows both the types of a source and their absence. A request is its
//! index in the order of its source's first use; a payload is an `Arc<dyn Any>`.

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

/// An answer before it is decoded, of any type.
pub(crate) type AnyPayload = Arc<dyn Any + Send + Sync>;

/// What a source answers to one request.
pub(crate) type Answer = Fetch<AnyPayload>;

/// From a payload to the value an entry holds.
pub(crate) type Decode =
    Arc<dyn Fn(&AnyPayload) -> Result<Prepared<AnyValue>, DecodeError> + Send + Sync>;

/// One request of a batch: its index at its source, and the version that is held.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: usize,
    pub(crate) held: Option<Version>,
}

/// A [`Source`] with its types erased, and the requests it has been given.
pub(crate) trait AnySource: Send + Sync {
    fn plan(&self, due: &[usize]) -> Vec<Vec<usize>>;
    fn fetch(self: Arc<Self>, batch: Vec<Ask>, began: Stamp) -> BoxFuture<'static, Vec<Answer>>;
    fn reset(&self);
}

/// The sources and requests of a cache, in order of first use.
#[derive(Default)]
pub(crate) struct Registry {
    typed: Vec<Box<dyn Building>>,
    /// From a source's address to its index.
    indices: HashMap<usize, usize>,
    /// Every request: its source's index, and its own index there.
    pub(crate) requests: Vec<(usize, usize)>,
}

impl Registry {
    /// The number of this request among all; equal requests of one source have one number.
    pub(crate) fn request<S: Source>(&mut self, source: &Arc<S>, request: S::Request) -> usize {
        let address = Arc::as_ptr(source) as *const () as usize;
        let index = *self.indices.entry(address).or_insert_with(|| {
            self.typed.push(Box::new(Typed {
                source: Arc::clone(source),
                requests: Vec::new(),
                indices: HashMap::new(),
            }));
            self.typed.len() - 1
        });
        let next = self.requests.len();
        let typed: &mut dyn Any = self.typed[index].as_any();
        let Some(typed) = typed.downcast_mut::<Typed<S>>() else {
            unreachable!("a live source's address belongs to it alone");
        };
        let local = typed.requests.len();
        let (_, number) = *typed.indices.entry(request.clone()).or_insert((local, next));
        if number == next {
            typed.requests.push(request);
            self.requests.push((index, local));
        }
        number
    }

    /// The sources, for the refresher to fetch from.
    pub(crate) fn finish(self) -> Vec<Arc<dyn AnySource>> {
        self.typed.into_iter().map(Building::finish).collect()
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

/// A [`Typed`] that may still be given requests.
trait Building: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn finish(self: Box<Self>) -> Arc<dyn AnySource>;
}

impl<S: Source> Building for Typed<S> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn finish(self: Box<Self>) -> Arc<dyn AnySource> {
        Arc::new(*self)
    }
}

impl<S: Source> AnySource for Typed<S> {
    fn plan(&self, due: &[usize]) -> Vec<Vec<usize>> {
        let requests = due.iter().map(|&index| self.requests[index].clone()).collect();
        let local = |request| self.indices.get(request).map(|&(local, _)| local);
        let batches = self.source.plan(requests);
        batches.iter().map(|batch| batch.iter().filter_map(local).collect()).collect()
    }

    fn fetch(self: Arc<Self>, batch: Vec<Ask>, began: Stamp) -> BoxFuture<'static, Vec<Answer>> {
        Box::pin(async move {
            let expected = batch.len();
            let wanted = batch
                .into_iter()
                .map(|Ask { request, held }| Wanted {
                    request: self.requests[request].clone(),
                    held,
                    began,
                })
                .collect();
            let mut answers: Vec<Answer> =
                self.source.fetch(wanted).await.into_iter().map(erase).collect();
            let got = answers.len();
            answers.resize_with(expected, || {
                let cause = format!("the source gave {got} results for {expected} requests");
                Err(FetchError::new(ErrorKind::Source, cause))
            });
            answers
        })
    }

    fn reset(&self) {
        self.source.reset();
    }
}

fn erase<P: Any + Send + Sync>(fetch: Fetch<P>) -> Answer {
    fetch.map(|fetched| fetched.map(|payload| Arc::new(payload) as AnyPayload))
}
