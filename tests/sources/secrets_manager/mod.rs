//! Secrets of AWS Secrets Manager.
