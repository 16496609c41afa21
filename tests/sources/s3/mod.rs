//! Objects of S3, in memory or as files.
