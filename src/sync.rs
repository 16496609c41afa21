//! What threads share, in one place: the types of std, tokio and arc-swap. For tests/interleavings they
//! are replaced by types whose every step shuttle's scheduler can interleave with those of others.

#[cfg(feature = "shuttle")]
#[path = "../tests/interleavings/sync.rs"]
mod interleaved;

#[cfg(not(feature = "shuttle"))]
pub(crate) use {
    arc_swap::ArcSwap,
    std::sync::atomic::{AtomicU64, AtomicUsize},
    std::sync::{Mutex, MutexGuard},
    tokio::sync::{Notify, watch},
    tokio::task::spawn_blocking,
};

#[cfg(feature = "shuttle")]
pub(crate) use {
    self::interleaved::{ArcSwap, Notify, spawn_blocking, watch},
    shuttle::sync::atomic::{AtomicU64, AtomicUsize},
    shuttle::sync::{Mutex, MutexGuard},
};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use interleaved::on_every_schedule;

/// A point at which another thread may take over, around what is one step by itself. Nothing at all
/// but in tests/interleavings.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(feature = "shuttle")]
    interleaved::step();
}
