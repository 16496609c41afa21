//! Secrets of AWS Secrets Manager (feature `secrets-manager`).
