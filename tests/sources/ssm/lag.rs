//! P1: the source is written in every invocation, and what is read never lags by more than its age.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime};

use lambda_cache::sources::ssm;
use lambda_cache::{Key, Snapshot};
use proptest::prelude::*;

use crate::aws::Answer;
use crate::fixture::{First, Function, INSTANT, SECOND, World, try_few};

/// One invocation, and what happens around it.
#[derive(Debug, Clone)]
struct Step {
    /// How long the environment is frozen before.
    frozen: Duration,
    first: First,
    /// How long the service takes to answer.
    latency: Duration,
    /// How long the handler runs between reads.
    pauses: Vec<Duration>,
    /// Whether the handler ends while fetches of its own are in flight.
    leaves: bool,
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn steps() -> impl Strategy<Value = Step> {
    let latency = prop_oneof![3 => Just(Duration::ZERO), 1 => millis(1..800)];
    let frozen = prop_oneof![millis(0..5_000), millis(0..90_000), Just(20 * SECOND)];
    let first = prop_oneof![Just(First::Handler), Just(First::Extension)];
    // Often to the very end of an age.
    let pause = prop_oneof![millis(0..12_000), Just(5 * SECOND - INSTANT), Just(5 * SECOND)];
    let pauses = prop::collection::vec(pause, 0..4);
    (frozen, first, latency, pauses, any::<bool>()).prop_map(
        |(frozen, first, latency, pauses, leaves)| Step { frozen, first, latency, pauses, leaves },
    )
}

const ENTRIES: [(&str, u32); 4] = [("/app/0", 0), ("/app/5", 5), ("/app/20", 20), ("/app/60", 60)];

struct Run {
    world: World,
    function: Function,
    keys: [(Key<String>, Duration); 4],
    /// When each value was written; a value is its number here.
    written: RefCell<Vec<SystemTime>>,
    /// The largest lag that was seen, for each entry.
    lags: [Cell<Duration>; 4],
}

impl Run {
    async fn new() -> Self {
        let world = World::with(ENTRIES.map(|(name, _)| (name, "0"))).await;
        let mut builder = world.builder();
        let keys = ENTRIES.map(|(name, age)| {
            (builder.add(ssm::parameter(name).max_age(age * SECOND)), age * SECOND)
        });
        let function = Function::new(&world, builder.spawn().await.unwrap());
        let written = RefCell::new(vec![world.clock.true_now()]);
        Self { world, function, keys, written, lags: Default::default() }
    }

    async fn write(&self) {
        let value = self.written.borrow().len().to_string();
        for (name, _) in ENTRIES {
            self.world.aws.write(name, &value).await;
        }
        self.written.borrow_mut().push(self.world.clock.true_now());
    }

    /// A value lags since the next one was written.
    fn check(&self, entry: usize, value: &str) {
        let value: usize = value.parse().unwrap();
        let Some(&next) = self.written.borrow().get(value + 1) else { return };
        let lag = self.world.clock.true_now().duration_since(next).unwrap();
        let (_, age) = self.keys[entry];
        assert!(lag < age.max(INSTANT), "{value} of {age:?} lags {lag:?}");
        self.lags[entry].set(self.lags[entry].get().max(lag));
    }

    async fn step(&self, step: Step) {
        self.world.clock.freeze(step.frozen);
        let latency = step.latency;
        self.world.aws.script(move |_| (!latency.is_zero()).then_some(Answer::Late(latency)));
        self.write().await;
        let handler = async |snapshot: Snapshot| {
            // With an age of zero a value is as old as its question, which may have taken a while.
            let first = if latency.is_zero() { 0 } else { 1 };
            for entry in first..ENTRIES.len() {
                self.check(entry, snapshot.get(self.keys[entry].0).unwrap());
            }
            for pause in step.pauses {
                self.world.clock.advance(pause);
                // Once before the reads, and once while they may be waiting for an answer.
                self.write().await;
                let written = async {
                    tokio::time::sleep(latency / 2).await;
                    self.write().await;
                };
                let read = async {
                    for entry in 1..ENTRIES.len() {
                        let value = self.function.cache.get(self.keys[entry].0).await.unwrap();
                        self.check(entry, &value);
                    }
                };
                tokio::join!(read, written);
            }
            if step.leaves {
                let asked = self.function.cache.refresh(self.keys[3].0);
                _ = tokio::time::timeout(Duration::from_millis(1), asked).await;
            }
        };
        self.function.invoke(step.first, handler).await;
    }
}

fn run(steps: Vec<Step>) -> [Duration; 4] {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let run = Run::new().await;
        for step in steps {
            run.step(step).await;
        }
        run.lags.map(|lag| lag.get())
    })
}

#[test]
fn what_is_read_never_lags_by_more_than_its_age() {
    try_few(prop::collection::vec(steps(), 1..40), |steps| {
        run(steps);
        Ok(())
    });
}

#[test]
fn with_invocations_a_second_apart_what_is_read_does_lag_up_to_its_age() {
    let step = Step {
        frozen: SECOND - Duration::from_millis(1),
        first: First::Extension,
        latency: Duration::ZERO,
        pauses: vec![Duration::from_millis(1)],
        leaves: false,
    };
    let lags = run(vec![step; 130]);
    // The cache is used at all: the longer the age, the larger the lag.
    assert_eq!(lags[0], Duration::ZERO);
    assert!(lags[1] >= 2 * SECOND && lags[2] >= 12 * SECOND && lags[3] >= 40 * SECOND, "{lags:?}");
}
