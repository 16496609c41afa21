//! SSM authorises and checks a call as a whole. What it refuses for one parameter is that parameter's
//! failure alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use lambda_cache::sources::ssm;
use lambda_cache::testing::Invocations;
use lambda_cache::{Cache, Clock, Error, ErrorKind, Key, Mode, Snapshot};
use serde_json::json;

use super::store::arn;
use crate::aws::{Answer, Aws, Call};
use crate::fixture::{MINUTE, SECOND, World};
use crate::seen::Seen;

const DENIED: &str = "AccessDeniedException";

fn name(n: usize) -> String {
    format!("/app/p{n:02}")
}

/// The names that SSM refuses from now on; the test may change which.
type Refused = Arc<Mutex<BTreeSet<String>>>;

impl Aws {
    /// As SSM does: a call with a refused name in it fails as a whole, and says which it was.
    fn refuse(&self, code: &'static str, names: impl IntoIterator<Item = usize>) -> Refused {
        let refused = Refused::new(Mutex::new(names.into_iter().map(name).collect()));
        let names = Arc::clone(&refused);
        self.script(move |call| {
            let of_call = call.names();
            let first = of_call.into_iter().find(|name| names.lock().unwrap().contains(name))?;
            let body = json!({ "__type": code, "message": format!("refused for {first}") });
            Some(Answer::Say(400, body.to_string()))
        });
        refused
    }
}

/// A cache of so many parameters, whose values are their names, and which have just expired.
async fn expired(world: &World, count: usize) -> (Cache, Vec<Key<String>>) {
    for n in 0..count {
        world.aws.put(&name(n), &name(n)).await;
    }
    let mut builder = world.builder();
    let keys = (0..count).map(|n| builder.add(ssm::parameter(name(n)))).collect();
    let cache = builder.spawn().await.unwrap();
    world.clock.advance(MINUTE);
    world.aws.calls();
    (cache, keys)
}

/// The next round: everything expires and is read. How many names each of its calls had, in order of
/// their size.
async fn round(world: &World, cache: &Cache) -> (Snapshot, Vec<usize>) {
    let snapshot = cache.snapshot().await;
    world.clock.advance(MINUTE);
    (snapshot, sizes(&world.aws.calls()))
}

fn sizes(calls: &[Call]) -> Vec<usize> {
    let mut sizes: Vec<usize> = calls.iter().map(|call| call.names().len()).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    sizes
}

/// The parameters that failed, each with its error. All others have their value.
fn failures(snapshot: &Snapshot, keys: &[Key<String>]) -> Vec<(usize, Error)> {
    let mut failures = Vec::new();
    for (n, &key) in keys.iter().enumerate() {
        match snapshot.get(key) {
            Ok(value) => assert_eq!(*value, name(n)),
            Err(error) => failures.push((n, error)),
        }
    }
    failures
}

