use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaError, ReportKind};

use crate::client::{Client, Question, RUNTIME, register, send, start, waits};

async fn asks_for_restore(lambda: &Lambda) -> Question {
    send(lambda, "GET", &format!("{RUNTIME}/restore/next"), "", "").await
}

#[tokio::test]
async fn a_snapshot_is_taken_when_the_runtime_and_the_extensions_wait() {
    let lambda = start(Lambda::builder().snap_start());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let mut restored = asks_for_restore(&lambda).await;
    assert!(waits(&lambda, lambda.snapshot_ready()).await);
    assert!(matches!(lambda.restore(), Err(LambdaError::NotIdle { .. })));
    let invoke = extension.asks().await;
    lambda.snapshot_ready().await.unwrap();
    assert_eq!(register(&lambda, "late", &[]).await.status, 403);

    lambda.clock().freeze(Duration::from_secs(3 * 24 * 3600));
    assert!(waits(&lambda, restored.is_answered()).await);
    lambda.restore().unwrap();
    assert_eq!(restored.answered().await.status, 200);

    assert!(waits(&lambda, lambda.ready()).await);
    let next = Client::runtime(&lambda).asks().await;
    lambda.ready().await.unwrap();
    lambda.invocation("ping").start().unwrap();
    next.answered().await;
    invoke.answered().await;
}

#[tokio::test]
async fn what_follows_a_restore_may_fail() {
    let lambda = start(Lambda::builder().snap_start());
    let restored = asks_for_restore(&lambda).await;
    lambda.snapshot_ready().await.unwrap();
    let runtime = Client::runtime(&lambda);
    let path = format!("{RUNTIME}/restore/error");
    assert_eq!(runtime.posts(&path, "", "").await.status, 403);
    lambda.restore().unwrap();
    restored.answered().await;
    assert_eq!(runtime.posts(&path, "", "no database").await.status, 202);

    let error = lambda.ready().await.unwrap_err();
    let LambdaError::InitFailed(report) = error else { panic!("{error:?}") };
    assert_eq!((report.kind, &*report.body), (ReportKind::RuntimeRestore, "no database"));
}

#[tokio::test]
async fn a_runtime_may_take_no_interest_in_the_restore() {
    let lambda = start(Lambda::builder().snap_start());
    let _next = Client::runtime(&lambda).asks().await;
    lambda.ready().await.unwrap();
}

#[tokio::test]
async fn there_is_no_restore_without_snapstart() {
    let lambda = start(Lambda::builder());
    assert_eq!(asks_for_restore(&lambda).await.answered().await.status, 404);
    assert!(matches!(lambda.restore(), Err(LambdaError::NotSnapStart)));
    assert!(matches!(lambda.snapshot_ready().await, Err(LambdaError::NotSnapStart)));
}
