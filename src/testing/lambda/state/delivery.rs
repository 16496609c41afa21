//! What is sent of an invocation: [`Delivery`] to the runtime, INVOKE to an extension.

use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use serde_json::json;

use super::record::Record;
use crate::testing::TestClock;

/// What the runtime gets.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Bytes,
}

impl Record {
    pub(super) fn delivery(&self, arn: String) -> Option<Delivery> {
        let began = self.began.as_ref()?;
        let mut headers = vec![
            ("lambda-runtime-aws-request-id", self.request_id().to_owned()),
            ("lambda-runtime-deadline-ms", began.deadline_ms.to_string()),
            ("lambda-runtime-invoked-function-arn", arn),
        ];
        if !began.trace_id.is_empty() {
            headers.push(("lambda-runtime-trace-id", began.trace_id.clone()));
        }
        Some(Delivery { headers, payload: self.payload.clone() })
    }

    pub(super) fn invoke_event(&self, arn: &str) -> Option<String> {
        let began = self.began.as_ref()?;
        let mut event = json!({
            "eventType": "INVOKE",
            "deadlineMs": began.deadline_ms,
            "requestId": self.request_id(),
            "invokedFunctionArn": arn,
        });
        if !began.trace_id.is_empty() {
            event["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": began.trace_id });
        }
        Some(event.to_string())
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// As AWS makes it: upstream, so with the epoch of the world and not of the environment.
pub(super) fn trace_id(clock: &TestClock) -> String {
    let epoch = clock.true_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (root, parent) = (fastrand::u128(..) >> 32, fastrand::u64(..));
    format!("Root=1-{epoch:08x}-{root:024x};Parent={parent:016x};Sampled=0")
}
