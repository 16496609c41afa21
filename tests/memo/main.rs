//! Memos: per key the same promise as for an entry, to the instant and without sleeping.
#![allow(clippy::unwrap_used)]

mod bounds;
mod declarations;
mod fixture;
mod freezes;
mod freshness;
mod invocations;
#[path = "../engine/log.rs"]
mod log;
mod model;
mod orders;
mod secrets;
mod single_flight;
mod sources;
mod trace_time;
mod traces;
mod world;
