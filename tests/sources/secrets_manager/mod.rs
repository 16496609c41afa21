//! Secrets of AWS Secrets Manager.

mod acceptance;
mod batches;
mod failures;
mod rotation;
mod store;
mod types;
