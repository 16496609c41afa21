//! Where code of users runs that may take its time or panic: decoders, `Drop`, a key's `Hash`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::engine::Retired;
use crate::sync::spawn_blocking;

/// Runs code of a user's in a job. On a runtime with several threads, other tasks and timers do not wait
/// for it.
pub(crate) fn blocking<T>(run: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => run(),
        _ => tokio::task::block_in_place(run),
    }
}

/// A user's value that is not needed any more.
pub(crate) type Garbage = Box<dyn Send>;

/// Drops values on a blocking thread, since their `Drop` is a user's code.
pub(crate) fn retire(garbage: Vec<Garbage>) {
    if !garbage.is_empty() {
        spawn_blocking(|| drop_each(garbage));
    }
}

/// Drops each, even if one panics.
pub(crate) fn drop_each(garbage: Vec<Garbage>) {
    for it in garbage {
        _ = catch_unwind(AssertUnwindSafe(|| drop(it)));
    }
}

/// Gives up the engine's references, and returns the values that have no other. So a value that a reader
/// still holds ends with that reader, not some time later.
pub(super) fn give_up(retired: Vec<Retired>) -> Vec<Garbage> {
    let mut garbage: Vec<Garbage> = Vec::new();
    for it in retired {
        match it {
            Retired::Slot(slot) => {
                let (stored, failure) = slot.into_parts();
                if let Some(released) = stored.and_then(|stored| stored.value.release()) {
                    garbage.push(Box::new(released));
                }
                if let Some(failure) = failure {
                    garbage.push(Box::new(failure));
                }
            }
            Retired::Came(entries) => garbage.push(Box::new(entries)),
            Retired::Derived(value) => garbage.push(Box::new(value)),
        }
    }
    garbage
}
