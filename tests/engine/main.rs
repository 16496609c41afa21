//! The engine in process: clocks, orders and freezes, to the instant and without sleeping.
#![allow(clippy::unwrap_used)]

mod blips;
mod boundaries;
mod changes;
mod clocks;
mod derive;
mod failures;
mod fixture;
mod freezes;
mod gone_readers;
mod init;
mod keys;
mod log;
mod panics;
mod rotation;
mod secrets;
mod single_flight;
mod snapstart;
mod status;
mod timers;
mod user_code;
mod validity;
