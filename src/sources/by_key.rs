//! [`ByKey`]: a source whose requests are made from keys, for a memo.

use std::sync::Arc;

use super::{Connections, Source};
use crate::decode::DecodeError;
use crate::error::Error;

/// Values by key, of a source that can fetch many of them in one call: what
/// [`Cache::memo_from`](crate::Cache::memo_from) makes a memo of.
pub trait ByKey: Send + Sync + 'static {
    /// What values are found by.
    type Key;
    /// What they are decoded to.
    type Value;
    /// The source they come from.
    type Source: Source;

    /// Checks what was declared and finds the source that serves it.
    fn source(&self, connections: &mut Connections) -> Result<Arc<Self::Source>, Error>;

    /// The request for one key. Different keys must have different requests.
    fn request(&self, key: &Self::Key) -> <Self::Source as Source>::Request;

    /// A value from what the source answered. Errors must not quote it.
    fn decode(
        &self,
        payload: &<Self::Source as Source>::Payload,
    ) -> Result<Self::Value, DecodeError>;

    /// What is asked for, in words, without a key: for errors.
    fn describe(&self) -> String;
}
