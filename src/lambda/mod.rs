//! The cache in a Lambda function: the extension whose INVOKE events drive refreshes, and the handler
//! that is given a snapshot (feature `runtime`).

mod extension;
mod handler;
mod layer;
mod registration;

pub use extension::{Extension, ExternalExtension};
pub use handler::Handler;
pub use layer::{CacheLayer, InvocationFuture, InvocationService};

use lambda_runtime::Diagnostic;

use crate::engine::Invocation;
use crate::error::Error;
use crate::refresher::Invoked;

/// So that a handler may return a cache's errors as they are.
impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self {
            error_type: format!("lambda_cache::{:?}", error.kind()),
            error_message: error.to_string(),
        }
    }
}

/// An invocation, as the refresher needs it: by its request id, its deadline in milliseconds since the Unix epoch, and its trace
/// header.
fn invoked(request_id: String, deadline: u64, trace_header: Option<&str>) -> Invoked {
    Invoked {
        invocation: Invocation::new(request_id, milliseconds(deadline)),
        trace_time: trace_header.and_then(epoch),
    }
}

/// Milliseconds since the Unix epoch, as Lambda counts, in nanoseconds.
fn milliseconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// The instant that a trace header such as `Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1`
/// was made at, in nanoseconds since the Unix epoch.
///
/// Lambda makes it before the environment is thawed, so it is a lower bound of now. A caller can
/// forge it.
fn epoch(header: &str) -> Option<i64> {
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let (version, seconds) = (parts.next()?, parts.next()?);
    // `from_str_radix` would accept a sign.
    let is_hexadecimal = seconds.len() == 8 && seconds.bytes().all(|it| it.is_ascii_hexdigit());
    if version != "1" || !is_hexadecimal {
        return None;
    }
    i64::from_str_radix(seconds, 16).ok()?.checked_mul(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_the_second_part_of_the_root() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(epoch(header), Some(1_465_510_280_000_000_000));
        assert_eq!(epoch("Sampled=0; Root=1-00000001-0"), Some(1_000_000_000));
    }

    #[test]
    fn what_is_no_trace_header_has_no_epoch() {
        for header in [
            "",
            "Root=",
            "Root=1-xyz",
            "Root=2-5759e988-bd",
            "Root=1--5759e98-bd",
            "Root=1-+5759e98-bd",
        ] {
            assert_eq!(epoch(header), None, "{header}");
        }
    }

    mod parsers {
        use proptest::prelude::*;

        use super::super::*;
        use crate::near::near_any;

        proptest! {
            #[test]
            fn any_epoch_is_read_wherever_the_root_is(
                seconds: u32,
                before in "(Self=1-0-0;|Parent=[0-9a-f]{0,9}; ?){0,2}",
                after in "(-[0-9a-f]{0,24})?(;Sampled=[01?])?",
            ) {
                let nanoseconds = i64::from(seconds) * 1_000_000_000;
                prop_assert_eq!(epoch(&format!("{before}Root=1-{seconds:08x}{after}")), Some(nanoseconds));
                prop_assert_eq!(epoch(&format!("{before}Root=1-{seconds:08X}{after}")), Some(nanoseconds));
            }

            #[test]
            fn an_epoch_is_eight_hexadecimal_digits_of_the_header(
                header in near_any(
                    &["Root=1-5759e988-bd;Sampled=1", "Root=1-5759e988"],
                    &["Root=", "1-", "-", "+", ";", " ", "_", "0x", "F", "\u{e9}"],
                )
            ) {
                if let Some(nanoseconds) = epoch(&header) {
                    let root = format!("root=1-{:08x}", nanoseconds / 1_000_000_000);
                    prop_assert!(header.to_lowercase().contains(&root), "{} is in it", root);
                }
            }

            #[test]
            fn no_deadline_is_before_an_earlier_one(one: u64, other: u64) {
                let (earlier, later) = (one.min(other), one.max(other));
                prop_assert!((0..=milliseconds(later)).contains(&milliseconds(earlier)));
            }
        }
    }
}
