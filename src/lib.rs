//! Keeps configuration, secrets and reference data fresh inside AWS Lambda functions.
//!
//! A Lambda function needs parameters that live elsewhere. Read once, at init, a change may take
//! hours to arrive; read in each invocation, they are slow and dear. This crate is the third way. An
//! actor, the *refresher*, lives in an internal extension of the function and pushes fresh snapshots
//! to the handler, which reads them without locks and without waiting.
//!
//! # The promise
//!
//! For an entry with max age *M*: whenever a read hands out a value at instant *t*, the request that
//! fetched or revalidated that value **began** after *t − M*. It holds whichever of handler and INVOKE
//! event comes first, across freezes of any length, and when a refresh is slow, fails, hangs, panics or
//! was itself frozen in flight. Where it cannot hold, the read waits for a refresh, and if that fails it
//! returns an error that names the entry, its age, its bound and the cause. (A read that had to wait
//! also takes an answer that was asked for after it began: where the max age is shorter than a fetch
//! takes, nothing younger can be had.)
//!
//! # Use
//!
#![cfg_attr(
    all(feature = "ssm", feature = "runtime"),
    doc = r#"
```no_run
use lambda_cache::{Cache, Snapshot, from_fn, sources::ssm};
use lambda_runtime::{Error, LambdaEvent};
use std::time::Duration;

# async fn fetch_rates() -> Result<Vec<f64>, std::io::Error> { Ok(vec![]) }
# #[derive(serde::Deserialize)] struct Limits { requests: u32 }
#[tokio::main]
async fn main() -> Result<(), Error> {
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let mut builder = Cache::builder(&aws);
    let greeting = builder.add(ssm::parameter("/app/greeting"));
    let hosts = builder.add(ssm::parameter("/app/hosts").string_list());
    let limits = builder
        .add(ssm::parameter("/app/limits").json::<Limits>().max_age(Duration::from_secs(300)));
    let rates = builder.add(from_fn("rates", fetch_rates));
    let cache = builder.spawn().await?; // everything is fetched, in as few calls as it takes

    cache.run(move |event: LambdaEvent<String>, snapshot: Snapshot| async move {
        let greeting = snapshot.get(greeting)?; // a memory read
        let limit = snapshot.get(limits)?.requests;
        Ok::<_, Error>(format!("{greeting}, {}! At most {limit} requests.", event.payload))
    })
    .await
}
```
"#
)]
//!
//! # Features
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `ssm` | [`sources::ssm`]: parameters of SSM Parameter Store | yes |
//! | `secrets-manager` | [`sources::secrets_manager`]: secrets of Secrets Manager | yes |
//! | `s3` | [`sources::s3`]: objects of S3, in memory or as files | yes |
//! | `dynamodb` | [`sources::dynamodb`]: items and queries of DynamoDB | yes |
//! | `appconfig` | [`sources::appconfig`]: configurations and feature flags of AppConfig | no |
//! | `runtime` | [`Cache::run`], [`Cache::handler`], [`Cache::register`], [`ExternalExtension`] | yes |
//! | `testing` | [`testing`]: a clock that can freeze, sources that can fail, a Lambda that can freeze | no |
//! | `sidecar` | the binary `lambda-cache-extension`, for functions in any language (`docs/sidecar.md`) | no |
//! | `aws` | what AWS sources share; they turn it on | with them |
//!
//! Without any, what remains is the engine, with [`from_fn`] and [`Cache::memo`]. The minimum
//! supported Rust version is 1.95.0.
//!
//! # Reading order
//!
//! [`Cache`] and [`Builder`], then [`Snapshot`]; [`sources`] for what can be kept; [`Memo`]; [`Error`]. Why the
//! promise holds is told in `docs/guarantee.md`, what happens in the life of an environment in
//! `docs/lambda.md`, and how the code is laid out in `docs/architecture.md`.
// What one feature leaves unused another uses, so dead code is looked for where all are on.
#![cfg_attr(
    not(all(
        feature = "appconfig",
        feature = "dynamodb",
        feature = "runtime",
        feature = "s3",
        feature = "secrets-manager",
        feature = "ssm",
        feature = "testing"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

mod cache;
mod clock;
mod decode;
mod engine;
mod entry;
mod error;
mod freshness;
#[cfg(feature = "runtime")]
mod lambda;
mod memo;
mod mode;
#[cfg(all(test, feature = "aws", feature = "runtime"))]
#[path = "../tests/support/near.rs"]
mod near;
mod refresher;
mod snapshot;
pub mod sources;
mod stats;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;

pub use cache::{Builder, Cache, Changes};
pub use clock::{Clock, Stamp, SystemClock};
pub use decode::DecodeError;
pub use entry::{Key, Version};
pub use error::{Error, ErrorKind};
pub use freshness::Ahead;
#[cfg(feature = "runtime")]
pub use lambda::{
    CacheLayer, Extension, ExternalExtension, Handler, InvocationFuture, InvocationService,
};
pub use memo::{Memo, MemoBuilder};
pub use mode::Mode;
pub use snapshot::{Snapshot, Value};
pub use sources::function::from_fn;
pub use stats::{Cause, EntryStatus, MemoStats, Status};
