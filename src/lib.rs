//! x

mod cache;
mod clock;
mod decode;
mod entry;
mod error;
mod freshness;
#[cfg(feature = "runtime")]
mod lambda;
mod mode;
mod refresher;
mod snapshot;
pub mod sources;
#[cfg(feature = "testing")]
pub mod testing;

pub use cache::{Builder, Cache};
pub use clock::{Clock, Stamp, SystemClock};
pub use decode::DecodeError;
pub use entry::{Key, Version};
pub use error::{Error, ErrorKind};
#[cfg(feature = "runtime")]
pub use lambda::{Extension, Handler};
pub use mode::Mode;
pub use snapshot::{Snapshot, Value};
pub use sources::function::from_fn;
