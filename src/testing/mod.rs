//! A clock that can freeze, sources that can fail, and a Lambda that can freeze: for this crate's
//! own tests and for yours (feature `testing`).

mod clock;
mod lambda;

pub use clock::TestClock;
pub use lambda::*;
