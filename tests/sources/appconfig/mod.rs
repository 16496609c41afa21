//! Configurations and feature flags of AWS AppConfig.
