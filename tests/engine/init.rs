//! What fails at init and may pass is tried again until the init deadline, and nothing else is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Source, Wanted, is_retried,
};
use lambda_cache::testing::{Behaviour, TestClock, TestSource};
use lambda_cache::{Builder, Clock, Error, ErrorKind, Mode};

use crate::fixture::{MINUTE, SECOND, builder, settle};

const MODES: [Mode; 4] = [Mode::OnDemand, Mode::SnapStart, Mode::ManagedInstance, Mode::Elsewhere];

/// A source that behaves like this from the start, and answers after a while.
fn well_after(behaviour: Behaviour, outage: Duration) -> TestSource {
    let source = TestSource::new();
    source.set("x", "1");
    source.behave(behaviour);
    let healed = source.clone();
    tokio::spawn(async move {
        tokio::time::sleep(outage).await;
        healed.behave(Behaviour::Answer);
    });
    source
}

/// The error of an init with one entry, how long it took, and in how many calls.
async fn failed(
    source: &TestSource,
    builder: Builder,
    clock: &TestClock,
) -> (Error, Duration, usize) {
    let mut builder = builder;
    builder.add(source.entry("x"));
    let before = clock.now().monotonic();
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Init);
    (error, clock.now().monotonic() - before, source.calls().len())
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_in_every_mode() {
    for mode in MODES {
        for kind in [ErrorKind::Throttled, ErrorKind::Timeout, ErrorKind::Source] {
            let source = well_after(Behaviour::Fail(kind), 3 * SECOND);
            let mut builder = builder(&TestClock::new()).mode(mode);
            let x = builder.add(source.entry("x"));
            let cache = builder.spawn().await.unwrap();
            assert_eq!(cache.snapshot().await.get(x).unwrap(), "1", "{mode:?} {kind:?}");
            assert!(source.calls().len() > 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_followed_by_another() {
    let source = well_after(Behaviour::Hang, SECOND / 2);
    let mut builder = builder(&TestClock::new()).operation_timeout(SECOND);
    builder.add(source.entry("x"));
    builder.spawn().await.unwrap();
    assert_eq!(source.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_init_at_once() {
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Decode, ErrorKind::Panic] {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.behave(Behaviour::Fail(kind));
        let (error, took, calls) = failed(&source, builder(&clock), &clock).await;
        assert_eq!((error.others()[0].kind(), took, calls), (kind, Duration::ZERO, 1));
    }
}

/// What a function of the user's reports may be anything, so it is not tried again.
#[tokio::test(start_paused = true)]
async fn a_derivation_that_fails_ends_init_at_once() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("x", "1");
    let mut builder = builder(&clock);
    builder.add(source.entry("x").derive(|_| async { Err::<(), _>(std::io::Error::other("no")) }));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others()[0].kind(), ErrorKind::Derive);
    assert_eq!(source.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_error_says_how_many_attempts_were_throttled_and_what_to_do() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.behave(Behaviour::Fail(ErrorKind::Throttled));
    let (error, took, calls) = failed(&source, builder(&clock), &clock).await;
    assert_eq!(took, 8 * SECOND);
    assert!((3..12).contains(&calls), "{calls} calls");
    let text = error.to_string();
    for part in [
        "1 of 1 entries could not be loaded within 8s",
        &format!("{calls} attempts, {calls} of them throttled"),
        "raise the service's quota or the init deadline",
        ".in_background()",
    ] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_under_way_at_the_deadline_counts() {
    let source = TestSource::new();
    source.behave(Behaviour::Fail(ErrorKind::Source));
    let hangs = source.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND / 20).await;
        hangs.behave(Behaviour::Hang);
    });
    let clock = TestClock::new();
    let (error, took, calls) =
        failed(&source, builder(&clock).operation_timeout(MINUTE), &clock).await;
    assert_eq!(took, 8 * SECOND);
    assert!(error.to_string().contains(&format!("({calls} attempts)")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_last_past_the_deadline_is_cut_for_a_last_attempt() {
    for seed in 0..50 {
        let (source, clock) = (TestSource::new(), TestClock::new());
        source.behave(Behaviour::Fail(ErrorKind::Throttled));
        let builder = builder(&clock).seed(seed).init_deadline(SECOND / 2);
        let (_, took, calls) = failed(&source, builder, &clock).await;
        assert_eq!(took, SECOND / 2);
        assert!(calls >= 2, "{calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_there_are_not_fetched_again_while_others_are_tried() {
    let throttled = well_after(Behaviour::Fail(ErrorKind::Throttled), 3 * SECOND);
    let well = TestSource::new();
    well.set("y", "2");
    let mut builder = builder(&TestClock::new());
    builder.add(throttled.entry("x"));
    let y = builder.add(well.entry("y"));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(well.calls().len(), 1);
    assert_eq!(cache.snapshot().await.get(y).unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn entries_that_were_throttled_together_are_tried_again_in_one_call() {
    let source = well_after(Behaviour::Fail(ErrorKind::Throttled), 3 * SECOND);
    source.set("y", "2");
    let mut builder = builder(&TestClock::new());
    builder.add(source.entry("x"));
    builder.add(source.entry("x").name("same request"));
    builder.add(source.entry("y"));
    builder.spawn().await.unwrap();
    let calls = source.calls();
    assert!(calls.len() > 1);
    assert!(calls.iter().all(|names| names.len() == 2), "{calls:?}");
}

/// Lambda may freeze the environment as soon as init is over, so nothing may be begun then.
#[tokio::test(start_paused = true)]
async fn a_background_entry_is_tried_again_as_long_as_init_waits_for_others_and_no_longer() {
    let background = TestSource::new();
    background.behave(Behaviour::Fail(ErrorKind::Source));
    for (outage, tries) in [(Duration::ZERO, 1), (3 * SECOND, 3)] {
        let needed = well_after(Behaviour::Fail(ErrorKind::Source), outage);
        settle().await;
        let before = background.calls().len();
        let mut builder = builder(&TestClock::new());
        builder.add(needed.entry("x"));
        builder.add(background.entry("y").in_background());
        builder.add(background.entry("z").lazy());
        let cache = builder.spawn().await.unwrap();
        let calls = background.calls().len() - before;
        assert!(calls >= tries, "{calls} calls");
        tokio::time::sleep(MINUTE).await;
        assert_eq!(background.calls().len() - before, calls.max(1));
        drop(cache);
    }
}

/// A source of a user's own: it fails, and notes whether it was told to make one attempt only.
#[derive(Clone, Default)]
struct Own {
    lasts: bool,
    told: Arc<Mutex<Vec<bool>>>,
}

impl Source for Own {
    type Request = &'static str;
    type Payload = ();

    fn fetch(&self, batch: Vec<Wanted<&'static str>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move {
            self.told.lock().unwrap().push(is_retried());
            let failure = FetchError::new(ErrorKind::Source, "as the test said");
            let failure = if self.lasts { failure.lasting() } else { failure };
            batch.iter().map(|_| Err(failure.clone())).collect()
        })
    }
}

struct Ask(Own);

impl Declare for Ask {
    type Source = Own;

    fn declare(self, _: &mut Connections) -> Result<Declared<Own>, Error> {
        Ok(Declared { source: Arc::new(self.0), request: "own", name: Some("own".to_owned()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_of_ones_own_says_what_lasts_and_hears_that_it_is_init_that_tries_again() {
    for lasts in [false, true] {
        let own = Own { lasts, ..Own::default() };
        let mut builder = builder(&TestClock::new());
        builder.add(Entry::new(Ask(own.clone()), |()| Ok(())));
        builder.spawn().await.unwrap_err();
        let told = own.told.lock().unwrap();
        assert_eq!(told.len() == 1, lasts, "{told:?}");
        assert!(told.iter().all(|&told| told), "{told:?}");
    }
    assert!(!is_retried());
}

#[tokio::test(start_paused = true)]
async fn outside_of_init_a_source_makes_its_own_attempts() {
    let own = Own::default();
    let mut builder = builder(&TestClock::new());
    let key = builder.add(Entry::new(Ask(own.clone()), |()| Ok(())).lazy());
    builder.spawn().await.unwrap().get(key).await.unwrap_err();
    assert_eq!(*own.told.lock().unwrap(), [false]);
}
