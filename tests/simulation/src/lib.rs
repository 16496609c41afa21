//! Random histories of a cache, in a world that freezes.
//!
//! The cache is the real one, on a paused tokio runtime and on clocks that the world controls. What it
//! hands out is judged by an oracle that is written from docs/guarantee.md, and knows true time.

pub mod history;
mod oracle;
mod player;
mod random;
mod shrink;
mod world;

pub use player::{Broken, Played, Simulator};
pub use random::history;
