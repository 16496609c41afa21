//! Parameter Store: the real AWS SDK against winterbaume in process, without sleeping.
#![cfg(feature = "ssm")]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod acceptance;
mod aws;
mod batches;
mod declarations;
mod failures;
mod fixture;
mod groups;
mod identity;
mod invocations;
mod lag;
mod paths;
mod regions;
mod secrets;
mod selectors;
mod steps;
mod types;
mod versions;
