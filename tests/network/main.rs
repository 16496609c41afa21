//! AWS over real sockets: which of them are used again, and how requests find their way.
#![cfg(all(feature = "s3", feature = "secrets-manager", feature = "ssm"))]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

#[path = "../support/aws.rs"]
#[allow(dead_code)]
mod aws;
#[path = "../support/cloud.rs"]
#[allow(dead_code)]
mod cloud;
#[path = "../support/process.rs"]
#[allow(dead_code)]
mod process;
mod proxies;
#[path = "../support/relay.rs"]
mod relay;
mod sockets;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::timeout::TimeoutConfig;

/// A configuration without an HTTP client of its own, for a service at this endpoint.
fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    // Long enough for a busy machine, short enough to wait for.
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(aws::HOME))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .timeout_config(timeouts.build())
        .build()
}
