//! What the engine costs by itself, without tasks and sources: `cargo bench --bench engine`.

use criterion::{Criterion, criterion_group, criterion_main};
use lambda_cache::testing::engine_history;

/// A hundred events on twenty entries and a memo: reads, invocations, answers, freezes.
fn history(criterion: &mut Criterion) {
    let mut seed = 0;
    criterion.bench_function("engine/history", |bencher| {
        bencher.iter(|| {
            seed += 1;
            engine_history(seed, 100)
        });
    });
}

criterion_group!(benches, history);
criterion_main!(benches);
