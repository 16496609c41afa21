//! DynamoDB.

mod acceptance;
mod batches;
mod declarations;
mod failures;
mod items;
mod keyed;
mod permissions;
mod places;
mod queries;
mod refusals;
mod secrets;
mod store;
mod types;
mod unprocessed;
