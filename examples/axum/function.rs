//! The function, as you would write it: an axum router whose handlers take snapshots.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lambda_cache::sources::ssm;
use lambda_cache::{Builder, Cache, Error, Key};
use lambda_http::Adapter;
use lambda_runtime::Runtime;
use serde::{Deserialize, Serialize};

/// The max age of the function's parameters.
pub const MAX_AGE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    pub requests: usize,
}

/// What every handler gets: the cache, and the keys of its entries. It is cloned for each request, which
/// is cheap.
#[derive(Clone)]
struct App {
    cache: Cache,
    greeting: Key<String>,
    limits: Key<Limits>,
    banner: Key<String>,
}

/// What `main` does with the builder of `Cache::builder(&aws_config::load_from_env().await)`.
pub async fn run(mut builder: Builder) -> Result<(), lambda_http::Error> {
    let greeting = builder.add(ssm::parameter("/app/greeting").max_age(MAX_AGE));
    let limits = builder.add(ssm::parameter("/app/limits").json::<Limits>().max_age(MAX_AGE));
    let banner = builder.add(ssm::parameter("/app/banner").max_age(MAX_AGE));
    let cache = builder.spawn().await?;

    // Before the runtime, because Lambda refuses extensions once the runtime has asked for its first
    // invocation.
    let extension = cache.register().await?;
    let app = Router::new()
        .route("/greet/{name}", get(greet))
        .route("/limits", get(show_limits))
        .route("/banner", get(show_banner))
        .with_state(App { cache: cache.clone(), greeting, limits, banner });
    // The layer tells the cache when an invocation begins, and when its response has been sent.
    let runtime = Runtime::new(Adapter::from(app)).layer(cache.layer());
    // Both run until the environment ends. If one fails, the process has to end.
    tokio::try_join!(runtime.run(), extension.run())?;
    Ok(())
}

/// A handler that reads several entries takes a snapshot, which shows all of them at one instant.
async fn greet(State(app): State<App>, Path(name): Path<String>) -> Result<String, Unavailable> {
    let snapshot = app.cache.snapshot().await;
    let (greeting, limits) = (snapshot.get(app.greeting)?, snapshot.get(app.limits)?);
    Ok(format!("{greeting}, {name}! At most {} requests.", limits.requests))
}

async fn show_limits(State(app): State<App>) -> Result<Json<Limits>, Unavailable> {
    let snapshot = app.cache.snapshot().await;
    Ok(Json(snapshot.get(app.limits)?.clone()))
}

/// A handler that reads one entry can get just that one. Another entry that fails does not matter then.
async fn show_banner(State(app): State<App>) -> Result<String, Unavailable> {
    let banner = app.cache.get(app.banner).await?;
    Ok(banner.to_string())
}

/// An entry that could not be kept fresh.
struct Unavailable(Error);

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Logs the error, and tells the client to try again.
impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "a request could not be answered");
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "5")]).into_response()
    }
}
