//! How often handlers wait, and how many calls that takes, under all kinds of traffic:
//! `cargo run --example traffic`.
//!
//! The real cache holds one value with a max age of 60 seconds, in an environment that freezes between
//! invocations. Time is simulated: handlers take 5 ms, fetches 20 ms. Each traffic of 4,000 invocations is
//! played with values that are refreshed as the traffic makes it likely to help (the default), at a fixed
//! soft bound of three quarters of the max age, and not ahead of need at all; and it is worked out what
//! somebody could do who knew when every invocation comes.
//!
//! It prints a table and draws it, in `docs/traffic.svg`. The same seed gives the same picture.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod arrivals;
mod clairvoyant;
mod play;
mod plot;

use std::error::Error;
use std::path::Path;

use lambda_cache::Ahead;

use arrivals::Traffic;
use clairvoyant::clairvoyant;
use play::{Cost, MAX_AGE, play};

const INVOCATIONS: usize = 4000;
const SEED: u64 = 1;

const TRAFFICS: [Traffic; 12] = [
    Traffic::Every(1.0),
    Traffic::Every(20.0),
    Traffic::Every(42.0),
    Traffic::About(20.0),
    Traffic::About(30.0),
    Traffic::Poisson(5.0),
    Traffic::Poisson(10.0),
    Traffic::Poisson(20.0),
    Traffic::Poisson(45.0),
    Traffic::Bursts(30.0),
    Traffic::Bursts(120.0),
    Traffic::Diurnal,
];

/// What one kind of traffic costs, in each way.
#[derive(Debug)]
pub struct Row {
    pub traffic: Traffic,
    pub costs: [Cost; 4],
}

/// The ways, in the order of [`Row::costs`].
pub const WAYS: [&str; 4] = ["lambda-cache", "fixed, at 3/4", "not ahead", "with foresight"];

async fn row(traffic: Traffic) -> Row {
    let gaps = traffic.gaps(INVOCATIONS, SEED);
    let (expected, begins) = play(&gaps, |entry| entry, SEED).await;
    let (fixed, _) = play(&gaps, |entry| entry.refresh_after(MAX_AGE / 4 * 3), SEED).await;
    let (never, _) = play(&gaps, |entry| entry.ahead(Ahead::Never), SEED).await;
    Row { traffic, costs: [expected, fixed, never, clairvoyant(&begins, MAX_AGE)] }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build()?;
    let rows: Vec<Row> = TRAFFICS.map(|traffic| runtime.block_on(row(traffic))).into();
    println!("waits in percent of the invocations / calls for 100 invocations\n");
    println!("| traffic | {} |", WAYS.join(" | "));
    println!("|---|---|---|---|---|");
    for Row { traffic, costs } in &rows {
        let costs = costs.map(|it| format!("{:.1} % / {:.1}", it.waits(), 100.0 * it.calls()));
        println!("| {} | {} |", traffic.name(), costs.join(" | "));
    }
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/traffic.svg");
    std::fs::write(picture, plot::svg(&rows)?)?;
    println!("\ndrawn in docs/traffic.svg");
    Ok(())
}
