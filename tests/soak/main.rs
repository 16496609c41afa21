//! Processes that work for long: a function under a million invocations, and the sidecar under load,
//! while what they read changes. Neither may grow, in memory or in open files.
//!
//! `SOAK_INVOCATIONS` and `SOAK_SECONDS` are for how long; 1000000 and 1800 are the long runs.
#![cfg(feature = "sidecar")]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "../support/aws.rs"]
mod aws;
#[path = "../sidecar/client.rs"]
mod client;
#[path = "../support/cloud.rs"]
mod cloud;
mod function;
mod growth;
mod invocations;
mod load;
#[path = "../support/process.rs"]
mod process;
#[path = "../sidecar/sidecar.rs"]
mod sidecar;
#[path = "../sidecar/world.rs"]
mod world;

/// A number in a variable of the environment.
fn variable(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}
