//! An invocation ends, for the refresher, when its response has been sent: no stream is cut off from
//! what it reads, no response waits for a fetch, and nothing is billed for what nobody needs.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use lambda_cache::testing::{Behaviour, Gap, Order, Outcome};
use lambda_cache::{Builder, Cache, Key, Snapshot};
use lambda_runtime::streaming::Response;
use lambda_runtime::{LambdaEvent, LambdaInvocation, MetadataPrelude, Runtime, service_fn};
use tower::{Layer, Service};

use crate::fixture::{BoxError, Fixture, MINUTE, SECOND, in_lambda};

const ORDERS: [Order; 6] = [
    Order::Together,
    Order::ExtensionFirst(Gap::AtOnce),
    Order::ExtensionFirst(Gap::UntilDone),
    Order::HandlerFirst(Gap::AtOnce),
    Order::HandlerFirst(Gap::After(Duration::from_millis(500))),
    Order::HandlerFirst(Gap::UntilDone),
];
/// Longer than the hold limit.
const SLOW: Duration = Duration::from_millis(400);

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Chunks that are read from the cache, once the handler has returned.
fn chunks(cache: Cache, x: Key<String>) -> Chunks {
    Box::pin(stream::once(async move { Ok(Bytes::from(cache.get(x).await?.to_string())) }))
}

/// Invokes the function after a freeze, in every order; it must answer with the present value.
async fn is_answered(it: &Fixture) {
    it.source.behave(Behaviour::Late(SLOW));
    for (n, order) in ORDERS.into_iter().enumerate() {
        it.source.set("x", n.to_string());
        it.freeze(10 * MINUTE).await;
        let invocation = it.lambda.invocation(()).order(order).start().unwrap();
        let invocation = invocation.over().await.unwrap();
        let Outcome::Response(body) = &invocation.outcome else {
            panic!("{order:?}: {invocation:?}")
        };
        assert!(body.ends_with(n.to_string().as_bytes()), "{order:?}: {body:?}");
        assert_eq!(it.source.in_flight(), 0, "{order:?}");
    }
}

#[test]
fn a_stream_that_reads_the_cache_ends_in_every_order() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            // With an entry that is not in the snapshot, so that it is the stream that waits.
            let mut builder = Builder::new().clock(it.clock.clone()).seed(1);
            let x = builder.add(it.source.entry("x").lazy());
            let cache = builder.spawn().await.unwrap();
            let reads = cache.clone();
            let _main = tokio::spawn(cache.run(move |_: LambdaEvent<()>, _: Snapshot| {
                let stream = chunks(reads.clone(), x);
                async move {
                    let metadata_prelude = MetadataPrelude::default();
                    Ok::<_, BoxError>(Response { metadata_prelude, stream })
                }
            }));
            is_answered(&it).await;
        },
    );
}

#[test]
fn a_stream_of_another_runtime_ends_with_the_layer_around_it_and_without() {
    for layered in [true, false] {
        in_lambda(
            |lambda| lambda,
            |it| async move {
                let (cache, x) = it.cache().await;
                let extension = cache.register().await.unwrap();
                let reads = cache.clone();
                let function = service_fn(move |_: LambdaEvent<()>| {
                    let stream = chunks(reads.clone(), x);
                    async move {
                        let metadata_prelude = MetadataPrelude::default();
                        Ok::<_, BoxError>(Response { metadata_prelude, stream })
                    }
                });
                let runtime = Runtime::new(function);
                let _main = match layered {
                    true => tokio::spawn(runtime.layer(cache.layer()).run()),
                    false => tokio::spawn(runtime.run()),
                };
                let _extension = tokio::spawn(extension.run());
                it.source.behave(Behaviour::Late(SLOW));
                for n in 0..4 {
                    it.source.set("x", n.to_string());
                    it.lambda.idle().await.unwrap();
                    it.lambda.freeze(10 * MINUTE).await.unwrap();
                    let invocation = it.lambda.invoke(()).await.unwrap();
                    let Outcome::Response(body) = &invocation.outcome else {
                        panic!("{layered}: {invocation:?}")
                    };
                    assert!(body.ends_with(n.to_string().as_bytes()), "{layered}: {body:?}");
                }
            },
        );
    }
}

