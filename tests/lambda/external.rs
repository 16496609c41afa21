//! An external extension: a cache in a process of its own, driven by events alone.

use lambda_cache::testing::{Fault, ReportKind};
use lambda_cache::{Cache, ExternalExtension};
use lambda_runtime::{LambdaEvent, service_fn};
use tokio::task::JoinHandle;

use crate::fixture::{BoxError, Fixture, MINUTE, SECOND, in_lambda};

const NAME: &str = "sidecar";

/// Starts the extension, and a function that knows nothing of it.
async fn start(it: &Fixture) -> (Cache, JoinHandle<Result<(), BoxError>>) {
    let extension = ExternalExtension::register(NAME).await.unwrap();
    let (cache, _) = it.cache().await;
    let served = cache.clone();
    let main = tokio::spawn(async move { extension.run(&served).await });
    let echo = async |event: LambdaEvent<serde_json::Value>| Ok::<_, BoxError>(event.payload);
    tokio::spawn(lambda_runtime::run(service_fn(echo)));
    it.lambda.ready().await.expect("init");
    (cache, main)
}

#[test]
fn it_registers_for_what_the_environment_has() {
    in_lambda(
        |lambda| lambda.external_extension(NAME),
        |it| async move {
            let _started = start(&it).await;
            let [extension] = &it.lambda.extensions()[..] else { panic!("not one extension") };
            assert_eq!((&*extension.name, &*extension.events.join(" ")), (NAME, "INVOKE SHUTDOWN"));
        },
    );
    in_lambda(
        |lambda| lambda.external_extension(NAME).managed(2),
        |it| async move {
            let _started = start(&it).await;
            assert_eq!(it.lambda.extensions()[0].events, ["SHUTDOWN"]);
        },
    );
}

#[test]
fn what_is_due_is_refreshed_at_invoke_and_nothing_is_in_flight_at_a_freeze() {
    in_lambda(
        |lambda| lambda.external_extension(NAME),
        |it| async move {
            let (cache, main) = start(&it).await;
            let x = cache.key::<String>("x").unwrap();
            for n in 2..5 {
                it.source.set("x", n.to_string());
                it.freeze(50 * SECOND).await;
                it.lambda.invoke(n).await.unwrap();
                it.lambda.idle().await.unwrap();
                assert_eq!(*cache.peek(x).unwrap(), n.to_string());
            }
            it.source.set("x", "9");
            it.freeze(10 * MINUTE).await;
            assert_eq!(*cache.get(x).await.unwrap(), "9", "whether INVOKE has come or not");
            assert!(!main.is_finished());
        },
    );
}

#[test]
fn a_start_that_fails_is_told_to_lambda_and_a_refused_registration_is_an_error() {
    in_lambda(
        |lambda| lambda.external_extension(NAME),
        |it| async move {
            it.lambda.fail_register(Fault::refused());
            let error = ExternalExtension::register(NAME).await.unwrap_err().to_string();
            assert!(error.contains("\"sidecar\" could not be registered"), "{error}");
            let extension = ExternalExtension::register(NAME).await.unwrap();
            extension.fail_init("config.yaml:1:1: not this way\nnor that").await;
            let report = &it.lambda.reports()[0];
            assert_eq!((report.kind, report.refused), (ReportKind::ExtensionInit, false));
            assert_eq!(report.extension.as_deref(), Some(NAME));
            assert!(report.body.contains("not this way\\nnor that"), "{report:?}");
        },
    );
}
