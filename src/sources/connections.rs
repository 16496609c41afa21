//! What entries that come from one service, region and account share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Source;
#[cfg(feature = "aws")]
use super::aws::Aws;
#[cfg(feature = "ssm")]
use crate::error::{Error, ErrorKind};

type Shared = Arc<dyn Any + Send + Sync>;

/// The sources of one cache, each made once and shared by all entries it serves.
#[derive(Default)]
#[cfg_attr(all(feature = "aws", not(feature = "ssm")), expect(dead_code))]
pub struct Connections {
    #[cfg(feature = "aws")]
    aws: Option<Aws>,
    made: HashMap<(TypeId, String), Shared>,
}

impl Connections {
    #[cfg(feature = "aws")]
    pub(crate) fn to(aws: Aws) -> Self {
        Self { aws: Some(aws), made: HashMap::new() }
    }

    /// The source of type `S` called `which` (a region, say), made at its first use.
    pub fn shared<S: Source>(&mut self, which: &str, make: impl FnOnce(&Self) -> S) -> Arc<S> {
        let key = (TypeId::of::<S>(), which.to_owned());
        if let Some(found) = self.made.get(&key)
            && let Ok(source) = Arc::clone(found).downcast()
        {
            return source;
        }
        let source = Arc::new(make(self));
        self.made.insert(key, Arc::clone(&source) as Shared);
        source
    }

    #[cfg(feature = "ssm")]
    pub(crate) fn aws(&self) -> Result<&Aws, Error> {
        self.aws.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Declaration,
                "an AWS source in a cache without AWS configuration: make its builder with \
                 `Cache::builder(&aws)`",
            )
        })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("made", &self.made.len()).finish_non_exhaustive()
    }
}
