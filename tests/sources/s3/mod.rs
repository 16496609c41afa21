//! Objects of S3.

mod acceptance;
mod bodies;
mod declarations;
mod failures;
mod files;
mod overtaken;
mod places;
mod readers;
mod revalidation;
mod secrets;
mod store;
mod types;
