//! Refreshes ahead of need, under all kinds of traffic: the real cache on simulated time, held against what
//! somebody could do who knew the future.
#![allow(missing_docs, unreachable_pub)]

mod along;
#[path = "../../examples/traffic/arrivals.rs"]
mod arrivals;
mod bars;
mod changes;
mod choices;
#[path = "../../examples/traffic/clairvoyant.rs"]
mod clairvoyant;
mod memos;
#[path = "../../examples/traffic/play.rs"]
mod play;
