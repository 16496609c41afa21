//! A clock that can freeze, sources that can fail, and a Lambda that can freeze: for this crate's
//! own tests and for yours (feature `testing`).
//!
//! | to test | use |
//! |---|---|
//! | what a handler does with fresh, stale, missing and failing values | [`TestSource`] and [`TestClock`], in a [`Builder`](crate::Builder) |
//! | what happens at the edges of invocations, to the instant | [`Invocations`] as well |
//! | a whole function, with its runtime and its extensions, in process or in one of its own | [`Lambda`] |

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
