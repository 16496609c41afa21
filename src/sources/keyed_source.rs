//! [`ByKey`]: a source whose requests are made from keys, for a memo.

use std::sync::Arc;

use super::{Connections, Source};
use crate::decode::DecodeError;
use crate::error::Error;

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
