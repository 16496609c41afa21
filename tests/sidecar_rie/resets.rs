//! Environments that AWS's emulator resets and shuts down, with SHUTDOWN as AWS sends it.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::moto::Moto;
use crate::process;
use crate::sandbox::Sandbox;

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn each_time_the_environment_ends_it_exits_by_itself_and_the_next_serves_again() {
    let directory = process::directory("sidecar-rie-resets");
    let moto = Moto::start(&directory).await;
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/unreliable.py");
    let variables =
        [("AWS_LAMBDA_FUNCTION_TIMEOUT", "4"), ("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "debug")];
    let mut sandbox = Sandbox::start(&moto, &directory, &function, "", &variables).await;
    let emulator = &sandbox.emulator;
    let served = json!([200, "No data found"]);

    assert_eq!(emulator.invoke::<Json>().await, served);
    let answer = emulator.post(r#"{"then":"hang"}"#).await;
    assert!(answer.contains("Task timed out after 4.00 seconds"), "{answer}");
    assert_eq!(emulator.invoke::<Json>().await, served);
    let answer = emulator.post(r#"{"then":"crash"}"#).await;
    assert!(answer.contains("Runtime.ExitError"), "{answer}");
    assert_eq!(emulator.invoke::<Json>().await, served);

    let log = sandbox.emulator.shut_down().await;
    assert_eq!(log.matches("registered, subscribed to [INVOKE SHUTDOWN]").count(), 3, "{log}");
    let reasons = ["Timeout", "ReleaseFail", "SandboxTerminated"];
    for reason in reasons {
        assert!(log.contains(&format!("shutdown reason=\"{reason}\"")), "{reason}: {log}");
    }
    // What the emulator says of an extension that is still there at the deadline.
    assert!(!log.contains("Killing it"), "{log}");
    fs::remove_dir_all(&directory).unwrap();
}
