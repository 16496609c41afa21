//! The cache in a Lambda function: the extension whose INVOKE events drive refreshes, and the handler
//! that is given a snapshot (feature `runtime`).

mod extension;
mod handler;
mod invocation;
mod layer;
mod registration;
mod snapstart;

pub use extension::{Extension, ExternalExtension};
pub use handler::Handler;
pub use layer::{CacheLayer, InvocationFuture, InvocationService};

use lambda_runtime::Diagnostic;

use crate::error::Error;

/// So that a handler may return a cache's errors as they are.
impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self {
            error_type: format!("lambda_cache::{:?}", error.kind()),
            error_message: error.to_string(),
        }
    }
}
