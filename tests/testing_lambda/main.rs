//! The Lambda for tests keeps AWS's rules, and does what a test asks of it. Nothing here sleeps; what
//! takes time waits for an event.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

#[path = "../support/lambda_client.rs"]
mod client;
mod ends;
#[cfg(target_os = "linux")]
mod extensions;
mod faults;
mod freezes;
mod initialisation;
mod invocations;
mod managed;
mod orders;
#[cfg(target_os = "linux")]
mod processes;
mod registration;
#[cfg(feature = "runtime")]
mod runtimes;
mod snapstart;
