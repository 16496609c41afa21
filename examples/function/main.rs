//! Every source in one Lambda function. Your `src/main.rs` could look like this.
//!
//! It has the quickstart's entries: four parameters of SSM Parameter Store, and an async function that
//! reads a number from the file that `RATES_FILE` names. It also has a secret, a value derived from it,
//! two objects, an item and a memo. It runs in Lambda, and under AWS's Runtime Interface Emulator in
//! `tests/rie.rs`.
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
    text.trim().parse().map_err(|_| io::Error::other("the file of rates does not hold a number"))
}
