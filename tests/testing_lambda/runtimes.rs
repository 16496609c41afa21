//! With AWS's own crates in the function's place.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_cache::testing::{BoundLambda, Lambda, Outcome};
use lambda_extension::{Extension, NextEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};

/// Runs a test in a runtime whose threads start after the variables are set.
fn with_variables<F: Future<Output = ()>>(bound: BoundLambda, test: impl FnOnce(Lambda) -> F) {
    let variables: Vec<_> =
        bound.env().into_iter().map(|(key, value)| (key, Some(value))).collect();
    temp_env::with_vars(variables, || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { test(bound.start().unwrap()).await });
    });
}

async fn echo(event: LambdaEvent<String>) -> Result<String, Error> {
    match &*event.payload {
        "fail" => Err("as you wish".into()),
        "trace" => Ok(event.context.xray_trace_id.unwrap_or_default()),
        other => Ok(other.to_owned()),
    }
}

#[test]
fn a_function_with_an_extension_runs_freezes_and_runs() {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    with_variables(Lambda::builder().bind().unwrap(), |lambda| async move {
        let heard = |event: lambda_extension::LambdaEvent| async move {
            if let NextEvent::Invoke(invoke) = event.next {
                HEARD.lock().unwrap().push(invoke.request_id);
            }
            Ok::<_, lambda_extension::Error>(())
        };
        let extension = Extension::new()
            .with_extension_name("listener")
            .with_events(&["INVOKE"])
            .with_events_processor(lambda_extension::service_fn(heard))
            .register()
            .await
            .unwrap();
        tokio::spawn(extension.run());
        tokio::spawn(lambda_runtime::run(service_fn(echo)));

        lambda.ready().await.unwrap();
        let first = lambda.invoke("ping").await.unwrap();
        assert_eq!(first.json::<String>().unwrap(), "ping");
        lambda.freeze(Duration::from_secs(600)).await.unwrap();
        let forged = lambda.invocation("trace").trace_id("Root=1-0-0").start().unwrap();
        let second = forged.over().await.unwrap();
        assert_eq!(second.json::<String>().unwrap(), "Root=1-0-0");
        let third = lambda.invoke("fail").await.unwrap();
        let Outcome::Error { message, .. } = &third.outcome else { panic!("{third:?}") };
        assert_eq!(message, "as you wish");

        let ids = [first, second, third].map(|it| it.request_id);
        assert_eq!(*HEARD.lock().unwrap(), ids);
    });
}

#[test]
fn a_function_on_a_managed_instance_runs_as_often_at_once_as_configured() {
    with_variables(Lambda::builder().managed(3).bind().unwrap(), |lambda| async move {
        let all = Arc::new(tokio::sync::Barrier::new(3));
        let handler = service_fn(move |event: LambdaEvent<u32>| {
            let all = all.clone();
            async move {
                all.wait().await;
                Ok::<_, Error>(event.payload)
            }
        });
        tokio::spawn(lambda_runtime::run_concurrent(handler));
        let (a, b, c) = tokio::join!(lambda.invoke(1), lambda.invoke(2), lambda.invoke(3));
        for (number, invocation) in [(1, a), (2, b), (3, c)] {
            assert_eq!(invocation.unwrap().json::<u32>().unwrap(), number);
        }
    });
}

#[test]
fn a_function_with_snapstart_waits_for_its_restore() {
    with_variables(Lambda::builder().snap_start().bind().unwrap(), |lambda| async move {
        tokio::spawn(lambda_runtime::run(service_fn(echo)));
        lambda.snapshot_ready().await.unwrap();
        lambda.clock().freeze(Duration::from_secs(24 * 3600));
        lambda.restore().unwrap();
        assert_eq!(lambda.invoke("ping").await.unwrap().json::<String>().unwrap(), "ping");
    });
}

#[test]
fn the_default_events_of_lambda_extension_are_refused() {
    with_variables(Lambda::builder().bind().unwrap(), |lambda| async move {
        let refused = Extension::new().with_extension_name("listener").register().await;
        assert!(refused.is_err());
        assert_eq!(lambda.counts().refused, 1);
    });
}
