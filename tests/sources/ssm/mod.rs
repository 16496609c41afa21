//! Parameter Store.

mod acceptance;
mod batches;
mod culprits;
mod declarations;
mod failures;
mod groups;
mod identity;
mod invocations;
mod lag;
mod paths;
mod regions;
mod secrets;
mod selectors;
mod steps;
mod store;
mod types;
mod versions;
