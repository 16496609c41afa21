//! Secrets of AWS Secrets Manager.

mod acceptance;
mod batches;
mod rotation;
mod store;
mod types;
