//! Configurations and feature flags of AWS AppConfig.

mod configurations;
mod failures;
mod sessions;
mod store;
