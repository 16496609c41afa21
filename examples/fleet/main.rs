//! What a fleet of environments costs its source: `cargo run --release --example fleet`.
//!
//! 10 to 10,000 environments, each with the real cache, for one hour of simulated time: a deployment that
//! starts up to 1,000 of them in 10 s, and from the 30th minute on an outage of the source for three. Each
//! environment holds ten parameters that share a call, with a max age of 60 s, and is always busy: it reads
//! every 20 s. A start that fails is made again a second later, as Lambda does.
//!
//! It prints a table and draws it, in `docs/fleet-calls.svg` and `docs/fleet-dollars.svg`. The same seed gives
//! the same pictures. `-- 1000` stops at so many environments.
#![allow(clippy::print_stdout, unreachable_pub, missing_docs)]

mod play;
mod plot;
mod service;

use std::error::Error;
use std::path::Path;

use play::{Hour, play};
use plot::Line;

const SIZES: [usize; 7] = [10, 30, 100, 300, 1_000, 3_000, 10_000];

/// A way to hold values, with the quota that it has.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    /// Requests a second that the service answers.
    pub quota: f64,
    /// What an answered call costs.
    pub dollars: f64,
}

/// Prices and quotas are in docs/fleet.md, with their dates.
const WAYS: [Way; 3] = [
    Way { name: "Parameter Store, 10 parameters", quota: 40.0, dollars: 0.0 },
    Way { name: "the same, higher throughput", quota: 1_000.0, dollars: 10.0 * 0.05 / 10_000.0 },
    Way { name: "Secrets Manager, 10 secrets", quota: 100.0, dollars: 0.05 / 10_000.0 },
];

fn main() -> Result<(), Box<dyn Error>> {
    let most = std::env::args().nth(1).map_or(Ok(usize::MAX), |most| most.parse())?;
    let mut rows: Vec<(Way, Vec<Hour>)> = WAYS.map(|way| (way, Vec::new())).into();
    println!(
        "| environments | way | calls/s | throttled | failed inits | init p50 / p99 | reads that waited | \
         errors | oldest | $ a month |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for size in SIZES.into_iter().filter(|&size| size <= most) {
        for (way, hours) in &mut rows {
            // Each hour has a runtime of its own, which ends all that is left of it.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()?;
            let hour = runtime.block_on(play(size, *way));
            println!("{}", hour.row(way.name));
            hours.push(hour);
        }
        // After each size: the last one takes as long as all others.
        draw(&rows)?;
    }
    println!("\ndrawn in docs/fleet-calls.svg and docs/fleet-dollars.svg");
    Ok(())
}

fn draw(rows: &[(Way, Vec<Hour>)]) -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let lines = |of: fn(&Hour) -> f64| -> Vec<Line> {
        let line = |(way, hours): &(Way, Vec<Hour>)| Line {
            name: way.name,
            points: hours.iter().map(|it| (it.environments as f64, of(it))).collect(),
        };
        rows.iter().map(line).collect()
    };
    let calls = plot::svg("Calls a second, throttled ones included", &lines(Hour::calls_a_second))?;
    std::fs::write(docs.join("fleet-calls.svg"), calls)?;
    let dollars = plot::svg("Dollars a month for calls", &lines(|it| it.dollars_a_month()))?;
    std::fs::write(docs.join("fleet-dollars.svg"), dollars)?;
    Ok(())
}
