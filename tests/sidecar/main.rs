//! The sidecar, as a running process: both its protocols, what it refuses, and what it does when things
//! go wrong. AWS is winterbaume, behind a port of loopback.
#![cfg(all(feature = "sidecar", feature = "testing"))]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, dead_code)]
// A process of its own has no clock but the machine's.
#![allow(clippy::disallowed_methods)]

mod answers;
#[path = "../support/aws.rs"]
mod aws;
mod aws_extension;
mod client;
#[path = "../support/cloud.rs"]
mod cloud;
mod command_line;
mod connections;
mod dead_sockets;
mod freezes;
mod go_extension;
mod hostile;
mod in_lambda;
#[path = "../support/lambda_client.rs"]
mod lambda_client;
mod log;
mod missing;
mod not_found;
mod outages;
#[path = "../support/process.rs"]
mod process;
mod refusals;
#[path = "../support/relay.rs"]
mod relay;
mod sidecar;
mod world;
