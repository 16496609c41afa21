//! HTTP/1.1 on loopback, for the function and nobody else.

mod clients;
mod connection;
mod guard;
pub(crate) mod query;
mod refusal;
mod server;
mod token;
mod warnings;
mod watched;

pub(crate) use clients::Clients;
pub(crate) use guard::Guard;
pub(crate) use refusal::Refusal;
pub(crate) use server::{Listener, Server};
pub(crate) use token::Token;
use warnings::Warnings;

use crate::answer::Response;

/// What is served at one port.
pub(crate) trait Endpoint: Send + Sync + 'static {
    /// The answer to `GET path?query`, of a client that may have it.
    fn answer(
        &self,
        path: &str,
        query: &str,
    ) -> impl Future<Output = Result<Response, Refusal>> + Send;
}
