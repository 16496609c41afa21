//! A memo stays within its bounds, and the least valuable keys go first.

use lambda_cache::{Builder, Cache, ErrorKind, MemoBuilder};

use crate::fixture::Fixture;

fn doubles(cache: &Cache) -> MemoBuilder<&Cache, u64, u64> {
    cache.memo("doubles", async |n: u64| Ok::<_, std::convert::Infallible>(2 * n))
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_are_kept_than_allowed_at_any_moment() {
    let cache = Builder::new().spawn().await.unwrap();
    for most in [1, 2, 3, 64, 5000] {
        let memo = doubles(&cache).max_entries(most).build().unwrap();
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
    let memo = doubles(&cache).max_entries(64).build().unwrap();
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
    let memo = memo.build().unwrap();
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
