use std::io::PipeWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaError, Outcome};
use tokio::process::Command;

use crate::client::{Client, in_no_time, register, start, waits};
use crate::processes::state_of;

/// A shell under another name: the file of an extension.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let directory = format!("{name}-{:x}", fastrand::u64(..));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
        std::fs::create_dir(&directory).unwrap();
        symlink("/bin/sh", directory.join(name)).unwrap();
        Self(directory.join(name))
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["-c", script]);
        command
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.0.parent().unwrap()).ok();
    }
}

/// Starts a process as an extension, which the test registers and asks for in its stead; it exits
/// with this status when the writer is dropped.
async fn spawn(lambda: &Lambda, name: &str, events: &[&str], status: u8) -> (Client, PipeWriter) {
    let file = File::new(name);
    let mut command = file.command(&format!("read line; exit {status}"));
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    let client = Client::extension(lambda, name, events);
    let (client, pid) = tokio::join!(client, lambda.spawn_extension(command));
    pid.unwrap();
    (client, writer)
}

#[tokio::test]
async fn an_extension_has_started_when_it_has_registered() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let file = File::new("agent");
    let mut starting = Box::pin(lambda.spawn_extension(file.command("exec sleep 600")));
    assert!(waits(&lambda, &mut starting).await);
    register(&lambda, "agent", &["INVOKE"]).await;
    let pid = starting.await.unwrap();
    assert!(state_of(pid).is_some());
}

#[tokio::test]
async fn an_extension_that_does_not_register_has_not_started() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let file = File::new("agent");
    let error = lambda.spawn_extension(file.command("exit 3")).await.unwrap_err();
    let LambdaError::ProcessExited(Some(status)) = error else { panic!("{error:?}") };
    assert_eq!(status.code(), Some(3));

    let hanging = lambda.spawn_extension(file.command("exec sleep 600"));
    let error = in_no_time(hanging).await.unwrap_err();
    assert!(error.to_string().contains("extension \"agent\" to register"), "{error}");
}

#[tokio::test]
async fn a_file_of_another_name_is_no_external_extension() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let file = File::new("other");
    let error = lambda.spawn_extension(file.command("true")).await.unwrap_err();
    assert!(matches!(error, LambdaError::Spawn(_)), "{error:?}");
}

#[tokio::test]
async fn a_freeze_stops_an_extension_beside_a_function_in_this_process() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let file = File::new("agent");
    let agent = Client::extension(&lambda, "agent", &["INVOKE"]);
    let (agent, pid) = tokio::join!(agent, lambda.spawn_extension(file.command("exec sleep 600")));
    let pid = pid.unwrap();
    let _questions = (agent.asks().await, Client::runtime(&lambda).asks().await);
    let frozen = lambda.begin_freeze().await.unwrap();
    assert_eq!(state_of(pid), Some('T'));
    frozen.thaw().unwrap();
    assert_ne!(state_of(pid), Some('T'));
}

#[tokio::test]
async fn an_extension_that_exits_takes_the_environment_with_it() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let (agent, writer) = spawn(&lambda, "agent", &["INVOKE", "SHUTDOWN"], 0).await;
    let (_invoke, next) = (agent.asks().await, Client::runtime(&lambda).asks().await);
    let invocation = lambda.invocation("ping").start().unwrap();
    next.answered().await;
    drop(writer);
    assert_eq!(invocation.over().await.unwrap().outcome, Outcome::ProcessExited);
    assert!(lambda.extensions().is_empty());
}

#[tokio::test]
async fn shutdown_says_how_each_extension_has_ended() {
    let lambda = start(Lambda::builder().external_extension("a").external_extension("b"));
    let (a, a_goes_on) = spawn(&lambda, "a", &["INVOKE", "SHUTDOWN"], 0).await;
    let (b, b_goes_on) = spawn(&lambda, "b", &["SHUTDOWN"], 7).await;
    let (told_a, told_b) = (a.asks().await, b.asks().await);
    let mut shutdown = Box::pin(lambda.shutdown());
    assert!(waits(&lambda, &mut shutdown).await);
    let exits = async {
        told_a.answered().await;
        drop(a_goes_on);
        told_b.answered().await;
        drop(b_goes_on);
    };
    let (ends, ()) = tokio::join!(shutdown, exits);
    let mut ends = ends.unwrap();
    ends.sort_by(|one, other| one.name.cmp(&other.name));
    let ends = ends.iter().map(|it| (&*it.name, it.status.unwrap().code()));
    assert_eq!(ends.collect::<Vec<_>>(), [("a", Some(0)), ("b", Some(7))]);
}

#[tokio::test]
async fn an_extension_that_is_there_two_seconds_after_shutdown_is_killed() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let (agent, _goes_on) = spawn(&lambda, "agent", &["SHUTDOWN"], 0).await;
    let told = agent.asks().await;
    let (ends, _) = tokio::join!(in_no_time(lambda.shutdown()), told.answered());
    let [end] = &ends.unwrap()[..] else { panic!("not one end") };
    assert_eq!((&*end.name, end.status), ("agent", None));
    assert!(end.after >= Duration::from_secs(2), "{:?}", end.after);
}

#[tokio::test]
async fn what_has_not_registered_for_shutdown_is_killed_at_once() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let (_agent, _goes_on) = spawn(&lambda, "agent", &["INVOKE"], 0).await;
    let mut function = Command::new("sleep");
    function.arg("600");
    let function = lambda.spawn(function).unwrap();
    let ends = lambda.shutdown().await.unwrap();
    assert_eq!((ends.len(), ends[0].status), (1, None));
    assert!(ends[0].after < Duration::from_secs(2), "{:?}", ends[0].after);
    assert_eq!(state_of(function), None);
}

#[tokio::test]
async fn an_extension_that_exits_before_it_is_told_is_not_waited_for() {
    let lambda = start(Lambda::builder().external_extension("agent"));
    let (_busy, writer) = spawn(&lambda, "agent", &["INVOKE", "SHUTDOWN"], 1).await;
    let mut shutdown = Box::pin(lambda.shutdown());
    assert!(waits(&lambda, &mut shutdown).await);
    drop(writer);
    let ends = shutdown.await.unwrap();
    assert_eq!(ends[0].status.and_then(|status| status.code()), Some(1));
}

#[tokio::test]
async fn after_shutdown_nobody_is_invoked() {
    let lambda = start(Lambda::builder());
    let mut next = Client::runtime(&lambda).asks().await;
    lambda.shutdown().await.unwrap();
    lambda.invocation("ping").start().unwrap();
    assert!(waits(&lambda, next.is_answered()).await);
}
