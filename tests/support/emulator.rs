//! AWS's Runtime Interface Emulator, with a function to run. What it starts ends with it: it asks the
//! kernel for that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::moto::REGION;
use crate::process::{LIMIT, free_ports, program, start, until_it_listens};

/// It ends with the test.
pub(crate) struct Emulator {
    process: Child,
    pub(crate) log: PathBuf,
    port: u16,
}

impl Emulator {
    /// Starts it with this function, which finds AWS at `endpoint`, and the variables that `describe`
    /// adds; its log is in `directory`.
    pub(crate) async fn start(
        function: &Path,
        endpoint: &str,
        directory: &Path,
        describe: impl FnOnce(&mut Command),
    ) -> Self {
        let log = directory.join("emulator.log");
        let [port, runtime_api] = free_ports().await;
        let mut command = Command::new(program("AWS_LAMBDA_RIE", "aws-lambda-rie"));
        command
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{runtime_api}")])
            .arg(function)
            // Whatever this machine knows of AWS is none of the function's business.
            .env_clear()
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10");
        describe(&mut command);
        let process = start(&mut command, &log);
        until_it_listens(port, &log).await;
        Self { process, log, port }
    }

    /// What an invocation answers.
    pub(crate) async fn invoke<T: DeserializeOwned>(&self) -> T {
        let answer = self.post("{}").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(body)
            .unwrap_or_else(|error| panic!("{error}: {answer}; see {}", self.log.display()))
    }

    /// What the emulator says to an invocation with this event, whatever comes of it.
    pub(crate) async fn post(&self, event: &str) -> String {
        self.post_within(event, LIMIT).await
    }

    /// The same, for an invocation that may take as long.
    pub(crate) async fn post_within(&self, event: &str, limit: Duration) -> String {
        tokio::time::timeout(limit, self.exchange(event)).await.expect("an answer").unwrap()
    }

    /// Its process.
    pub(crate) fn id(&self) -> i32 {
        self.process.id().expect("a running process").try_into().unwrap()
    }

    /// Has it shut the environment down, and gives its log.
    pub(crate) async fn shut_down(&mut self) -> String {
        kill_process(Pid::from_raw(self.id()).unwrap(), Signal::TERM).unwrap();
        tokio::time::timeout(LIMIT, self.process.wait()).await.expect("its end").unwrap();
        fs::read_to_string(&self.log).unwrap()
    }

    /// HTTP/1.0: an answer in one piece, and the connection closes.
    async fn exchange(&self, event: &str) -> io::Result<String> {
        let path = "/2015-03-31/functions/function/invocations";
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let length = event.len();
        let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{event}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
