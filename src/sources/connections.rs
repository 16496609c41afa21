//! What entries that come from one service, region and account share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Source;
#[cfg(feature = "aws")]
use super::aws::{Aws, Client, Place};
#[cfg(feature = "aws")]
use crate::clock::Clocks;
#[cfg(feature = "aws")]
use crate::error::{Error, ErrorKind};

type Shared = Arc<dyn Any + Send + Sync>;

/// What tells sources of one type apart.
#[derive(PartialEq, Eq, Hash)]
enum Which {
    Name(String),
    #[cfg(feature = "aws")]
    Place(Place),
}

/// The sources of one cache, each made once and shared by all entries it serves.
#[derive(Default)]
pub struct Connections {
    #[cfg(feature = "aws")]
    aws: Option<Aws>,
    made: HashMap<(TypeId, Which), Shared>,
    /// The files that objects are put into.
    #[cfg(feature = "s3")]
    pub(super) files: super::s3::Claims,
}

impl Connections {
    #[cfg(feature = "aws")]
    pub(crate) fn to(aws: Aws) -> Self {
        Self { aws: Some(aws), ..Self::default() }
    }

    /// Measures idle time of connections by the cache's clocks.
    #[cfg(feature = "aws")]
    pub(crate) fn use_clocks(&self, clocks: &Clocks) {
        if let Some(aws) = &self.aws {
            aws.use_clocks(clocks);
        }
    }

    /// The source of type `S` called `which` (a region, say), made at its first use.
    pub fn shared<S: Source>(&mut self, which: &str, make: impl FnOnce(&Self) -> S) -> Arc<S> {
        self.find_or_make(Which::Name(which.to_owned()), make)
    }

    fn find_or_make<S: Source>(&mut self, which: Which, make: impl FnOnce(&Self) -> S) -> Arc<S> {
        let key = (TypeId::of::<S>(), which);
        if let Some(found) = self.made.get(&key)
            && let Ok(source) = Arc::clone(found).downcast()
        {
            return source;
        }
        let source = Arc::new(make(self));
        self.made.insert(key, Arc::clone(&source) as Shared);
        source
    }

    /// The source of a service at `place`, with a client of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Declaration`] if the place is none, or the cache has no AWS configuration.
    #[cfg(feature = "aws")]
    pub(crate) fn service<S: Source, C>(
        &mut self,
        place: Place,
        client: fn(&aws_types::SdkConfig) -> C,
        source: impl FnOnce(Client<C>) -> S,
    ) -> Result<Arc<S>, Error> {
        let Some(aws) = self.aws.clone() else {
            return Err(Error::new(
                ErrorKind::Declaration,
                "an AWS source in a cache without AWS configuration: make its builder with \
                 `Cache::builder(&aws)`",
            ));
        };
        place.check()?;
        let place = place.canonical(aws.region());
        let which = Which::Place(place.clone());
        Ok(self.find_or_make(which, |_| source(Client::new(aws, place, client))))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("made", &self.made.len()).finish_non_exhaustive()
    }
}
