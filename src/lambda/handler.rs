//! The handler, given a snapshot at its start, and the runtime that [`Cache::run`] runs it in, with hooks
//! for SnapStart: nothing fetched before the snapshot is in it, or served after the restore.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{
    BoxFuture, Diagnostic, IntoFunctionResponse, LambdaEvent, Runtime, SnapStartResource,
};
use tower::Service;

use crate::cache::Cache;
use crate::error::{Error, ErrorKind};
use crate::mode::Mode;
use crate::refresher::Message;
use crate::snapshot::Snapshot;

type BoxError = lambda_runtime::Error;

/// What a restore may take: Lambda gives hooks ten seconds.
const RESTORE_DEADLINE: Duration = Duration::from_secs(8);

impl Cache {
    /// Registers the internal extension and runs the handler, each time with a snapshot in which
    /// every entry is fresh: what `lambda_runtime::run` is, with a cache.
    ///
    /// On a Managed Instance it runs `AWS_LAMBDA_MAX_CONCURRENCY` handlers at once and registers
    /// nothing. With SnapStart it drops all values before the snapshot and fetches them again after
    /// the restore.
    ///
    /// ```no_run
    /// # use lambda_cache::{Builder, Error, Snapshot, from_fn};
    /// use lambda_runtime::LambdaEvent;
    ///
    /// # async fn doc() -> Result<(), lambda_runtime::Error> {
    /// # let mut builder = Builder::new();
    /// # let greeting = builder.add(from_fn("greeting", || async { Ok::<_, Error>(String::new()) }));
    /// # let cache = builder.spawn().await?;
    /// cache.run(move |event: LambdaEvent<String>, snapshot: Snapshot| async move {
    ///     let greeting = snapshot.get(greeting)?;
    ///     Ok::<_, Error>(format!("{greeting}, {}!", event.payload))
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Outside Lambda; if the extension cannot be registered; if the Runtime API or the Extensions
    /// API fails for good. Return it from `main`, so that the process ends and Lambda starts another.
    /// Errors of the handler itself are answers to its invocation.
    pub async fn run<A, F, Fut, R, E, Buffered, Stream, Item, StreamError>(
        self,
        function: F,
    ) -> Result<(), BoxError>
    where
        A: for<'de> serde::Deserialize<'de> + Send + 'static,
        F: Fn(LambdaEvent<A>, Snapshot) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: IntoFunctionResponse<Buffered, Stream> + Send + 'static,
        E: Into<Diagnostic> + fmt::Debug + Send + 'static,
        Buffered: serde::Serialize + Send + 'static,
        Stream: tokio_stream::Stream<Item = Result<Item, StreamError>> + Unpin + Send + 'static,
        Item: Into<bytes::Bytes> + Send + 'static,
        StreamError: Into<BoxError> + fmt::Debug + Send + 'static,
    {
        check_variables()?;
        let extension = self.register().await?;
        let runtime = Runtime::new(self.handler(function));
        let runtime = runtime.layer(TracingLayer::new()).layer(self.layer());
        let runtime = runtime.register_snapstart_resource(self.snapstart_resource());
        let run = async {
            match self.mode() {
                Mode::ManagedInstance => runtime.run_concurrent().await,
                _ => runtime.run().await,
            }
        };
        tokio::try_join!(run, extension.run()).map(|_| ())
    }

    /// The tower service that [`run`](Self::run) runs, for a [`Runtime`] of your own: it takes a
    /// snapshot and calls the function with it.
    ///
    /// Put [`layer`](Self::layer) around the runtime as well, which tells the refresher of invocations:
    /// `Runtime::new(cache.handler(f)).layer(cache.layer())`.
    pub fn handler<F>(&self, function: F) -> Handler<F> {
        Handler { cache: self.clone(), function: Arc::new(function) }
    }

    /// The hooks for a runtime of your own
    /// ([`Runtime::register_snapstart_resource`](lambda_runtime::Runtime::register_snapstart_resource));
    /// [`run`](Self::run) registers them itself.
    ///
    /// Before the snapshot every value is dropped and every fetch cancelled, so that no secret is in
    /// the snapshot, which may be kept for days. After the restore clients are rebuilt, since no
    /// connection survives, and everything is fetched again. Snapshots and values that your own code
    /// keeps are out of reach.
    pub fn snapstart_resource(&self) -> Arc<dyn SnapStartResource> {
        Arc::new(Hooks(self.clone()))
    }
}

/// The runtime panics without these, which does not say much to somebody who has just tried to
/// start the function on a laptop.
fn check_variables() -> Result<(), Error> {
    let needed = [
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
    ];
    match needed.iter().find(|name| std::env::var_os(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Lambda,
            format!(
                "{name} is not set, so this is not Lambda: run the function there, under the \
                 Runtime Interface Emulator, or in `lambda_cache::testing::Lambda`"
            ),
        )),
    }
}

/// A function with a cache, as a tower service; made by [`Cache::handler`].
pub struct Handler<F> {
    cache: Cache,
    function: Arc<F>,
}

impl<F> Clone for Handler<F> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), function: Arc::clone(&self.function) }
    }
}

impl<F> fmt::Debug for Handler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<A, F, Fut, R, E> Service<LambdaEvent<A>> for Handler<F>
where
    A: Send + 'static,
    F: Fn(LambdaEvent<A>, Snapshot) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Send + 'static,
    E: Send + 'static,
{
    type Response = R;
    type Error = E;
    type Future = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<A>) -> Self::Future {
        let Self { cache, function } = self.clone();
        Box::pin(async move {
            let snapshot = cache.snapshot().await;
            function(event, snapshot).await
        })
    }
}

struct Hooks(Cache);

impl SnapStartResource for Hooks {
    fn before_snapshot(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            self.0.refresher.ask(|done| Message::Suspend { done }).await?;
            Ok(())
        })
    }

    fn after_restore(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async {
            self.0.refresher.ask(|done| Message::Resume { done }).await?;
            if let Err(error) = self.0.load(RESTORE_DEADLINE).await {
                // Reads say so too, if it is still so then; a restore that fails helps nobody.
                tracing::warn!(%error, "not everything could be fetched after the restore");
            }
            Ok(())
        })
    }
}
