//! What is configured about a function, and the environment variables that say so.

use std::net::SocketAddr;
use std::time::Duration;

use super::Order;

pub(super) const VERSION: &str = "$LATEST";
pub(super) const HANDLER: &str = "bootstrap";
pub(super) const ACCOUNT_ID: &str = "123456789012";
const MEMORY_SIZE: &str = "128";

#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) timeout: Duration,
    pub(super) patience: Duration,
    pub(super) order: Order,
    pub(super) external_extensions: Vec<String>,
    pub(super) initialization_type: InitializationType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitializationType {
    OnDemand,
    SnapStart,
    /// With so many invocations at once.
    Managed(u32),
}

impl Default for Function {
    fn default() -> Self {
        Self {
            name: "function".to_owned(),
            region: "us-east-1".to_owned(),
            timeout: Duration::from_secs(3),
            patience: Duration::from_secs(10),
            order: Order::default(),
            external_extensions: Vec::new(),
            initialization_type: InitializationType::OnDemand,
        }
    }
}

impl Function {
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT_ID}:function:{}", self.region, self.name)
    }

    pub(super) fn is_managed(&self) -> bool {
        matches!(self.initialization_type, InitializationType::Managed(_))
    }

    /// How many invocations may go on at once.
    pub(super) fn concurrency(&self) -> usize {
        match self.initialization_type {
            InitializationType::Managed(max) => usize::try_from(max).unwrap_or(usize::MAX),
            InitializationType::OnDemand | InitializationType::SnapStart => 1,
        }
    }

    pub(super) fn env(&self, address: SocketAddr) -> Vec<(String, String)> {
        let initialization_type = match self.initialization_type {
            InitializationType::OnDemand => "on-demand",
            InitializationType::SnapStart => "snap-start",
            InitializationType::Managed(_) => "lambda-managed-instances",
        };
        let mut env = vec![
            ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_SIZE.to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", format!("{VERSION}/{}", address.port())),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type.to_owned()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("_HANDLER", HANDLER.to_owned()),
        ];
        if let InitializationType::Managed(max) = self.initialization_type {
            env.push(("AWS_LAMBDA_MAX_CONCURRENCY", max.to_string()));
        }
        env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
