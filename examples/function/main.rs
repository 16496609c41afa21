//! Every source in one Lambda function: what `src/main.rs` of yours could be.
//!
//! It has the quickstart's entries, four parameters of SSM Parameter Store and, as a stand-in for
//! whatever else an async function can fetch, a number from the file that `RATES_FILE` names; and a
//! secret, what is derived of it, two objects, an item and a memo. It runs in Lambda, and under AWS's
//! Runtime Interface Emulator, as `tests/rie.rs` has it.
#![allow(unreachable_pub, missing_docs)]

mod everything;
#[path = "../quickstart/function.rs"]
mod function;

use std::io;

use aws_config::BehaviorVersion;
use everything::Everything;
use lambda_cache::Cache;
use lambda_runtime::LambdaEvent;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let mut builder = Cache::builder(&aws);
    let everything = Everything::declare(&mut builder, fetch_rates);
    let memo = everything::memo(&mut builder);
    let cache = builder.spawn().await?;
    cache
        .clone()
        .run(move |_: LambdaEvent<serde_json::Value>, snapshot| {
            let (cache, memo) = (cache.clone(), memo.clone());
            async move { everything.handle(&cache, &memo, snapshot).await }
        })
        .await
}

async fn fetch_rates() -> Result<f64, io::Error> {
    let Some(file) = std::env::var_os("RATES_FILE") else { return Ok(1.0) };
    let text = tokio::fs::read_to_string(file).await?;
    text.trim().parse().map_err(|_| io::Error::other("the file of rates holds no number"))
}
