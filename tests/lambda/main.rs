//! The cache in a Lambda that can freeze: the real lambda_runtime and lambda-extension, over HTTP.
#![allow(clippy::unwrap_used)]

mod external;
mod fixture;
mod layer;
mod managed;
mod orders;
mod responses;
mod snapstart;
mod trouble;