#[test]
fn an_axum_router_tells_through_the_layer() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (cache, x) = it.cache().await;
            let extension = cache.register().await.unwrap();
            let reads = cache.clone();
            let greet = move || {
                let reads = reads.clone();
                async move { reads.get(x).await.unwrap().to_string() }
            };
            let app = Router::new().route("/", get(greet));
            let runtime = Runtime::new(lambda_http::Adapter::from(app)).layer(cache.layer());
            let test = async {
                it.source.behave(Behaviour::Late(SLOW));
                for (n, order) in ORDERS.into_iter().enumerate() {
                    it.source.set("x", n.to_string());
                    it.freeze(10 * MINUTE).await;
                    let calls = it.source.calls().len();
                    let invocation = it.lambda.invocation(request()).order(order).start().unwrap();
                    let invocation = invocation.over().await.unwrap();
                    let answer: serde_json::Value = invocation.json().unwrap();
                    assert_eq!(answer["body"], n.to_string(), "{order:?}");
                    // Since it tells when it begins, its fetch is not begun again at INVOKE. What INVOKE
                    // begins is not waited for longer than the hold limit.
                    let most = if order == Order::ExtensionFirst(Gap::UntilDone) { 2 } else { 1 };
                    let calls = it.source.calls().len() - calls;
                    assert!((1..=most).contains(&calls), "{order:?}: {calls} calls");
                }
            };
            tokio::select! {
                () = test => {}
                ended = runtime.run() => panic!("{ended:?}"),
                ended = extension.run() => panic!("{ended:?}"),
            }
        },
    );
}

/// A request as API Gateway passes it on.
fn request() -> serde_json::Value {
    let http = serde_json::json!({
        "method": "GET",
        "path": "/",
        "protocol": "HTTP/1.1",
        "sourceIp": "192.0.2.1",
    });
    serde_json::json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {},
        "requestContext": { "stage": "$default", "http": http },
        "isBase64Encoded": false,
    })
}

/// A decoder that can be told to take as long as the test does, and cannot be interrupted.
#[derive(Clone, Default)]
struct Slow(Arc<AtomicBool>);

impl Slow {
    fn decode(&self, text: &str) -> String {
        for _ in 0..500 {
            if !self.0.load(SeqCst) {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        text.to_owned()
    }
}

#[test]
fn a_response_waits_for_no_decoder_and_the_environment_not_past_its_hold_limit() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let slow = Slow::default();
            let mut builder = Builder::new().clock(it.clock.clone()).seed(1);
            let decode = slow.clone();
            let y = it.source.decoded("y", move |text| Ok(decode.decode(text)));
            let y = builder.add(y);
            it.source.set("y", "1");
            let cache = builder.spawn().await.unwrap();
            let reads = cache.clone();
            let _main = tokio::spawn(cache.run(move |_: LambdaEvent<()>, _: Snapshot| {
                let reads = reads.clone();
                async move {
                    // Whoever gives up a read has its fetch go on.
                    let read = reads.refresh(y);
                    _ = tokio::time::timeout(Duration::from_millis(50), read).await;
                    Ok::<_, BoxError>("done")
                }
            }));
            it.lambda.invoke(()).await.unwrap();
            for (n, order) in ORDERS.into_iter().enumerate() {
                it.source.set("y", format!("{n} again"));
                it.lambda.idle().await.unwrap();
                slow.0.store(true, SeqCst);
                let invocation = it.lambda.invocation(()).order(order).start().unwrap();
                let invocation = invocation.over().await.unwrap();
                slow.0.store(false, SeqCst);
                let timings = invocation.timings;
                let took = timings.responded.unwrap() - timings.handed_over.unwrap();
                assert!(took < Duration::from_millis(200), "{order:?}: {timings:?}");
                assert!(timings.over < SECOND + SECOND / 2, "{order:?}: {timings:?}");
            }
        },
    );
}

/// A layer that answers every second invocation by itself, as one that checks who asks does.
#[derive(Clone, Default)]
struct Refuses(Arc<Mutex<bool>>);

#[derive(Clone)]
struct RefusingService<S> {
    inner: S,
    refuses: Refuses,
}

impl<S> Layer<S> for Refuses {
    type Service = RefusingService<S>;

