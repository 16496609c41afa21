//! Where code of users runs that may take its time or panic: decoders, `Drop`, a key's `Hash`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::engine::Retired;

/// Runs code of a user's in a job, so that the runtime's other tasks need not wait for it, nor its
/// timers. In a runtime of one thread they have to.
pub(crate) fn blocking<T>(run: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => run(),
        _ => tokio::task::block_in_place(run),
    }
}

/// Something of a user's that is not needed any more.
pub(crate) type Garbage = Box<dyn Send>;

/// Drops what may run code of a user's, in a thread in which that does no harm.
pub(crate) fn retire(garbage: Vec<Garbage>) {
    if !garbage.is_empty() {
        tokio::task::spawn_blocking(|| drop_each(garbage));
    }
}

/// Drops one after the other; a panic of one does not keep the others from it.
pub(crate) fn drop_each(garbage: Vec<Garbage>) {
    for it in garbage {
        _ = catch_unwind(AssertUnwindSafe(|| drop(it)));
    }
}

/// Lets go of what the engine does not need any more. What nobody else holds is given back, so that
/// a value whose last reader has gone ends with that reader, and not some time later.
pub(super) fn let_go(retired: Vec<Retired>) -> Vec<Garbage> {
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
