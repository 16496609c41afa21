//! Operations that outlive the rotation of what they use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::testing::Behaviour;
use lambda_cache::{Error, ErrorKind, Value};

use crate::fixture::{Fixture, MINUTE, SECOND, settle};

/// What a database says.
#[derive(Debug)]
enum Refusal {
    Password,
    Other,
    Cache(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

/// A database with one password, which counts attempts.
#[derive(Clone)]
struct Database {
    password: &'static str,
    attempts: Arc<AtomicUsize>,
}

impl Database {
    fn with(password: &'static str) -> Self {
        Self { password, attempts: Arc::default() }
    }

    async fn log_in(self, password: Value<String>) -> Result<String, Refusal> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let right = *password == self.password;
        right.then(|| password.to_string()).ok_or(Refusal::Password)
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }
}

fn is_rotated(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Password)
}

async fn log_in(it: &Fixture, database: &Database) -> Result<String, Refusal> {
    let operation = |password| database.clone().log_in(password);
    it.cache.refresh_on_error(it.x, operation, is_rotated).await
}

#[tokio::test(start_paused = true)]
async fn what_succeeds_fetches_nothing() {
    let it = Fixture::new().await;
    let database = Database::with("1");
    assert_eq!(log_in(&it, &database).await.unwrap(), "1");
    assert_eq!((database.attempts(), it.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_value_is_refreshed_once_and_the_operation_run_again() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    let database = Database::with("2");
    assert_eq!(log_in(&it, &database).await.unwrap(), "2");
    assert_eq!((database.attempts(), it.calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn there_is_one_retry() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    let database = Database::with("3");
    assert!(matches!(log_in(&it, &database).await, Err(Refusal::Password)));
    assert_eq!((database.attempts(), it.calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn if_the_refresh_brings_the_same_version_the_value_is_not_to_blame() {
    let it = Fixture::new().await;
    let database = Database::with("2");
    assert!(matches!(log_in(&it, &database).await, Err(Refusal::Password)));
    assert_eq!((database.attempts(), it.calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn another_error_is_no_reason_to_refresh() {
    let it = Fixture::new().await;
    let operation = |_| async { Err::<(), _>(Refusal::Other) };
    let result = it.cache.refresh_on_error(it.x, operation, is_rotated).await;
    assert!(matches!(result, Err(Refusal::Other)));
    assert_eq!(it.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_if_another_caller_has_refreshed_since() {
    let it = Fixture::new().await;
    it.source.set("x", "2");
    let database = Database::with("2");
    let operation = |password: Value<String>| {
        let (cache, x, database) = (it.cache.clone(), it.x, database.clone());
        async move {
            if *password == "1" {
                cache.refresh(x).await?;
            }
            database.log_in(password).await
        }
    };
    assert_eq!(it.cache.refresh_on_error(it.x, operation, is_rotated).await.unwrap(), "2");
    assert_eq!(it.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_that_fail_at_the_same_time_share_one_refresh() {
    let it = Arc::new(Fixture::new().await);
    it.source.set("x", "2");
    it.source.behave(Behaviour::Late(SECOND));
    let database = Database::with("2");
    let callers: Vec<_> = (0..20)
        .map(|n| {
            let (it, database) = (Arc::clone(&it), database.clone());
            tokio::spawn(async move {
                // Some come while the refresh is under way.
                tokio::time::sleep(SECOND / 40 * n).await;
                log_in(&it, &database).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "2");
    }
    assert_eq!((database.attempts(), it.calls()), (40, 2));
}

#[tokio::test(start_paused = true)]
async fn if_the_refresh_fails_the_operations_own_error_is_returned() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    assert!(matches!(log_in(&it, &Database::with("2")).await, Err(Refusal::Password)));
}

#[tokio::test(start_paused = true)]
async fn without_a_value_the_operation_is_not_run() {
    let it = Fixture::new().await;
    it.source.behave(Behaviour::Fail(ErrorKind::Denied));
    it.clock.advance(MINUTE);
    let database = Database::with("1");
    match log_in(&it, &database).await {
        Err(Refusal::Cache(error)) => assert_eq!(error.kind(), ErrorKind::Denied),
        other => panic!("{other:?}"),
    }
    assert_eq!(database.attempts(), 0);
    settle().await;
}
