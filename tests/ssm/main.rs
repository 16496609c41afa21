//! Parameter Store: the real AWS SDK against winterbaume in process, without sleeping.
#![allow(clippy::unwrap_used)]

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
