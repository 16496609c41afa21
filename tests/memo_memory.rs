//! What a memo costs that sees ever new keys. Alone in its process, whose memory it measures as Linux
//! tells it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::convert::Infallible;
use std::fs;

use lambda_cache::Builder;

const KEYS: u64 = 40_000;

#[tokio::test(start_paused = true)]
async fn memory_does_not_grow_with_the_number_of_different_keys() {
    let cache = Builder::new().spawn().await.unwrap();
    let double = async |n: u64| Ok::<_, Infallible>(2 * n);
    let memo = cache.memo("doubles", double).max_entries(1000).build().unwrap();
    let mut resident = Vec::new();
    for n in 1..=KEYS {
        memo.get(n).await.unwrap();
        if n % (KEYS / 4) == 0 {
            resident.push(resident_kb());
        }
    }
    // What is lost with each key is lost in every quarter. An allocator may take some more in one of them.
    let grown = resident.windows(2).map(|two| two[1].saturating_sub(two[0]));
    let least = grown.min().unwrap();
    assert!(least < 256, "{least} kB more for each further quarter of the keys: {resident:?}");
    assert_eq!((memo.stats().misses, memo.len()), (KEYS, 1000));
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
