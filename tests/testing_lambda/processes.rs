use std::time::Duration;

use lambda_cache::testing::{Lambda, LambdaError, Outcome};
use tokio::process::Command;

use crate::client::{Client, in_no_time, start, waits};

/// A process that does nothing; the test asks and answers in its stead.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

/// The state of a process, as `ps` shows it.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn a_process_has_the_variables() {
    let lambda = start(Lambda::builder().function_name("prices").region("eu-west-1"));
    let mut command = Command::new("sh");
    let script = "test \"$AWS_LAMBDA_FUNCTION_NAME $AWS_REGION $OWN\" = 'prices eu-west-1 its own'";
    command.args(["-c", &format!("{script} && exit 7")]).env("OWN", "its own");
    lambda.spawn(command).unwrap();
    let error = lambda.ready().await.unwrap_err();
    let LambdaError::ProcessExited(Some(status)) = error else { panic!("{error:?}") };
    assert_eq!(status.code(), Some(7));
}

#[tokio::test]
async fn a_frozen_process_is_stopped_and_goes_on() {
    let lambda = start(Lambda::builder());
    let pid = lambda.spawn(sleeper()).unwrap();
    let _next = Client::runtime(&lambda).asks().await;

    let frozen = lambda.begin_freeze().await.unwrap();
    assert_eq!(state_of(pid), Some('T'));
    frozen.thaw().unwrap();
    assert_ne!(state_of(pid), Some('T'));

    lambda.on_freeze(move || assert_eq!(state_of(pid), Some('T')));
    lambda.freeze(Duration::from_millis(1)).await.unwrap();
    assert_ne!(state_of(pid), Some('T'));
    assert_eq!(lambda.counts().freezes, 2);
}

#[tokio::test]
async fn a_process_is_killed_at_the_deadline_and_the_next_begins_with_init() {
    let lambda = start(Lambda::builder());
    let runtime = Client::runtime(&lambda);
    let pid = lambda.spawn(sleeper()).unwrap();
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let _questions = (extension.asks().await, runtime.asks().await);

    let invocation = in_no_time(lambda.invoke("ping")).await.unwrap();
    assert_eq!(invocation.outcome, Outcome::TimedOut);
    let error = lambda.invoke("ping").await.unwrap_err();
    assert!(matches!(error, LambdaError::ProcessExited(_)), "{error:?}");
    assert_eq!(state_of(pid), None);
    assert!(lambda.extensions().is_empty());

    lambda.spawn(sleeper()).unwrap();
    assert!(waits(&lambda, lambda.ready()).await);
    let extension = Client::extension(&lambda, "cache", &["INVOKE"]).await;
    let _questions = (extension.asks().await, runtime.asks().await);
    lambda.ready().await.unwrap();
}

#[tokio::test]
async fn a_process_that_exits_ends_its_invocation() {
    let lambda = start(Lambda::builder());
    let mut command = Command::new("cat");
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    lambda.spawn(command).unwrap();
    let next = Client::runtime(&lambda).asks().await;
    let invocation = lambda.invocation("ping").start().unwrap();
    next.answered().await;

    drop(writer);
    assert_eq!(invocation.over().await.unwrap().outcome, Outcome::ProcessExited);
}
