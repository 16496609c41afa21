//! What the extension's loop meets: it goes on, or the process ends with an error that says why.

use lambda_cache::testing::{Behaviour, Fault, ReportKind, kill_refresher};
use lambda_cache::{Clock, Error, Snapshot};
use lambda_runtime::LambdaEvent;

use crate::fixture::{Fixture, MILLISECOND, MINUTE, SECOND, in_lambda};

#[test]
fn a_connection_that_closes_is_made_again() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, main) = it.start().await;
            for n in 0..3 {
                it.lambda.fail_next("lambda-cache", Fault::Close);
                it.source.set("x", n.to_string());
                it.freeze(10 * MINUTE).await;
                assert_eq!(it.invoke().await, n.to_string());
            }
            assert!(!main.is_finished());
        },
    );
}

#[test]
fn an_event_that_cannot_be_read_is_passed_over() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, main) = it.start().await;
            for body in ["{", "{}", r#"{"eventType":"DANCE"}"#, ""] {
                it.lambda.fail_next("lambda-cache", Fault::Malformed(body.into()));
                it.freeze(MINUTE).await;
                assert_eq!(it.invoke().await, "1");
            }
            assert!(!main.is_finished());
        },
    );
}

#[test]
fn events_that_cannot_be_read_end_nothing_however_many_come_and_are_not_asked_for_in_a_hot_loop() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, main) = it.start().await;
            let asked = it.lambda.counts().extensions_asked;
            let begun = it.clock.now().monotonic();
            for _ in 0..6 {
                it.lambda.fail_next("lambda-cache", Fault::Malformed("{".into()));
            }
            it.lambda.counted(|counts| counts.extensions_asked > asked + 5).await.unwrap();
            // Pauses of 20, 40, 80, 160, 320 and 640 ms, however fast the machine is.
            assert!(
                it.clock.now().monotonic() - begun >= 1260 * MILLISECOND,
                "{:?}",
                it.clock.now().monotonic() - begun
            );
            it.freeze(MINUTE).await;
            assert_eq!(it.invoke().await, "1");
            assert!(!main.is_finished());
        },
    );
}

#[test]
fn a_refusal_and_a_failure_of_the_extensions_api_end_the_process_and_say_why() {
    for fault in [Fault::refused(), Fault::failed()] {
        let shown = format!("{fault:?}");
        in_lambda(
            |lambda| lambda,
            |it| async move {
                let (_cache, main) = it.start().await;
                it.lambda.fail_next("lambda-cache", fault);
                let ended = tokio::time::timeout(5 * SECOND, main).await.expect("it ends");
                let error = ended.unwrap().unwrap_err().to_string();
                assert!(error.contains("cannot go on"), "{shown}: {error}");
                let status = if shown.contains("403") { "403" } else { "500" };
                assert!(error.contains(status), "{shown}: {error}");
                let report = &it.lambda.reports()[0];
                assert_eq!(report.kind, ReportKind::ExtensionExit);
                assert!(report.body.contains("cannot go on"), "{report:?}");
            },
        );
    }
}

#[test]
fn connections_that_keep_closing_end_the_process() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, main) = it.start().await;
            let asked = it.lambda.counts().extensions_asked;
            for _ in 0..10 {
                it.lambda.fail_next("lambda-cache", Fault::Close);
            }
            let ended = tokio::time::timeout(5 * SECOND, main).await.expect("it ends");
            let error = ended.unwrap().unwrap_err().to_string();
            assert!(error.contains("cannot go on"), "{error}");
            assert_eq!(it.lambda.counts().extensions_asked - asked, 5, "it has asked again");
        },
    );
}

#[test]
fn a_refresh_that_panics_ends_nothing() {
    in_lambda(
        |lambda| lambda,
        |it| async move {
            let (_cache, main) = it.start().await;
            it.source.behave(Behaviour::Panic);
            it.freeze(50 * SECOND).await;
            assert_eq!(it.invoke().await, "1");
            it.source.behave(Behaviour::Answer);
            it.source.set("x", "2");
            it.freeze(10 * MINUTE).await;
            assert_eq!(it.invoke().await, "2");
            assert!(!main.is_finished());
        },
    );
}

#[test]
fn a_refresher_that_dies_ends_the_process_at_the_next_invocation() {
    in_lambda(
        |lambda| lambda.timeout(2 * SECOND),
        |it| async move {
            let (cache, main) = it.start().await;
            kill_refresher(&cache);
            let invocation = it.lambda.invocation(()).start().unwrap();
            let ended = tokio::time::timeout(SECOND, main).await.expect("it does not time out");
            let error = ended.unwrap().unwrap_err().to_string();
            assert!(error.contains("the refresher has ended"), "{error}");
            drop(invocation);
        },
    );
}

#[test]
fn a_registration_that_is_refused_is_an_error_of_run() {
    in_lambda(
        |lambda| lambda,
        |it: Fixture| async move {
            let (cache, _) = it.cache().await;
            it.lambda.fail_register(Fault::refused());
            let error = cache.register().await.unwrap_err();
            assert_eq!(error.kind(), lambda_cache::ErrorKind::Lambda);
            assert!(error.to_string().contains("lambda-cache"), "{error}");
        },
    );
}

#[test]
fn outside_lambda_run_says_what_is_missing() {
    temp_env::with_var_unset("AWS_LAMBDA_RUNTIME_API", || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let cache = lambda_cache::Builder::new().spawn().await.unwrap();
            let run = cache.run(|_: LambdaEvent<()>, _: Snapshot| async { Ok::<_, Error>(()) });
            let error = run.await.unwrap_err().to_string();
            assert!(error.contains("AWS_LAMBDA_RUNTIME_API is not set"), "{error}");
        });
    });
}
