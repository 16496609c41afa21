//! The environment, served over HTTP for as long as somebody holds it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use super::environment::Environment;
use super::state::State;
use super::{Lambda, api};

/// Serves until the last [`Lambda`] is dropped.
pub(super) fn start(environment: Environment, listener: TcpListener) -> io::Result<Lambda> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let environment = Arc::new(environment);
    let served = environment.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = api::serve(served.clone(), listener) => {}
            () = served.keep_time() => {}
            () = served.ended() => {}
        }
    });
    let lifetime = Arc::new(Lifetime(environment.clone()));
    Ok(Lambda { environment, _lifetime: lifetime })
}

/// Ends the environment when dropped.
#[derive(Debug)]
pub(super) struct Lifetime(Arc<Environment>);

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.0.change(State::end);
    }
}
