//! [`Clients`]: how many connections there may be.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the bound that are told so; the rest is hung up on.
const MOST_REFUSED: usize = 16;

/// File descriptors that are not for clients' connections: the sockets that listen, the runtime's own,
/// and connections to AWS, without which nothing could be fetched.
const RESERVED: usize = 64;

/// The connections of all ports together: they share the process's file descriptors.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    most: usize,
    places: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

/// A connection's place. It is free again when this goes.
pub(super) enum Place {
    Served {
        _place: OwnedSemaphorePermit,
    },
    /// There is none left, which the client shall hear.
    Refused {
        _place: OwnedSemaphorePermit,
    },
}

impl Clients {
    /// At most so many, and no more than the process can have files open for.
    pub(crate) fn new(wanted: usize) -> Self {
        let most = wanted.min(room());
        if most < wanted {
            tracing::info!(most, wanted, "fewer clients, for want of file descriptors");
        }
        let places = Arc::new(Semaphore::new(most));
        Self { most, places, refused: Arc::new(Semaphore::new(MOST_REFUSED)) }
    }

    /// A place for a new connection, unless there are too many even to be refused in words.
    pub(super) fn enter(&self) -> Option<Place> {
        let free = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let served = free(&self.places).map(|place| Place::Served { _place: place });
        served.or_else(|| free(&self.refused).map(|place| Place::Refused { _place: place }))
    }

    /// Whether those who only sit there are in the way of others: half the places are taken.
    pub(super) fn are_many(&self) -> bool {
        self.places.available_permits() * 2 < self.most
    }
}

/// How many connections there are file descriptors for, once all have been asked for that there are.
#[cfg(unix)]
fn room() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it is refused, it stays as it is.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    let files = getrlimit(Resource::Nofile).current.and_then(|it| usize::try_from(it).ok());
    files.map_or(Semaphore::MAX_PERMITS, |files| files.saturating_sub(RESERVED).max(1))
}

#[cfg(not(unix))]
fn room() -> usize {
    Semaphore::MAX_PERMITS
}
