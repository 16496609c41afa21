//! A memo stays within its bounds, and the least valuable keys go first.

use std::fs;

use futures_util::future::join_all;
use lambda_cache::testing::kill_refresher;
use lambda_cache::{Builder, Cache, ErrorKind, Memo};

use crate::fixture::Fixture;

fn doubles(cache: &Cache) -> Memo<u64, u64> {
    cache.memo("doubles", async |n: u64| Ok::<_, std::convert::Infallible>(2 * n))
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_kept_than_allowed_at_any_moment() {
    let cache = Builder::new().spawn().await.unwrap();
    for most in [1, 2, 3, 64, 5000] {
        let memo = doubles(&cache).max_entries(most);
        for n in 0..2 * most as u64 {
            assert_eq!(*memo.get(n).await.unwrap(), 2 * n);
            assert!(memo.len() <= most, "{} of {most}", memo.len());
        }
        assert!(memo.len() * 10 >= most * 9, "{} of {most}", memo.len());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_read_often_stay_and_those_read_once_go() {
    let cache = Builder::new().spawn().await.unwrap();
    let memo = doubles(&cache).max_entries(64);
    for n in 0..32 {
        for _ in 0..3 {
            memo.get(n).await.unwrap();
        }
    }
    for n in 1000..3000 {
        memo.get(n).await.unwrap();
        memo.get(n % 32).await.unwrap();
    }
    let misses = memo.stats().misses;
    for n in 0..32 {
        memo.get(n).await.unwrap();
    }
    assert_eq!(memo.stats().misses, misses, "the keys in use are all there");
}

#[tokio::test(start_paused = true)]
async fn all_values_together_stay_within_their_bytes() {
    let it = Fixture::with(|memo| {
        memo.max_entries(100).max_bytes(1000, |key, value| key.len() + value.len())
    })
    .await;
    for n in 0..50 {
        let key = format!("{n:04}");
        it.source.set(key.clone(), "v".repeat(96));
        it.get(&key).await.unwrap();
        assert!(it.memo.len() <= 10, "{}", it.memo.len());
    }
    assert!(it.memo.len() >= 8, "{}", it.memo.len());
    it.source.set("large", "v".repeat(2000));
    assert_eq!(it.get("large").await.unwrap().len(), 2000, "it is returned, and not kept");
    let calls = it.calls();
    it.get("large").await.unwrap();
    assert_eq!(it.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_as_large_as_the_bound_is_kept_however_many_keys_there_may_be() {
    let cache = Builder::new().spawn().await.unwrap();
    let memo = doubles(&cache).max_entries(100_000).max_bytes(1000, |_, &value| value as usize);
    memo.get(500).await.unwrap();
    memo.get(500).await.unwrap();
    assert_eq!((memo.len(), memo.stats().misses), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_weighing_is_the_keys_error() {
    let it = Fixture::with(|memo| memo.max_bytes(1000, |_, _| panic!("as the test said"))).await;
    assert_eq!(it.get("x").await.unwrap_err(), ErrorKind::Panic);
    assert_eq!((it.calls(), it.memo.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn memory_does_not_grow_over_fifty_thousand_different_keys() {
    read_different_keys(50_000).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; .ci/run runs it"]
async fn memory_does_not_grow_over_ten_million_different_keys() {
    read_different_keys(10_000_000).await;
}

/// Reads so many keys once each, and compares the memory held at the end with that after a tenth.
async fn read_different_keys(count: u64) {
    const TOGETHER: u64 = 1000;
    let cache = Builder::new().spawn().await.unwrap();
    let memo = doubles(&cache).max_entries(1000);
    let mut early = 0;
    for begin in (0..count).step_by(TOGETHER as usize) {
        let reads = (begin..begin + TOGETHER).map(|n| memo.get(n));
        for (n, value) in (begin..).zip(join_all(reads).await) {
            assert_eq!(*value.unwrap(), 2 * n);
        }
        assert!(memo.len() <= 1000);
        if begin == count / 10 {
            early = resident_kb();
        }
    }
    let grown = resident_kb().saturating_sub(early);
    assert!(grown < 2048, "{grown} kB more");
    assert_eq!(memo.stats().misses, count);
}

#[tokio::test(start_paused = true)]
async fn reads_that_come_to_nothing_leave_nothing() {
    let it = Fixture::new().await;
    it.get("x").await.unwrap();
    kill_refresher(&it.cache);
    let mut early = 0;
    for n in 0..11_000 {
        let key = format!("{n:4096}");
        assert_eq!(it.get(&key).await.unwrap_err(), ErrorKind::Stopped);
        if n == 1_000 {
            early = resident_kb();
        }
    }
    let grown = resident_kb().saturating_sub(early);
    assert!(grown < 8192, "{grown} kB more after 10,000 keys of 4 kB");
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
