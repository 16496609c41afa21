//! The sidecar as Lambda runs it: the binary in `/opt/extensions` under AWS's own Runtime Interface
//! Emulator, beside functions that are not in Rust, against moto.
#![cfg(feature = "sidecar")]
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, missing_docs, dead_code)]

#[path = "../support/emulator.rs"]
mod emulator;
#[path = "../support/moto.rs"]
mod moto;
mod node;
#[path = "../support/process.rs"]
mod process;
mod resets;
#[path = "../support/sandbox.rs"]
mod sandbox;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lambda_cache::{Clock, SystemClock};
use moto::Moto;
use serde_json::Value as Json;

use crate::sandbox::Sandbox;
use crate::world::{THINGS, World, version};

const BINARY: &str = env!("CARGO_BIN_EXE_lambda-cache-extension");
const TOKEN: &str = "a session token";
const INVOCATIONS: usize = 200;
/// From one invocation to the next, so that all of them go on across several expirations.
const PACE: Duration = Duration::from_millis(50);
const MAX_AGES: [Duration; THINGS] =
    [Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(2)];
const CONFIG: &str = "
parameters: [{names: [/app/greeting], max_age: 2s}]
dynamodb:
  - {table: accounts, hashkey: id, hashkeytype: S, hashkeyvalue: '42', name: account, max_age: 3s}
";

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn a_function_in_python_never_sees_a_value_past_its_max_age() {
    let directory = process::directory("sidecar-rie");
    let world = World::start(&directory).await;
    let sandbox = Sandbox::start(
        &world.moto,
        &directory,
        &function(),
        CONFIG,
        &[("SECRETS_MANAGER_TTL", "2")],
    )
    .await;

    let traffic = async {
        let mut answers = Vec::new();
        for _ in 0..INVOCATIONS {
            // The pace of the traffic: nothing is waited for to become true.
            let pace = tokio::time::sleep(PACE);
            let sent = SystemClock::new().now().wall();
            answers.push((sent, sandbox.emulator.invoke::<Json>().await));
            pace.await;
        }
        answers
    };
    let answers = tokio::select! {
        answers = traffic => answers,
        never = world.change_for_ever() => match never {},
    };

    let histories = world.histories.lock().unwrap().clone();
    for (thing, history) in histories.iter().enumerate() {
        let versions: Vec<usize> = answers.iter().map(|(_, it)| version(it, thing)).collect();
        assert!(versions.is_sorted(), "thing {thing} went back to an older version: {versions:?}");
        for ((sent, _), version) in answers.iter().zip(&versions) {
            // Versions count from 1, so this is when its successor came to be.
            if let Some(successor) = history.get(*version) {
                let outdated = sent.duration_since(*successor).unwrap_or_default();
                assert!(outdated < MAX_AGES[thing], "thing {thing}: outdated for {outdated:?}");
            }
        }
        let mut seen = versions;
        seen.dedup();
        assert!(seen.len() >= 3, "{} of {} versions were seen", seen.len(), history.len());
        println!("thing {thing}: {} of {} versions seen", seen.len(), history.len());
    }
    let log = fs::read_to_string(&sandbox.emulator.log).unwrap();
    assert!(log.contains("registered, subscribed to [INVOKE SHUTDOWN]"), "no extension: {log}");
    let moto_log = fs::read_to_string(&world.moto.log).unwrap();
    let calls = moto_log.matches("POST / HTTP").count() - world.calls();
    println!("{calls} API calls for {} reads", INVOCATIONS * THINGS);
    assert!((THINGS..INVOCATIONS).contains(&calls), "{calls} API calls");
    drop(sandbox);
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs aws-lambda-rie and moto_server, by path in AWS_LAMBDA_RIE and MOTO_SERVER, python3, and leave to write to /opt/extensions; .ci/run provides them"]
async fn what_is_wrong_with_config_yaml_is_in_the_functions_log() {
    let directory = process::directory("sidecar-rie-wrong");
    let moto = Moto::start(&directory).await;
    let wrong = "parameters: [{nams: [a]}]\nsecrets: [{names: [s], max_age: soon}]\n";
    let sandbox = Sandbox::start(&moto, &directory, &function(), wrong, &[]).await;
    let answer = sandbox.emulator.post("{}").await;
    assert!(answer.starts_with("HTTP/1.0 502"), "{answer}");
    let log = fs::read_to_string(&sandbox.emulator.log).unwrap();
    for mistake in ["config.yaml:1:15: unknown field `nams`", "config.yaml:2:33: `max_age`"] {
        assert!(log.contains(mistake), "{mistake} is not in the log:\n{log}");
    }
    assert!(log.contains("First fatal error stored in appctx: Extension.InitError"), "{log}");
    drop(sandbox);
    fs::remove_dir_all(&directory).unwrap();
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sidecar")
}

/// The example in Python.
fn function() -> PathBuf {
    examples().join("python/function.py")
}
