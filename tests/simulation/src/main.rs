//! Plays random histories on all cores: `simulation [HISTORIES] [--seed FIRST]`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use lexopt::prelude::{Long, Value, ValueExt};
use simulation::{Broken, Played, Simulator, history};

struct Options {
    histories: u64,
    first: u64,
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options { histories: 10_000, first: fastrand::u64(..1 << 48) };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seed") => options.first = arguments.value()?.parse()?,
            Value(histories) => options.histories = histories.parse()?,
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(options)
}

#[expect(clippy::disallowed_methods, reason = "how long it all took is for people")]
fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\nsimulation [HISTORIES] [--seed FIRST]");
            return ExitCode::FAILURE;
        }
    };
    // What the source was told to do is no news.
    std::panic::set_hook(Box::new(|panic| {
        let known = ["the source was told to", "it goes round in circles"];
        if !panic.payload_as_str().is_some_and(|it| known.contains(&it)) {
            eprintln!("{panic}");
        }
    }));
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let played = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&options, &next, &failed))).collect();
        workers.into_iter().map(|it| it.join().expect("a worker")).fold(
            Played::default(),
            |sum, it| Played {
                events: sum.events + it.events,
                reads: sum.reads + it.reads,
                calls: sum.calls + it.calls,
            },
        )
    });
    let histories = next.load(Ordering::Relaxed).min(options.histories);
    let failed = failed.load(Ordering::Relaxed);
    println!(
        "{histories} histories from seed {}: {} events, {} reads, {} calls in {:.1?}; {}",
        options.first,
        played.events,
        played.reads,
        played.calls,
        began.elapsed(),
        if failed { "a rule was broken" } else { "no rule was broken" }
    );
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn work(options: &Options, next: &AtomicU64, failed: &AtomicBool) -> Played {
    let simulator = Simulator::default();
    let mut sum = Played::default();
    while !failed.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= options.histories {
            break;
        }
        let seed = options.first.wrapping_add(number);
        match simulator.play(&history(seed)) {
            Ok(played) => {
                sum.events += played.events;
                sum.reads += played.reads;
                sum.calls += played.calls;
            }
            Err(broken) => {
                if !failed.swap(true, Ordering::Relaxed) {
                    tell(&simulator, seed, number, broken);
                }
            }
        }
    }
    sum
}

/// Shows a history that breaks a rule, as short as it can be made.
fn tell(simulator: &Simulator, seed: u64, number: u64, broken: Broken) {
    println!("seed {seed}, after {number} histories: {}", broken.rule);
    let (shortest, broken) = simulator.shrink(history(seed), broken);
    println!("{}\n{}", broken.rule, shortest.as_test(&format!("seed_{seed}")));
}
