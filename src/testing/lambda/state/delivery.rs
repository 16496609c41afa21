//! What is sent of an invocation: [`Delivery`] to the runtime, INVOKE to an extension.

use axum::body::Bytes;
use serde_json::json;

use super::record::Record;

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