fn failed(snapshot: &Snapshot, keys: &[Key<String>]) -> Vec<usize> {
    failures(snapshot, keys).into_iter().map(|(n, _)| n).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_parameter_of_ten_fails_alone_whatever_it_is_refused_for() {
    for (code, kind) in [
        (DENIED, ErrorKind::Denied),
        ("ValidationException", ErrorKind::Source),
        ("InvalidKeyId", ErrorKind::Denied),
        ("ParameterPolicyOfNextYearException", ErrorKind::Source),
    ] {
        for culprit in [0, 4, 9] {
            let world = World::new();
            let (cache, keys) = expired(&world, 10).await;
            world.aws.refuse(code, [culprit]);
            let (snapshot, sizes) = round(&world, &cache).await;
            let [(n, error)] = &*failures(&snapshot, &keys) else { panic!("{code}: not one") };
            assert_eq!((*n, error.kind()), (culprit, kind), "{error}");
            let text = error.to_string();
            for part in [format!("ssm:GetParameters {}", name(culprit)), code.to_owned()] {
                assert!(text.contains(&part), "{text} lacks {part}");
            }
            assert_eq!(sizes, [10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "{code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_parameter_has_a_call_of_its_own_from_then_on_and_the_others_keep_theirs() {
    let world = World::new();
    let (cache, keys) = expired(&world, 23).await;
    world.aws.refuse(DENIED, [12]);
    let (snapshot, _) = round(&world, &cache).await;
    assert_eq!(failed(&snapshot, &keys), [12]);
    for _ in 0..5 {
        let (snapshot, sizes) = round(&world, &cache).await;
        assert_eq!(failed(&snapshot, &keys), [12]);
        assert_eq!(sizes, [10, 10, 2, 1], "the other 22 fill their calls up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_is_allowed_again_is_read_and_shares_a_call_again() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    world.aws.refuse(DENIED, [3]);
    round(&world, &cache).await;
    world.aws.heal();
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes), (vec![], vec![9, 1]));
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes), (vec![], vec![10]));
}

#[tokio::test(start_paused = true)]
async fn several_refused_parameters_cost_two_calls_whatever_their_number() {
    let world = World::new();
    let (cache, keys) = expired(&world, 20).await;
    let culprits = [1, 5, 9, 13, 17];
    world.aws.refuse(DENIED, culprits);
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!(failed(&snapshot, &keys), culprits);
    assert_eq!(sizes.len(), 2 + 20, "once, each name by itself");
    for _ in 0..5 {
        let (snapshot, sizes) = round(&world, &cache).await;
        let failures = failures(&snapshot, &keys);
        assert_eq!(failures.iter().map(|(n, _)| *n).collect::<Vec<_>>(), culprits);
        assert_eq!(sizes, [10, 5, 4, 1]);
        for (n, error) in failures {
            let words = format!("refused for {}", name(n));
            assert!(error.to_string().contains(&words), "blamed on another: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_is_refused_each_is_asked_for_once_and_then_two_calls_are_made() {
    let world = World::new();
    let (cache, keys) = expired(&world, 50).await;
    let refused = world.aws.refuse(DENIED, 0..50);
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!(failed(&snapshot, &keys).len(), 50);
    assert_eq!(sizes.len(), 5 + 50);
    for _ in 0..3 {
        let (snapshot, sizes) = round(&world, &cache).await;
        for (n, error) in failures(&snapshot, &keys) {
            let words = format!("refused for {}", name(n));
            assert!(error.to_string().contains(&words), "blamed on another: {error}");
        }
        assert_eq!(sizes, [9, 9, 9, 9, 9, 1, 1, 1, 1, 1]);
    }
    refused.lock().unwrap().clear();
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes.len()), (vec![], 10), "all are well at once");
    let (_, sizes) = round(&world, &cache).await;
    assert_eq!(sizes, [10; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_is_allowed_again_among_others_that_are_not_is_found_in_its_turn() {
    for well in 0..6 {
        let world = World::new();
        let (cache, keys) = expired(&world, 6).await;
        let refused = world.aws.refuse(DENIED, 0..6);
        round(&world, &cache).await;
        refused.lock().unwrap().remove(&name(well));
        let mut rounds = 0;
        while failed(&round(&world, &cache).await.0, &keys).len() == 6 {
            rounds += 1;
            assert!(rounds < 6, "{well} is never found");
        }
        let (snapshot, sizes) = round(&world, &cache).await;
        assert_eq!(failed(&snapshot, &keys).len(), 5);
        assert_eq!(sizes, [4, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn when_one_of_several_is_allowed_again_so_are_the_others_that_are() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    let refused = world.aws.refuse(DENIED, 0..10);
    round(&world, &cache).await;
    refused.lock().unwrap().retain(|it| *it == name(7));
    let mut rounds = 0;
    while failed(&round(&world, &cache).await.0, &keys) != [7] {
        rounds += 1;
        assert!(rounds <= 1, "one is asked for alone after the other");
    }
    assert_eq!(round(&world, &cache).await.1, [9, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_one_parameter_learns_at_once_that_it_is_allowed_again() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    let refused = world.aws.refuse(DENIED, 0..10);
    round(&world, &cache).await;
    refused.lock().unwrap().remove(&name(8));
    assert_eq!(*cache.refresh(keys[8]).await.unwrap(), name(8));
    assert_eq!(sizes(&world.aws.calls()), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_no_single_parameter_can_be_to_blame_for_is_not_asked_for_one_by_one() {
    for (status, code, kind) in [
        (400, "ThrottlingException", ErrorKind::Throttled),
        (400, "ThrottledException", ErrorKind::Throttled),
        (429, "TooMuchOfItException", ErrorKind::Source),
        (500, "InternalServerError", ErrorKind::Source),
        (400, "ExpiredTokenException", ErrorKind::Denied),
        (400, "UnrecognizedClientException", ErrorKind::Denied),
        (403, "MissingAuthenticationTokenException", ErrorKind::Denied),
        (403, "", ErrorKind::Source),
    ] {
        let world = World::new();
        let (cache, keys) = expired(&world, 10).await;
        world.aws.fail(status, code);
        let (snapshot, sizes) = round(&world, &cache).await;
        let failures = failures(&snapshot, &keys);
        assert_eq!(failures.len(), 10);
        assert!(failures.iter().all(|(_, error)| error.kind() == kind), "{code}: {failures:?}");
        assert!(sizes.len() <= 3 && sizes.iter().all(|&size| size == 10), "{code}: {sizes:?}");
        world.aws.heal();
        let (snapshot, sizes) = round(&world, &cache).await;
        assert_eq!((failed(&snapshot, &keys), sizes), (vec![], vec![10]), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_is_throttled_in_the_middle_of_a_split_is_not_taken_for_a_culprit() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    let throttling = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&throttling);
    world.aws.script(move |call| match &*call.names() {
        [one] if *one == name(5) && now.load(Ordering::Relaxed) == 1 => {
            Some(Answer::error(400, "ThrottlingException"))
        }
        names => names.contains(&name(2)).then(|| Answer::error(400, DENIED)),
    });
    let (snapshot, _) = round(&world, &cache).await;
    let kinds: Vec<_> =
        failures(&snapshot, &keys).iter().map(|(n, error)| (*n, error.kind())).collect();
    assert_eq!(kinds, [(2, ErrorKind::Denied), (5, ErrorKind::Throttled)]);
    throttling.store(0, Ordering::Relaxed);
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes), (vec![2], vec![9, 1]));
}

#[tokio::test(start_paused = true)]
async fn what_a_split_has_found_outlives_its_timeout() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    world.aws.script(|call| match &*call.names() {
        [one] if *one == name(9) => Some(Answer::Never),
        names => names.contains(&name(2)).then(|| Answer::error(400, DENIED)),
    });
    let before = world.clock.now().monotonic();
    let (snapshot, _) = round(&world, &cache).await;
    assert!(!failed(&snapshot, &keys).is_empty());
    let took = world.clock.now().monotonic() - before;
    assert!(took <= MINUTE + 5 * SECOND + SECOND / 10, "{took:?}: past the operation timeout");
    // All but the culprit in one call, which is answered.
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes), (vec![2], vec![9, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_culprit_that_hangs_delays_nobody() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    world.aws.refuse(DENIED, [2]);
    round(&world, &cache).await;
    world.aws.script(|call| call.names().contains(&name(2)).then_some(Answer::Never));
    let before = world.clock.now().monotonic();
    let read = async |key| {
        let is_read = cache.get(key).await.is_ok();
        (is_read, world.clock.now().monotonic() - before)
    };
    let reads = keys.iter().map(|&key| read(key));
    for (n, (is_read, took)) in join_all(reads).await.into_iter().enumerate() {
        assert_eq!(is_read, n != 2);
        assert_eq!(took.is_zero(), n != 2, "{n}: {took:?}");
    }
    assert_eq!(sizes(&world.aws.calls())[0], 9, "they were read together");
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_split_are_made_at_once() {
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    let latency = Duration::from_millis(50);
    world.aws.script(move |call| match &*call.names() {
        [one] if *one == name(6) => Some(Answer::error(400, DENIED)),
        [_] => Some(Answer::Late(latency)),
        _ => Some(Answer::error(400, DENIED)),
    });
    let before = world.clock.now().monotonic();
    assert_eq!(failed(&cache.snapshot().await, &keys), [6]);
    let took = world.clock.now().monotonic() - before;
    assert!(took < 2 * latency, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_log_blames_the_culprit_alone() {
    let seen = Seen::listen();
    let world = World::new();
    let (cache, keys) = expired(&world, 10).await;
    world.aws.refuse(DENIED, [4]);
    for rounds in 1..=3 {
        let (snapshot, _) = round(&world, &cache).await;
        assert_eq!(failed(&snapshot, &keys), [4]);
        assert_eq!(seen.count("refresh failed"), rounds);
        assert_eq!(seen.count("refresh failed entry=p04"), rounds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_fails_for_its_refused_parameters_and_names_them() {
    let world = World::new();
    for n in 0..25 {
        world.aws.put(&name(n), &name(n)).await;
    }
    let mut builder = world.builder();
    let group = builder.add(ssm::parameters((0..25).map(name)).name("group"));
    let others = builder.add(ssm::parameters((0..12).map(name)).name("others"));
    let single = builder.add(ssm::parameter(name(12)).name("single"));
    let shared = builder.add(ssm::parameter(name(13)).name("shared"));
    let cache = builder.spawn().await.unwrap();
    world.aws.refuse(DENIED, [13, 21]);
    for _ in 0..3 {
        world.clock.advance(MINUTE);
        let snapshot = cache.snapshot().await;
        let error = snapshot.get(group).unwrap_err();
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Denied, Some("group")));
        let blame = format!(": ssm:GetParameters {}, {} failed: ", name(13), name(21));
        assert!(error.to_string().contains(&blame), "{error}");
        assert_eq!(snapshot.get(others).unwrap().len(), 12);
        assert_eq!(*snapshot.get(single).unwrap(), name(12));
        assert_eq!(snapshot.get(shared).unwrap_err().kind(), ErrorKind::Denied);
    }
    world.aws.heal();
    world.clock.advance(MINUTE);
    let snapshot = cache.snapshot().await;
    assert_eq!(snapshot.get(group).unwrap().len(), 25);
    assert_eq!(*snapshot.get(shared).unwrap(), name(13));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decrypted_can_still_be_read_as_it_is_stored() {
    let world = World::new();
    world.aws.put("/app/x", "x").await;
    world.aws.put("/app/y", "y").await;
    world.aws.script(|call| {
        let decrypts = call.body["WithDecryption"] == true;
        let refused = decrypts && call.names().contains(&"/app/x".to_owned());
        refused.then(|| Answer::error(400, "InvalidKeyId"))
    });
    let mut builder = world.builder();
    let plain = builder.add(ssm::parameter("/app/x").in_background());
    let stored = builder.add(ssm::parameter("/app/x").without_decryption().name("stored"));
    let other = builder.add(ssm::parameter("/app/y").without_decryption());
    let readable = builder.add(ssm::parameter("/app/y").name("readable"));
    let cache = builder.spawn().await.unwrap();
    for _ in 0..2 {
        let snapshot = cache.snapshot().await;
        assert_eq!(cache.get(plain).await.unwrap_err().kind(), ErrorKind::Denied);
        assert!([stored, other, readable].iter().all(|&key| snapshot.get(key).is_ok()));
        world.clock.advance(MINUTE);
        world.aws.calls();
    }
    cache.snapshot().await;
    let calls = world.aws.calls();
    let stored = calls.iter().find(|call| call.body["WithDecryption"] == false).unwrap();
    assert_eq!(
        stored.names(),
        ["/app/x", "/app/y"],
        "it shares the call for what is not decrypted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_parameter_of_another_account_that_is_closed_fails_alone() {
    let world = World::new();
    let (a, b) = (arn("/app/a"), arn("/app/b"));
    let closed = b.clone();
    world.aws.script(move |call| {
        let names = call.names();
        Some(match names.contains(&closed) {
            true => Answer::error(400, DENIED),
            false => Answer::parameters(names.iter().map(|it| {
                let name = it.split("parameter").last().unwrap();
                super::store::parameter(name, name)
            })),
        })
    });
    let mut builder = world.builder();
    builder.add(ssm::parameter(a));
    builder.add(ssm::parameter(b));
    builder.add(ssm::parameter("/app/c"));
    let error = builder.spawn().await.unwrap_err();
    let failed: Vec<_> = error.others().iter().map(|it| it.entry().unwrap()).collect();
    assert_eq!(failed, ["b"], "{error}");
}

/// The role, and so what it may read, can be another one there.
#[tokio::test(start_paused = true)]
async fn culprits_are_forgotten_at_a_restore() {
    let world = World::new();
    for n in 0..3 {
        world.aws.put(&name(n), &name(n)).await;
    }
    let mut builder = world.builder().mode(Mode::SnapStart);
    let keys: Vec<_> = (0..3).map(|n| builder.add(ssm::parameter(name(n)))).collect();
    let cache = builder.spawn().await.unwrap();
    let invocations = Invocations::new(&cache, &world.clock);
    world.aws.refuse(DENIED, [1]);
    world.clock.advance(MINUTE);
    round(&world, &cache).await;
    world.aws.heal();
    invocations.before_snapshot().await.unwrap();
    world.aws.calls();
    invocations.after_restore().await.unwrap();
    let (snapshot, sizes) = round(&world, &cache).await;
    assert_eq!((failed(&snapshot, &keys), sizes), (vec![], vec![3]));
}
