//! Init: what fails for the moment is tried again until the deadline, and nothing else is.

use std::time::Duration;

use lambda_cache::sources::{
    BoxFuture, Connections, Declare, Declared, Entry, Fetch, FetchError, Fetched, Source, Wanted,
};
use lambda_cache::testing::TestClock;
use lambda_cache::{Builder, Cache, Clock, Error, ErrorKind, Mode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::fixture::SECOND;

/// What a source answers to a name, one call after the other. The last goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Value,
    Fails(ErrorKind),
    /// It fails as a source that refuses the request does.
    Refused,
    Hangs,
}

use Answer::{Fails, Hangs, Refused, Value};

/// Names with what they are answered, and who asked for what and when.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    clock: TestClock,
    answers: HashMap<&'static str, Vec<Answer>>,
    calls: Mutex<Vec<(Duration, Vec<&'static str>)>>,
    began: Duration,
}

impl Script {
    fn answer(&self, name: &str) -> Answer {
        let calls = self.calls.lock().unwrap();
        let before = calls.iter().filter(|(_, names)| names.contains(&name)).count() - 1;
        let answers = &self.answers[name];
        answers[before.min(answers.len() - 1)]
    }
}

impl Source for Script {
    type Request = &'static str;
    type Payload = ();

    fn plan(&self, due: Vec<&'static str>) -> Vec<Vec<&'static str>> {
        // What hangs delays only itself.
        let (hang, others): (Vec<_>, _) =
            due.into_iter().partition(|name| self.answers[name].contains(&Hangs));
        hang.into_iter()
            .map(|name| vec![name])
            .chain([others])
            .filter(|it| !it.is_empty())
            .collect()
    }

    fn fetch(&self, batch: Vec<Wanted<&'static str>>) -> BoxFuture<'_, Vec<Fetch<()>>> {
        Box::pin(async move {
            let names: Vec<_> = batch.iter().map(|wanted| wanted.request).collect();
            let at = self.clock.now().monotonic() - self.began;
            self.calls.lock().unwrap().push((at, names.clone()));
            tokio::time::sleep(SECOND / 50).await;
            let mut answers = Vec::new();
            for name in names {
                answers.push(match self.answer(name) {
                    Value => Ok(Fetched::current((), None)),
                    Fails(kind) => Err(FetchError::new(kind, "as the test said")),
                    Refused => Err(FetchError::new(ErrorKind::Source, "as it is").lasting()),
                    Hangs => std::future::pending().await,
                });
            }
            answers
        })
    }
}

struct Ask(&'static str, Scripted);

impl Declare for Ask {
    type Source = Script;

    fn declare(self, _: &mut Connections) -> Result<Declared<Script>, Error> {
        let name = Some(self.0.to_owned());
        Ok(Declared { source: Arc::clone(&self.1.0), request: self.0, name })
    }
}

struct World {
    script: Scripted,
    builder: Builder,
}

impl World {
    fn new(answers: impl IntoIterator<Item = (&'static str, Vec<Answer>)>) -> Self {
        Self::in_mode(Mode::OnDemand, answers)
    }

    fn in_mode(mode: Mode, answers: impl IntoIterator<Item = (&'static str, Vec<Answer>)>) -> Self {
        let clock = TestClock::new();
        let answers: Vec<_> = answers.into_iter().collect();
        let names: Vec<_> = answers.iter().map(|&(name, _)| name).collect();
        let script = Scripted(Arc::new(Script {
            began: clock.now().monotonic(),
            clock: clock.clone(),
            answers: answers.into_iter().collect(),
            calls: Mutex::default(),
        }));
        let mut builder = Builder::new().clock(clock).mode(mode).seed(1);
        for name in names {
            builder.add(Entry::new(Ask(name, script.clone()), |()| Ok(())));
        }
        Self { script, builder }
    }

    /// What came of init, and how long it took.
    async fn spawn(self) -> (Result<Cache, Error>, Duration, Vec<(Duration, Vec<&'static str>)>) {
        let spawned = self.builder.spawn().await;
        let took = self.script.0.clock.now().monotonic() - self.script.0.began;
        let calls = self.script.0.calls.lock().unwrap().clone();
        (spawned, took, calls)
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_the_moment_is_tried_again_whatever_the_kind_of_environment() {
    let modes = [Mode::OnDemand, Mode::SnapStart, Mode::ManagedInstance, Mode::Elsewhere];
    for mode in modes {
        for kind in [ErrorKind::Throttled, ErrorKind::Timeout, ErrorKind::Source] {
            let answers = [("well", vec![Value]), ("ill", vec![Fails(kind), Fails(kind), Value])];
            let (spawned, took, calls) = World::in_mode(mode, answers).spawn().await;
            spawned.unwrap();
            assert!(took < 3 * SECOND, "{mode:?} {kind:?}: {took:?}");
            let names: Vec<_> = calls.iter().map(|(_, names)| names.as_slice()).collect();
            let expected: [&[&str]; 3] = [&["well", "ill"], &["ill"], &["ill"]];
            assert_eq!(names, expected, "{mode:?} {kind:?}: what is there is not asked for again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_an_error_at_once() {
    let lasting =
        [Fails(ErrorKind::Denied), Fails(ErrorKind::NotFound), Fails(ErrorKind::Decode), Refused];
    for answer in lasting {
        let answers = [("lasts", vec![answer]), ("passes", vec![Fails(ErrorKind::Throttled)])];
        let (spawned, took, calls) = World::new(answers).spawn().await;
        let error = spawned.unwrap_err();
        assert_eq!((took, calls.len()), (SECOND / 50, 1), "{answer:?}");
        assert_eq!(error.others().len(), 2, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_error_says_how_often_was_tried_and_throttled() {
    let throttled = [Fails(ErrorKind::Throttled); 3].to_vec();
    let answers = [
        ("throttled", throttled),
        ("mixed", vec![Fails(ErrorKind::Throttled), Fails(ErrorKind::Source)]),
        ("well", vec![Fails(ErrorKind::Timeout), Value]),
    ];
    let (spawned, took, calls) = World::new(answers).spawn().await;
    let error = spawned.unwrap_err();
    assert!((7 * SECOND..=8 * SECOND).contains(&took), "{took:?}");
    let attempts = |name| calls.iter().filter(|(_, names)| names.contains(&name)).count();
    let [throttled, mixed] = error.others() else { panic!("{error}") };
    let n = attempts("throttled");
    let expected = format!("failed in {n} attempts within 8s of init, {n} of them throttled");
    assert!(throttled.to_string().contains(&expected), "{throttled} lacks {expected}");
    assert!(mixed.to_string().contains("of init, 1 of them throttled"), "{mixed}");
    assert!((6..20).contains(&n), "{n}");
    assert_eq!(attempts("well"), 2);
    // No pause is so long that the time left is wasted.
    let last = calls.last().unwrap().0;
    assert!(last > 7 * SECOND + SECOND / 2, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn what_hangs_holds_up_no_attempt_at_anything_else() {
    let answers = [
        ("hangs", vec![Hangs, Value]),
        ("throttled", vec![Fails(ErrorKind::Throttled), Fails(ErrorKind::Throttled), Value]),
    ];
    let mut world = World::new(answers);
    world.builder = world.builder.operation_timeout(5 * SECOND);
    let (spawned, took, calls) = world.spawn().await;
    spawned.unwrap();
    let throttled = calls.iter().rev().find(|(_, names)| names.contains(&"throttled")).unwrap();
    assert!(throttled.0 < 3 * SECOND, "{calls:?}");
    assert!((5 * SECOND..6 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn entries_that_fail_together_are_tried_again_together() {
    let names: Vec<&'static str> = vec!["a", "b", "c", "d", "e"];
    let throttled = vec![Fails(ErrorKind::Throttled), Fails(ErrorKind::Throttled), Value];
    let answers: Vec<_> = names.iter().map(|&name| (name, throttled.clone())).collect();
    let (spawned, _, calls) = World::new(answers).spawn().await;
    spawned.unwrap();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls.iter().all(|(_, asked)| asked.len() == 5), "{calls:?}");
}
