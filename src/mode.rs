//! [`Mode`]: what kind of environment this is, by what its variables say.

use std::env;

/// The kind of environment a cache works in, which decides what drives its refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Lambda on demand or with provisioned concurrency: frozen between invocations. Refreshes are
    /// driven by the INVOKE events of an internal extension, if one is registered; without one,
    /// reads alone keep the promise, and nothing is refreshed ahead.
    OnDemand,
    /// As on demand, and restored from a snapshot.
    SnapStart,
    /// A Lambda Managed Instance: never frozen, several invocations at once, and no INVOKE events.
    /// Refreshes are driven by timers.
    ManagedInstance,
    /// No Lambda: a container, a server, a test. Refreshes are driven by timers.
    Elsewhere,
}

impl Mode {
    /// What `AWS_LAMBDA_RUNTIME_API` and `AWS_LAMBDA_INITIALIZATION_TYPE` say.
    pub fn detect() -> Self {
        Self::of(env::var_os("AWS_LAMBDA_RUNTIME_API").is_some(), initialization_type().as_deref())
    }

    fn of(runtime_api: bool, initialization_type: Option<&str>) -> Self {
        match (runtime_api, initialization_type) {
            (false, _) => Self::Elsewhere,
            (true, Some("lambda-managed-instances")) => Self::ManagedInstance,
            (true, Some("snap-start")) => Self::SnapStart,
            (true, _) => Self::OnDemand,
        }
    }

    /// Whether the environment may be frozen between invocations.
    pub(crate) fn freezes(self) -> bool {
        matches!(self, Self::OnDemand | Self::SnapStart)
    }
}

fn initialization_type() -> Option<String> {
    env::var("AWS_LAMBDA_INITIALIZATION_TYPE").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_what_the_variables_say() {
        assert_eq!(Mode::of(false, Some("snap-start")), Mode::Elsewhere);
        assert_eq!(Mode::of(true, None), Mode::OnDemand);
        assert_eq!(Mode::of(true, Some("on-demand")), Mode::OnDemand);
        assert_eq!(Mode::of(true, Some("provisioned-concurrency")), Mode::OnDemand);
        assert_eq!(Mode::of(true, Some("snap-start")), Mode::SnapStart);
        assert_eq!(Mode::of(true, Some("lambda-managed-instances")), Mode::ManagedInstance);
    }
}
