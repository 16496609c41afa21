//! The layer around the runtime's service: it tells the refresher when an invocation begins, and when
//! its response has been sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use lambda_runtime::LambdaInvocation;
use tokio::sync::oneshot;
use tower::{Layer, Service};

use super::invoked;
use crate::cache::Cache;
use crate::refresher::{Message, Refresher};

impl Cache {
    /// Tells the refresher when an invocation begins, and when its response has been sent, the last
    /// byte of a stream included: a layer for a [`Runtime`](lambda_runtime::Runtime) of your own.
    ///
    /// With it the environment stays up for refreshes for exactly as long as it has to, nothing is in
    /// flight when it freezes, and an invocation's trace id counts before its first read. It works with
    /// any handler: a plain one, [`Cache::handler`], or an HTTP application through
    /// `lambda_http::Adapter`. Add it last, so that it is outermost; [`run`](Self::run) does that itself.
    ///
    /// The response is never held back: what the layer waits for, it waits for after the response has
    /// been sent, and no longer than the [hold limit](crate::Builder::hold_limit).
    ///
    /// ```no_run
    /// # async fn doc(cache: lambda_cache::Cache) -> Result<(), lambda_runtime::Error> {
    /// use lambda_runtime::{LambdaEvent, Runtime, service_fn};
    ///
    /// let app = service_fn(|event: LambdaEvent<String>| async { Ok::<_, lambda_runtime::Error>(event.payload) });
    /// let extension = cache.register().await?;
    /// let runtime = Runtime::new(app).layer(cache.layer());
    /// tokio::try_join!(runtime.run(), extension.run())?;
    /// # Ok(()) }
    /// ```
    pub fn layer(&self) -> CacheLayer {
        if self.mode().freezes() {
            self.refresher.tell_now(Message::HandlersTell);
        }
        CacheLayer { cache: self.clone() }
    }
}

/// The layer that [`Cache::layer`] makes.
#[derive(Clone)]
pub struct CacheLayer {
    cache: Cache,
}

impl<S> Layer<S> for CacheLayer {
    type Service = InvocationService<S>;

    fn layer(&self, inner: S) -> InvocationService<S> {
        InvocationService { cache: self.cache.clone(), inner }
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("cache", &self.cache).finish()
    }
}

/// A runtime's service with a cache's [layer](Cache::layer) around it.
#[derive(Clone)]
pub struct InvocationService<S> {
    cache: Cache,
    inner: S,
}

impl<S> fmt::Debug for InvocationService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationService").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<S> Service<LambdaInvocation> for InvocationService<S>
where
    S: Service<LambdaInvocation>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InvocationFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let begins = Running::begin(self.cache.clone(), &invocation.context);
        let inner = Box::pin(self.inner.call(invocation));
        InvocationFuture { inner, stage: Stage::Begins(Box::pin(begins)) }
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An invocation that goes on: the future of an [`InvocationService`].
pub struct InvocationFuture<F: Future> {
    inner: Pin<Box<F>>,
    stage: Stage<F::Output>,
}

impl<F: Future> fmt::Debug for InvocationFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationFuture").finish_non_exhaustive()
    }
}

enum Stage<T> {
    Begins(BoxFuture<Running>),
    Runs(Running),
    /// The response has been sent, and the runtime waits until it may go on.
    Ends(BoxFuture<()>, T),
    Ended,
}

impl<F: Future> Unpin for InvocationFuture<F> {}

impl<F: Future> Future for InvocationFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Begins(mut begins) => match begins.as_mut().poll(context) {
                    Poll::Ready(running) => Stage::Runs(running),
                    Poll::Pending => {
                        self.stage = Stage::Begins(begins);
                        return Poll::Pending;
                    }
                },
                Stage::Runs(running) => match self.inner.as_mut().poll(context) {
                    Poll::Ready(result) => Stage::Ends(Box::pin(running.end()), result),
                    Poll::Pending => {
                        self.stage = Stage::Runs(running);
                        return Poll::Pending;
                    }
                },
                Stage::Ends(mut ends, result) => {
                    if ends.as_mut().poll(context).is_ready() {
                        return Poll::Ready(result);
                    }
                    self.stage = Stage::Ends(ends, result);
                    return Poll::Pending;
                }
                Stage::Ended => panic!("polled after it has ended"),
            };
        }
    }
}

/// An invocation that has begun for the refresher. Its end is told even if it panics.
struct Running {
    /// The refresher to tell at the end, and the request id; `None` where the environment never freezes.
    ends: Option<(Refresher, String)>,
}

impl Running {
    fn begin(
        cache: Cache,
        context: &lambda_runtime::Context,
    ) -> impl Future<Output = Self> + use<> {
        let request_id = context.request_id.clone();
        let trace = context.xray_trace_id.as_deref();
        let invocation = invoked(request_id.clone(), context.deadline, trace);
        async move {
            if !cache.mode().freezes() {
                return Self { ends: None };
            }
            let trace_time = invocation.trace_time;
            let (done, heard) = oneshot::channel();
            let told = cache.refresher.tell(Message::HandlerBegan { invocation, done }).await;
            let running = Self { ends: Some((cache.refresher.clone(), request_id)) };
            // If the trace id shows time that the clocks missed, values are aged before the first read.
            // If the refresher has ended, reads say so.
            if told.is_ok() && trace_time.is_some_and(|time| time > cache.clock.now().wall) {
                heard.await.ok();
            }
            running
        }
    }

    async fn end(mut self) {
        if let Some((refresher, request_id)) = self.ends.take() {
            refresher.ask(|done| Message::ResponseSent { request_id, done }).await.ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((refresher, request_id)) = self.ends.take() {
            refresher.tell_now(Message::ResponseSent { request_id, done: oneshot::channel().0 });
        }
    }
}
