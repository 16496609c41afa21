//! Secrets of AWS Secrets Manager.

mod acceptance;
mod batches;
mod failures;
mod places;
mod rotation;
mod secrets;
mod store;
mod types;
