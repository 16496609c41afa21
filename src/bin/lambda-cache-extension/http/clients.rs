//! [`Clients`]: how many connections there may be.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the bound that are told so; the rest is hung up on.
const MOST_REFUSED: usize = 16;

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
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
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
