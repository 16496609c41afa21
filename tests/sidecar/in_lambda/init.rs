//! From its start to its first question for an event: what it registers for, and what it loads.

use std::time::{Duration, Instant};

use lambda_cache::testing::{Lambda, ReportKind};

use super::{CONFIG, NOTHING, idle_function, lambda, put, short_lived};
use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::process::LIMIT;
use crate::sidecar::{NAME, setup};

/// What Lambda gives init.
const INIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn it_registers_under_its_files_name_for_what_there_is() {
    let cloud = Cloud::start().await;
    for (builder, events) in [
        (Lambda::builder(), &["INVOKE", "SHUTDOWN"][..]),
        (Lambda::builder().snap_start(), &["INVOKE", "SHUTDOWN"]),
        (Lambda::builder().managed(4), &["SHUTDOWN"]),
    ] {
        let lambda = lambda(builder);
        let _sidecar = setup("").start_in(&lambda, &cloud).await;
        let [extension] = &lambda.extensions()[..] else { panic!("not one extension") };
        assert_eq!(extension.name, NAME);
        assert_eq!(extension.events, events);
    }
}

#[tokio::test]
async fn init_is_over_when_everything_is_loaded() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(300))));
    let config = format!("{CONFIG}\nsecrets: [{{names: [s]}}]");
    let setup = setup(&config).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let sidecar = setup.start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    lambda.ready().await.unwrap();
    assert_eq!(cloud.in_flight(), 0);
    let mut operations = cloud.operations();
    operations.sort();
    assert_eq!(operations, ["GetParameters", "GetSecretValue"]);
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush");
    assert_eq!(sidecar.get("/secrets?name=s").await.text(), "hush");
    assert_eq!(cloud.operations(), NOTHING);
}

#[tokio::test]
async fn nothing_is_loaded_at_init_if_that_is_not_wanted() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    let sidecar = setup(CONFIG).start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    lambda.invoke(()).await.unwrap();
    assert_eq!(cloud.operations(), NOTHING);
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush");
}

#[tokio::test]
async fn a_source_that_hangs_delays_init_and_does_not_prevent_it() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    cloud.aws.script(|call| (call.service == "ssm").then_some(Answer::Never));
    let config = format!("{CONFIG}\nsecrets: [{{names: [s]}}]");
    let setup = setup(&config).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let began = Instant::now();
    let sidecar = setup.start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    // Meanwhile it serves what it can: the function's own init may need it.
    assert_eq!(sidecar.named("/secretsmanager/get?secretId=s").await.status, 200);
    assert_eq!(lambda.extensions()[0].asked, 0);
    lambda.ready().await.unwrap();
    assert!(began.elapsed() < INIT, "{:?}", began.elapsed());
    assert_eq!(sidecar.get("/secrets?name=s").await.text(), "hush");
    assert_eq!(sidecar.get("/parameters?name=p").await.status, 504);
    assert!(sidecar.log().contains("parameters/p"), "{}", sidecar.log());
    cloud.aws.heal();
    let healed = async {
        while sidecar.get("/parameters?name=p").await.text() != "hush" {
            lambda.invoke(()).await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, healed).await.expect("an invocation tries again");
}

#[tokio::test]
async fn what_cannot_be_loaded_is_logged_and_an_error_and_the_rest_is_served() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    cloud.aws.script(|call| {
        (call.service == "ssm").then(|| Answer::error(400, "AccessDeniedException"))
    });
    let config = format!("{CONFIG}\nsecrets: [{{names: [s]}}]");
    let setup = setup(&config).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let sidecar = setup.start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    lambda.ready().await.unwrap();
    assert_eq!(sidecar.get("/secrets?name=s").await.text(), "hush");
    assert_eq!(sidecar.get("/parameters?name=p").await.status, 502);
    assert!(sidecar.log().contains("AccessDenied"), "{}", sidecar.log());
}

#[tokio::test]
async fn nothing_is_loaded_before_a_snapshot() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder().snap_start());
    let sidecar = short_lived().start_in(&lambda, &cloud).await;
    lambda.counted(|counts| counts.extensions_asked == 1).await.unwrap();
    assert_eq!(cloud.operations(), NOTHING);
    put(&cloud, "hush").await;
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush");
}

#[tokio::test]
async fn all_that_keeps_it_from_starting_is_told_to_lambda_at_once() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setup = setup("parameters: [{nams: [a]}]\nsecrets: 7");
    let setup = setup.variable("CACHE_EXTENSION_TTL", "soon").variable("SECRETS_MANAGER_TTL", "1m");
    let setup = setup.variable("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port);
    let mut sidecar = setup.spawn_beside(&lambda, &cloud).await;
    assert_eq!(sidecar.ended().await.code(), Some(1));
    let [report] = &lambda.reports()[..] else { panic!("not one report") };
    assert_eq!((report.kind, report.refused), (ReportKind::ExtensionInit, false));
    assert_eq!(report.extension.as_deref(), Some(NAME));
    for mistake in [
        "CACHE_EXTENSION_TTL: \\\"soon\\\"",
        "SECRETS_MANAGER_TTL: ",
        "config.yaml:1:15: unknown field `nams`",
        "config.yaml:2:10: `secrets` must be a list",
        &format!("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: port {port}"),
    ] {
        assert!(report.body.contains(mistake), "{mistake}: {}", report.body);
        let in_log = mistake.replace('\\', "");
        assert!(sidecar.log().contains(&in_log), "{in_log}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_to_lambda_and_nothing_is_served() {
    let cloud = Cloud::start().await;
    for variable in ["LAMBDA_CACHE_PORT", "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"] {
        let lambda = lambda(Lambda::builder());
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let setup = short_lived().variable(variable, port);
        let mut sidecar = setup.spawn_beside(&lambda, &cloud).await;
        assert_eq!(sidecar.ended().await.code(), Some(1));
        let [report] = &lambda.reports()[..] else { panic!("not one report") };
        assert_eq!(report.kind, ReportKind::ExtensionInit);
        assert!(report.body.contains(&format!("{variable}: port {port}: ")), "{report:?}");
        assert_eq!(cloud.operations(), NOTHING);
    }
}
