//! A clock that can freeze, a source that can fail, and a Lambda that can freeze: for your tests, and
//! for this crate's own (feature `testing`).
//!
//! | to test | use |
//! |---|---|
//! | what your handler does with fresh, stale, missing and failing values | [`TestSource`] and [`TestClock`], in a [`Builder`](crate::Builder) |
//! | what happens when an invocation begins and ends, to the instant | [`Invocations`] as well |
//! | your whole function, with its runtime and its extensions, in this process or in its own | [`Lambda`] |

mod clock;
mod invocations;
mod lambda;
mod source;

#[doc(hidden)]
pub use crate::engine::engine_history;
pub use clock::TestClock;
pub use invocations::{Invocations, TestInvocation, kill_refresher};
pub use lambda::{
    BoundLambda, ExtensionEnd, Fault, Frozen, Gap, Invocation, InvocationBuilder, InvocationHandle,
    Lambda, LambdaBuilder, LambdaCounts, LambdaError, Order, Outcome, RegisteredExtension, Report,
    ReportKind, Timings,
};
pub use source::{Behaviour, TestName, TestRequest, TestSource};
