//! What a read of a fresh value costs, beside the least it could: `cargo bench --bench read`.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use lambda_cache::{Builder, Cache, Key, Mode, from_fn};

/// As many entries as a function with a lot of configuration has.
const ENTRIES: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);

/// Polls a future once, where it stands: all that awaiting one comes to that need not wait.
macro_rules! ready {
    ($future:expr) => {
        match pin!($future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("nothing has expired"),
        }
    };
}

fn cache(runtime: &tokio::runtime::Runtime) -> (Cache, Key<String>) {
    let mut builder = Builder::new().mode(Mode::OnDemand);
    let keys: Vec<Key<String>> = (0..ENTRIES)
        .map(|n| {
            let value = move || async move { Ok::<_, std::io::Error>(format!("value {n}")) };
            builder.add(from_fn(n.to_string(), value).max_age(HOUR))
        })
        .collect();
    let cache = runtime.block_on(builder.spawn()).expect("functions that answer");
    (cache, keys[ENTRIES / 2])
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
}

/// What moka holds, with what is needed to tell its age.
struct Dated {
    _value: String,
    monotonic: Instant,
    wall: SystemTime,
}

#[allow(clippy::disallowed_methods)]
fn moka(runtime: &tokio::runtime::Runtime) -> moka::future::Cache<String, Arc<Dated>> {
    let moka = moka::future::Cache::builder().max_capacity(1000).time_to_live(HOUR).build();
    for n in 0..ENTRIES {
        let (monotonic, wall) = (Instant::now(), SystemTime::now());
        let held = Dated { _value: format!("value {n}"), monotonic, wall };
        runtime.block_on(moka.insert(n.to_string(), Arc::new(held)));
    }
    moka
}

#[allow(clippy::disallowed_methods)]
fn read(criterion: &mut Criterion) {
    let runtime = runtime();
    let (cache, key) = cache(&runtime);
    let mut group = criterion.benchmark_group("read");

    let cell = ArcSwap::from_pointee(String::from("value"));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| black_box((Instant::now(), SystemTime::now(), cell.load_full())));
    });

    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| ready!(cache.snapshot()));
    });

    let snapshot = runtime.block_on(cache.snapshot());
    group.bench_function("get", |bencher| {
        bencher.iter(|| snapshot.get(key).expect("a value"));
    });

    group.bench_function("value", |bencher| {
        bencher.iter(|| ready!(cache.get(key)).expect("a value"));
    });

    let moka = moka(&runtime);
    group.bench_function("moka", |bencher| {
        bencher.iter(|| ready!(moka.get("10")).expect("a value"));
    });

    let texts = async |key: u64| Ok::<_, std::io::Error>(format!("value {key}"));
    let memo = cache.memo("texts", texts).max_age(Duration::from_secs(3600));
    let memo = memo.build().expect("a memo");
    for key in 0..ENTRIES as u64 {
        runtime.block_on(memo.get(key)).expect("a function that answers");
    }
    group.bench_function("memo", |bencher| {
        bencher.iter(|| ready!(memo.get(10)).expect("a value"));
    });

    group.bench_function("contended", |bencher| {
        bencher.iter_custom(|rounds| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..rounds {
                            black_box(ready!(cache.snapshot()));
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

/// A memo's hit beside moka's, without the age check by two clocks that moka lacks and with it.
#[allow(clippy::disallowed_methods)]
fn memo(criterion: &mut Criterion) {
    let runtime = runtime();
    let (cache, _) = cache(&runtime);
    let value = async |n: String| Ok::<_, std::io::Error>(format!("value {n}"));
    let memo = cache.memo("values", value).max_age(HOUR).build().expect("a memo");
    for n in 0..ENTRIES {
        runtime.block_on(memo.get(n.to_string())).expect("a function that answers");
    }
    let moka = moka(&runtime);
    let key = "10".to_owned();
    let mut group = criterion.benchmark_group("memo");

    group.bench_function("hit", |bencher| {
        bencher.iter(|| ready!(memo.get(&key)).expect("a value"));
    });

    group.bench_function("moka", |bencher| {
        bencher.iter(|| ready!(moka.get(&key)).expect("a value"));
    });

    group.bench_function("moka and age", |bencher| {
        bencher.iter(|| {
            let held = ready!(moka.get(&key)).expect("a value");
            let age = held.monotonic.elapsed().max(held.wall.elapsed().expect("a steady clock"));
            (age < HOUR).then_some(held)
        });
    });
    group.finish();
}

criterion_group!(benches, read, memo);
criterion_main!(benches);
