//! The binary as an external extension, beside a function that knows nothing of it: when it registers,
//! for what, when it asks for its next event, and how it ends.

use std::time::{Duration, Instant};

use lambda_cache::testing::{Fault, Lambda, LambdaBuilder, ReportKind};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::aws::Answer;
use crate::cloud::Cloud;
use crate::sidecar::{BINARY, Setup, Sidecar, setup};

const CONFIG: &str = "parameters: [{names: [p]}]";
/// What Lambda gives an extension from SHUTDOWN to its end, and a little less.
const IN_TIME: Duration = Duration::from_millis(1500);

/// The name of the binary's file, by which Lambda knows it.
fn name() -> String {
    BINARY.rsplit('/').next().unwrap().to_owned()
}

fn lambda(builder: LambdaBuilder) -> Lambda {
    builder.external_extension(name()).bind().unwrap().start().unwrap()
}

/// A function that answers at once.
fn function(lambda: &Lambda) -> JoinHandle<()> {
    let variables = lambda.env();
    let api =
        variables.iter().find(|(name, _)| name == "AWS_LAMBDA_RUNTIME_API").unwrap().1.clone();
    tokio::spawn(async move {
        let call = async |method: &str, path: &str, body: &str| {
            let mut stream = TcpStream::connect(&api).await.ok()?;
            let length = body.len();
            let request = format!(
                "{method} /2018-06-01/runtime/invocation{path} HTTP/1.1\r\nhost: {api}\r\n\
                 connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            Some(answer)
        };
        while let Some(event) = call("GET", "/next", "").await {
            let id =
                event.lines().find_map(|it| it.strip_prefix("lambda-runtime-aws-request-id: "));
            let Some(id) = id else { return };
            call("POST", &format!("/{id}/response"), "null").await;
        }
    })
}

fn short_lived(lambda: &Lambda) -> Setup {
    setup(CONFIG).in_lambda(lambda).variable("CACHE_EXTENSION_TTL", "1s")
}

/// A sidecar that has loaded `p`, and is waiting for events.
async fn start(cloud: &Cloud, lambda: &Lambda) -> Sidecar {
    cloud.put_parameter("p", "hush 1").await;
    let setup = short_lived(lambda).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let sidecar = setup.start(cloud).await;
    function(lambda);
    lambda.ready().await.unwrap();
    sidecar
}

#[tokio::test]
async fn it_registers_under_its_files_name_for_what_there_is() {
    let cloud = Cloud::start().await;
    for (builder, events) in [
        (Lambda::builder(), &["INVOKE", "SHUTDOWN"][..]),
        (Lambda::builder().snap_start(), &["INVOKE", "SHUTDOWN"]),
        (Lambda::builder().managed(4), &["SHUTDOWN"]),
    ] {
        let lambda = lambda(builder);
        let _sidecar = setup("").in_lambda(&lambda).start(&cloud).await;
        let extensions = lambda.extensions();
        assert_eq!(extensions[0].name, name());
        assert_eq!(extensions[0].events, events);
    }
}

#[tokio::test]
async fn init_is_over_when_everything_is_loaded() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let _sidecar = start(&cloud, &lambda).await;
    assert_eq!(cloud.operations(), ["GetParameters"]);
}

#[tokio::test]
async fn a_source_that_hangs_delays_init_and_does_not_prevent_it() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    cloud.put_parameter("p", "hush").await;
    cloud.aws.script(|call| (call.service == "ssm").then_some(Answer::Never));
    let setup = short_lived(&lambda).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let sidecar = setup.start(&cloud).await;
    function(&lambda);
    // Meanwhile it serves what it can: the function's own init may need it.
    cloud.put_secret("s", "hush").await;
    assert_eq!(sidecar.named("/secretsmanager/get?secretId=s").await.status, 200);
    assert_eq!(lambda.extensions()[0].asked, 0);
    lambda.ready().await.expect("init is over before Lambda's ten seconds are");
    assert_eq!(sidecar.get("/parameters?name=p").await.status, 504);
    cloud.aws.heal();
    let healed = async {
        while sidecar.get("/parameters?name=p").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            lambda.invoke(1).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), healed).await.expect("invocations try again");
}

