use lambda_cache::testing::{Lambda, LambdaError, ReportKind};

use crate::client::{Client, EXTENSION, RUNTIME, in_no_time, start, waits};

#[tokio::test]
async fn init_ends_when_the_runtime_and_every_extension_have_asked() {
    let lambda = start(Lambda::builder());
    let subscribed = Client::extension(&lambda, "subscribed", &["INVOKE"]).await;
    let silent = Client::extension(&lambda, "silent", &[]).await;
    let runtime = Client::runtime(&lambda);

    let _first = runtime.asks().await;
    assert!(waits(&lambda, lambda.ready()).await);
    let _second = subscribed.asks().await;
    assert!(waits(&lambda, lambda.ready()).await);
    let _third = silent.asks().await;
    lambda.ready().await.unwrap();
    assert!(lambda.extensions().iter().all(|it| it.is_asking && it.asked == 1));
}

#[tokio::test]
async fn an_init_that_does_not_end_says_who_has_not_asked() {
    let lambda = start(Lambda::builder());
    let _quiet = Client::extension(&lambda, "quiet", &["INVOKE"]).await;

    let error = in_no_time(lambda.ready()).await.unwrap_err();

    let LambdaError::NotIdle { waiting_for } = &error else { panic!("{error:?}") };
    assert_eq!(waiting_for.len(), 2);
    assert!(error.to_string().contains("the runtime"), "{error}");
    assert!(error.to_string().contains("\"quiet\""), "{error}");
}

#[tokio::test]
async fn a_runtime_may_report_that_init_failed() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let invocation = lambda.invocation("never").start().unwrap();

    let path = format!("{RUNTIME}/init/error");
    let kind = "lambda-runtime-function-error-type: Runtime.NoSecret\r\n";
    assert_eq!(runtime.posts(&path, kind, "the body").await.status, 202);

    for error in [lambda.ready().await.unwrap_err(), invocation.over().await.unwrap_err()] {
        let LambdaError::InitFailed(report) = error else { panic!("{error:?}") };
        assert_eq!(report.kind, ReportKind::RuntimeInit);
        assert_eq!((&*report.error_type, &*report.body), ("Runtime.NoSecret", "the body"));
    }
    assert_eq!(runtime.next().await.status, 403);
}

#[tokio::test]
async fn an_extension_reports_to_init_before_it_asks_and_to_exit_afterwards() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let question = extension.asks().await;
    drop(question);

    let (init, exit) = (format!("{EXTENSION}/init/error"), format!("{EXTENSION}/exit/error"));
    let kind = "lambda-extension-function-error-type: Extension.Broken\r\n";
    assert_eq!(extension.posts(&init, kind, "").await.status, 403);
    assert_eq!(extension.posts(&exit, "", "").await.status, 403);
    assert_eq!(extension.posts(&exit, kind, "why").await.status, 202);
    assert_eq!(extension.next().await.status, 403);

    let reports = lambda.reports();
    let told: Vec<_> = reports.iter().map(|it| (it.kind, it.refused, &*it.error_type)).collect();
    assert_eq!(
        told,
        [
            (ReportKind::ExtensionInit, true, "Extension.Broken"),
            (ReportKind::ExtensionExit, true, ""),
            (ReportKind::ExtensionExit, false, "Extension.Broken"),
        ]
    );
    assert!(reports.iter().all(|it| it.extension.as_deref() == Some("cache")));
    assert_eq!(reports[2].body, "why");
}

#[tokio::test]
async fn an_extension_may_fail_init() {
    let lambda = start(Lambda::builder());
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let kind = "lambda-extension-function-error-type: Extension.Broken\r\n";
    extension.posts(&format!("{EXTENSION}/init/error"), kind, "").await;
    assert!(matches!(lambda.ready().await, Err(LambdaError::InitFailed(_))));
}
