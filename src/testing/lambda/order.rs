//! [`Order`] and [`Gap`]: which side of an invocation hears of it first, and when the other follows.

use std::time::Duration;

/// Which side of an invocation gets its event first: the extensions, their INVOKE, or the runtime,
/// the invocation. AWS promises none, so code that works in one only does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// Both at the same instant; which arrives first is up to the scheduler, as on AWS.
    #[default]
    Together,
    /// Every extension has taken its INVOKE before the runtime gets the invocation.
    ExtensionFirst(Gap),
    /// The runtime has taken the invocation before the extensions get their INVOKE.
    HandlerFirst(Gap),
}

/// When the side that comes second gets its event. [`release`](super::InvocationHandle::release)
/// ends any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// As soon as the first side has taken its own.
    AtOnce,
    /// So long after the first side has taken its own.
    After(Duration),
    /// When the first side is done: the handler has responded, or the extensions have asked for their
    /// next event.
    UntilDone,
    /// When the test releases it, and not before. If it never does, the invocation times out.
    Held,
}
