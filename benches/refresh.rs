//! What the refresher costs as entries grow many: `cargo bench --bench refresh`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lambda_cache::testing::{Invocations, TestClock, TestInvocation};
use lambda_cache::{Builder, Cache, Key, Mode, from_fn};
use tokio::runtime::Runtime;

fn cache(runtime: &Runtime, entries: usize) -> (Cache, Key<usize>, TestInvocation) {
    let clock = TestClock::new();
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand);
    let keys: Vec<Key<usize>> = (0..entries)
        .map(|n| {
            let value = move || async move { Ok::<_, std::io::Error>(n) };
            builder.add(from_fn(n.to_string(), value).never_expires())
        })
        .collect();
    let cache = runtime.block_on(builder.spawn()).expect("functions that answer");
    let invocation = Invocations::new(&cache, &clock).next();
    (cache, keys[entries / 2], invocation)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// An INVOKE event with nothing due: from the extension's question to the refresher's answer.
fn invoke_idle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invoke_idle");
    for entries in [10, 1_000, 10_000] {
        let runtime = runtime();
        let (_cache, _, invocation) = cache(&runtime, entries);
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| runtime.block_on(invocation.invoke()).expect("an answer"));
        });
    }
    group.finish();
}

/// A change of one entry: from the question to the answer that the new snapshot is there.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for entries in [20, 1_000, 10_000] {
        let runtime = runtime();
        let (cache, key, _) = cache(&runtime, entries);
        group.bench_function(BenchmarkId::from_parameter(entries), |bencher| {
            bencher.iter(|| runtime.block_on(cache.invalidate(key)).expect("an answer"));
        });
    }
    group.finish();
}

criterion_group!(benches, invoke_idle, publish);
criterion_main!(benches);
