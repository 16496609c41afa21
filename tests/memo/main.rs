//! Memos: per key the same promise as for an entry, to the instant and without sleeping.
#![allow(clippy::unwrap_used)]

mod bounds;
mod declarations;
mod fixture;
mod freezes;
mod freshness;
mod invocations;
mod model;
mod single_flight;