#[tokio::test]
async fn nothing_is_loaded_before_a_snapshot() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder().snap_start());
    let setup = short_lived(&lambda).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let sidecar = setup.start(&cloud).await;
    lambda.counted(|counts| counts.extensions_asked == 1).await.unwrap();
    assert_eq!(cloud.operations(), [""; 0]);
    cloud.put_parameter("p", "hush").await;
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush");
}

#[tokio::test]
async fn what_is_due_is_refreshed_at_invoke_and_nothing_is_in_flight_at_a_freeze() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(50))));
    for n in 2..5 {
        lambda.idle().await.unwrap();
        assert_eq!(cloud.in_flight(), 0, "in flight at a freeze");
        sidecar.stop();
        cloud.put_parameter("p", &format!("hush {n}")).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        cloud.aws.calls();
        sidecar.go_on();
        lambda.invoke(n).await.unwrap();
        assert_eq!(cloud.operations(), ["GetParameters"], "nobody has read it");
        assert_eq!(sidecar.get("/parameters?name=p").await.text(), format!("hush {n}"));
        assert_eq!(cloud.operations(), [""; 0]);
    }
}

#[tokio::test]
async fn while_nobody_is_invoked_nothing_is_refreshed() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    cloud.aws.calls();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(cloud.operations(), [""; 0]);
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush 1");
    assert_eq!(cloud.operations(), ["GetParameters"], "and what is too old is not served");
}

#[tokio::test]
async fn at_shutdown_it_ends_in_time_whatever_is_going_on() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let mut sidecar = start(&cloud, &lambda).await;
    cloud.aws.script(|_| Some(Answer::Never));
    cloud.aws.calls();
    let request = "/systemsmanager/parameters/get?name=x";
    let hanging = async {
        let token = format!("X-Vault-Token: {}", crate::sidecar::TOKEN);
        let mut client = crate::client::Connection::open(sidecar.on_demand).await;
        client.send(crate::client::get(request, &[&token])).await.unwrap();
        client
    };
    let _client = hanging.await;
    cloud.called(1).await;
    let told = Instant::now();
    lambda.shutdown().await.unwrap();
    assert!(sidecar.ended().await.success());
    assert!(told.elapsed() < IN_TIME, "{:?}", told.elapsed());
}

#[tokio::test]
async fn a_signal_ends_it_too() {
    let cloud = Cloud::start().await;
    for signal in [Signal::TERM, Signal::INT] {
        let mut sidecar = setup("").start(&cloud).await;
        sidecar.signal(signal);
        assert!(sidecar.ended().await.success());
    }
}

#[tokio::test]
async fn all_that_keeps_it_from_starting_is_told_to_lambda_at_once() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setup = setup("parameters: [{nams: [a]}]\nsecrets: 7").in_lambda(&lambda);
    let setup = setup.variable("CACHE_EXTENSION_TTL", "soon").variable("SECRETS_MANAGER_TTL", "1m");
    let mut sidecar =
        setup.variable("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", port).spawn(&cloud).await;
    assert_eq!(sidecar.ended().await.code(), Some(1));
    let [report] = &lambda.reports()[..] else { panic!("not one report") };
    assert_eq!((report.kind, report.refused), (ReportKind::ExtensionInit, false));
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
async fn if_lambda_will_not_have_it_it_ends_with_an_error() {
    let cloud = Cloud::start().await;
    let refusing = lambda(Lambda::builder());
    refusing.fail_register(Fault::refused());
    let mut sidecar = setup("").in_lambda(&refusing).spawn(&cloud).await;
    assert_eq!(sidecar.ended().await.code(), Some(1));
    assert!(sidecar.log().contains("could not be registered"));

    let failing = lambda(Lambda::builder());
    let mut sidecar = start(&cloud, &failing).await;
    failing.fail_next(name(), Fault::failed());
    assert_eq!(sidecar.ended().await.code(), Some(1));
    assert_eq!(failing.reports()[0].kind, ReportKind::ExtensionExit);
}
