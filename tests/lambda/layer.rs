//! What the layer around a runtime's service tells the refresher, and what it waits for.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_cache::testing::{Behaviour, Invocations, TestClock, TestSource};
use lambda_cache::{Builder, Cache, Clock, Error, ErrorKind, Key, Mode};
use lambda_runtime::{LambdaInvocation, service_fn};
use tower::{Layer, Service};

use crate::fixture::{MILLISECOND, MINUTE, SECOND};

struct World {
    source: TestSource,
    clock: TestClock,
    cache: Cache,
    x: Key<String>,
}

impl World {
    /// A cache in an environment that freezes. Its clock begins at a whole second, as trace ids count.
    async fn new() -> Self {
        let start = UNIX_EPOCH + 1_800_000_000 * SECOND;
        let (source, clock) = (TestSource::new(), TestClock::starting_at(start));
        source.set("x", "1");
        let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand).seed(1);
        let x = builder.add(source.entry("x"));
        let cache = builder.spawn().await.unwrap();
        Self { source, clock, cache, x }
    }

    /// The first invocation, as the runtime hands it out.
    fn invocation(&self, deadline: SystemTime, traced_at: SystemTime) -> LambdaInvocation {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap();
        let mut context = lambda_runtime::Context::default();
        context.request_id = "request-0".to_owned();
        context.deadline = since(deadline).as_millis() as u64;
        context.xray_trace_id = Some(format!("Root=1-{:08x}-0", since(traced_at).as_secs()));
        let (parts, ()) = http::Response::new(()).into_parts();
        LambdaInvocation { parts, body: bytes::Bytes::new(), context }
    }

    fn now(&self) -> SystemTime {
        self.clock.now().wall()
    }

    /// What the layer makes of a handler, for the first invocation.
    fn handle<T, Fut: Future<Output = Result<T, Error>>>(
        &self,
        invocation: LambdaInvocation,
        handler: impl Fn() -> Fut,
    ) -> impl Future<Output = Result<T, Error>> {
        self.cache.layer().layer(service_fn(move |_: LambdaInvocation| handler())).call(invocation)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_read_knows_of_time_that_only_the_trace_id_has_seen() {
    let it = World::new().await;
    it.source.set("x", "2");
    it.clock.freeze(10 * MINUTE);
    it.clock.step_back(10 * MINUTE);
    let invocation = it.invocation(it.now() + MINUTE, it.clock.true_now());
    let (cache, x) = (&it.cache, it.x);
    let read = it.handle(invocation, || async { cache.snapshot().await.get(x).cloned() });
    assert_eq!(read.await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn a_handler_waits_for_nothing_where_its_trace_id_shows_nothing_new() {
    let it = World::new().await;
    let begun = AtomicBool::new(false);
    let invocation = it.invocation(it.now() + MINUTE, it.now());
    let call = it.handle(invocation, || async {
        begun.store(true, SeqCst);
        Ok(())
    });
    _ = pin!(call).poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_is_dropped_is_over_for_the_refresher() {
    let it = World::new().await;
    let deadline = it.now() + 15 * MINUTE;
    let held;
    {
        let mut call = pin!(it.handle(it.invocation(deadline, it.now()), pending::<Result<(), _>>));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let invoke = Invocations::new(&it.cache, &it.clock).next().deadline(deadline);
        held = tokio::spawn(async move { invoke.invoke().await });
        // Something falls due before the deadline, so that the extension waits for the handler.
        tokio::time::sleep(SECOND).await;
        assert!(!held.is_finished());
    }
    tokio::time::timeout(SECOND, held).await.expect("it is not held any more").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_runtime_goes_on_when_nothing_is_in_flight() {
    let it = World::new().await;
    Invocations::new(&it.cache, &it.clock).next().invoke().await.unwrap();
    it.source.behave(Behaviour::Late(100 * MILLISECOND));
    let (cache, x) = (&it.cache, it.x);
    let invocation = it.invocation(it.now() + MINUTE, it.now());
    let call = it.handle(invocation, || async {
        let cache = cache.clone();
        tokio::spawn(async move { drop(cache.refresh(x).await) });
        // Until it has been asked for.
        tokio::time::sleep(MILLISECOND).await;
        Ok(())
    });
    call.await.unwrap();
    assert_eq!((it.source.calls().len(), it.source.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_before_the_deadline_that_the_runtime_has_told() {
    let it = World::new().await;
    it.source.behave(Behaviour::Hang);
    let begun = it.clock.now().monotonic();
    let (cache, x) = (&it.cache, it.x);
    let invocation = it.invocation(it.now() + 2 * SECOND, it.now());
    let read = it.handle(invocation, || async { cache.refresh(x).await.map(drop) });
    assert_eq!(read.await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(
        it.clock.now().monotonic() - begun < 2 * SECOND,
        "{:?}",
        it.clock.now().monotonic() - begun
    );
    assert!(
        it.clock.now().monotonic() - begun > SECOND,
        "{:?}",
        it.clock.now().monotonic() - begun
    );
}