    fn layer(&self, inner: S) -> RefusingService<S> {
        RefusingService { inner, refuses: self.clone() }
    }
}

impl<S, A> Service<LambdaEvent<A>> for RefusingService<S>
where
    S: Service<LambdaEvent<A>, Response = String, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = String;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, event: LambdaEvent<A>) -> Self::Future {
        let mut refuses = self.refuses.0.lock().unwrap();
        *refuses = !*refuses;
        match *refuses {
            true => Box::pin(async { Ok("401".to_owned()) }),
            false => Box::pin(self.inner.call(event)),
        }
    }
}

#[test]
fn an_invocation_that_never_reaches_the_handler_costs_no_hold() {
    for limit in [Duration::ZERO, SECOND / 4] {
        in_lambda(
            // So long that something falls due before the deadline.
            |lambda| lambda.timeout(15 * MINUTE),
            |it| async move {
                let (cache, x) = it.cache_with(|builder| builder.hold_limit(limit)).await;
                let memo =
                    cache.memo("numbers", async |n: u8| Ok::<_, Infallible>(n)).build().unwrap();
                memo.get(1).await.unwrap();
                let handler =
                    cache.handler(move |_: LambdaEvent<u8>, snapshot: Snapshot| async move {
                        snapshot.get(x).cloned().map_err(BoxError::from)
                    });
                let extension = cache.register().await.unwrap();
                let runtime = Runtime::new(Refuses::default().layer(handler)).layer(cache.layer());
                let _main = tokio::spawn(runtime.run());
                let _extension = tokio::spawn(extension.run());
                for order in ORDERS {
                    for payload in [serde_json::json!(1), serde_json::json!("no number")] {
                        let mut shortest = SECOND;
                        // A loaded machine may hold one of them up.
                        for _ in 0..3 {
                            it.lambda.idle().await.unwrap();
                            let invocation = it.lambda.invocation(payload.clone()).order(order);
                            let timings = invocation.start().unwrap().over().await.unwrap().timings;
                            let later =
                                timings.responded.unwrap().max(timings.invoke_taken.unwrap());
                            shortest = shortest.min(timings.over - later);
                        }
                        assert!(shortest < SECOND / 10, "{limit:?}, {order:?}: {shortest:?}");
                    }
                }
            },
        );
    }
}

/// A layer outside of the cache's own, of which the refresher hears nothing: it answers by itself.
#[derive(Clone)]
struct Outside<S>(S);

impl<S> Service<LambdaInvocation> for Outside<S>
where
    S: Service<LambdaInvocation, Response = (), Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let answered = invocation.body.starts_with(b"\"");
        match answered {
            true => {
                let path = format!(
                    "/2018-06-01/runtime/invocation/{}/response",
                    invocation.context.request_id
                );
                Box::pin(async move {
                    post(&path).await;
                    Ok(())
                })
            }
            false => Box::pin(self.0.call(invocation)),
        }
    }
}

async fn post(path: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut socket = tokio::net::TcpStream::connect(&api).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {api}\r\ncontent-length: 5\r\nconnection: close\r\n\r\n\"401\""
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

#[test]
fn what_a_layer_outside_answers_by_itself_costs_no_hold_while_nothing_is_in_flight() {
    in_lambda(
        |lambda| lambda.timeout(15 * MINUTE),
        |it| async move {
            let (cache, x) = it.cache().await;
            let handler = cache.handler(move |_: LambdaEvent<u8>, snapshot: Snapshot| async move {
                snapshot.get(x).cloned()
            });
            let extension = cache.register().await.unwrap();
            let layered = tower::layer::layer_fn(Outside);
            let runtime = Runtime::new(handler).layer(cache.layer()).layer(layered);
            let _main = tokio::spawn(runtime.run());
            let _extension = tokio::spawn(extension.run());
            it.lambda.invoke(1).await.unwrap();
            for order in ORDERS {
                it.lambda.idle().await.unwrap();
                let invocation = it.lambda.invocation("who").order(order).start().unwrap();
                let timings = invocation.over().await.unwrap().timings;
                let later = timings.responded.unwrap().max(timings.invoke_taken.unwrap());
                assert!(timings.over - later < SECOND / 10, "{order:?}: {timings:?}");
            }
        },
    );
}
