//! The engine in process: clocks, orders and freezes, to the instant and without sleeping.
#![allow(clippy::unwrap_used)]

mod boundaries;
mod clocks;
mod failures;
mod fixture;
mod freezes;
mod keys;
mod panics;
mod secrets;
mod single_flight;
mod snapstart;
mod timers;
