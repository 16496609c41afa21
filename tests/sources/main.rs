//! Every AWS source: the real AWS SDKs against winterbaume in process, without sleeping.
#![cfg(all(
    feature = "appconfig",
    feature = "dynamodb",
    feature = "s3",
    feature = "secrets-manager",
    feature = "ssm"
))]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod appconfig;
#[path = "../support/aws.rs"]
mod aws;
mod dynamodb;
mod fixture;
mod init;
mod kinds;
mod roles;
mod s3;
mod secrets_manager;
mod seen;
mod ssm;
mod steps;
