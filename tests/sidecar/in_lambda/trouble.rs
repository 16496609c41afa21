//! An Extensions API that does not do what it should: the sidecar goes on, or ends with an error, and
//! is never half there.

use lambda_cache::testing::{Fault, Lambda, ReportKind};
use tokio::net::TcpStream;

use super::{MAX_AGE, idle_function, lambda, put, short_lived};
use crate::cloud::Cloud;
use crate::sidecar::{NAME, Sidecar, setup};

/// A sidecar that waits for events, beside a function that asks for nothing.
async fn start(cloud: &Cloud, lambda: &Lambda) -> Sidecar {
    put(cloud, "hush 1").await;
    let sidecar = short_lived().spawn_beside(lambda, cloud).await;
    lambda.counted(|counts| counts.extensions_asked == 1).await.unwrap();
    idle_function(lambda);
    lambda.ready().await.unwrap();
    sidecar
}

/// It has ended with an error, and serves nobody any more.
async fn has_failed(sidecar: &mut Sidecar) {
    assert_eq!(sidecar.ended().await.code(), Some(1), "{}", sidecar.log());
    for port in [sidecar.declared, sidecar.on_demand] {
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}

#[tokio::test]
async fn if_lambda_will_not_register_it_it_does_not_start() {
    let cloud = Cloud::start().await;
    for fault in [Fault::refused(), Fault::failed(), Fault::Close, Fault::Malformed("{".into())] {
        let lambda = lambda(Lambda::builder());
        lambda.fail_register(fault.clone());
        let mut sidecar = setup("").spawn_beside(&lambda, &cloud).await;
        has_failed(&mut sidecar).await;
        assert!(sidecar.log().contains("could not be registered"), "{fault:?}: {}", sidecar.log());
    }
}

#[tokio::test]
async fn if_lambda_has_no_events_for_it_it_ends_and_says_why() {
    let cloud = Cloud::start().await;
    for (fault, status) in [(Fault::refused(), "403"), (Fault::failed(), "500")] {
        let lambda = lambda(Lambda::builder());
        let mut sidecar = start(&cloud, &lambda).await;
        lambda.fail_next(NAME, fault);
        has_failed(&mut sidecar).await;
        let [report] = &lambda.reports()[..] else { panic!("not one report") };
        assert_eq!((report.kind, report.refused), (ReportKind::ExtensionExit, false));
        assert!(report.body.contains(status), "{report:?}");
        assert!(sidecar.log().contains("cannot go on"), "{}", sidecar.log());
    }
}

#[tokio::test]
async fn connections_that_keep_closing_end_it() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let mut sidecar = start(&cloud, &lambda).await;
    for _ in 0..10 {
        lambda.fail_next(NAME, Fault::Close);
    }
    has_failed(&mut sidecar).await;
}

#[tokio::test]
async fn an_extensions_api_that_has_gone_ends_it() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let mut sidecar = setup("").spawn_beside(&lambda, &cloud).await;
    lambda.counted(|counts| counts.extensions_asked == 1).await.unwrap();
    drop(lambda);
    has_failed(&mut sidecar).await;
}

#[tokio::test]
async fn a_connection_that_closes_and_an_event_that_cannot_be_read_are_got_over() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    let faults = [Fault::Close, Fault::Malformed("{".into()), Fault::Malformed("{}".into())];
    for (n, fault) in faults.into_iter().enumerate() {
        let value = format!("hush again {n}");
        lambda.idle().await.unwrap();
        put(&cloud, &value).await;
        tokio::time::sleep(MAX_AGE).await;
        cloud.aws.calls();
        lambda.fail_next(NAME, fault);
        lambda.invoke(()).await.unwrap();
        assert_eq!(cloud.operations(), ["GetParameters"], "INVOKE still drives it");
        assert_eq!(sidecar.get("/parameters?name=p").await.text(), value);
    }
    assert!(lambda.reports().is_empty(), "{:?}", lambda.reports());
}
