//! The binary, as a process of its own, outside Lambda: timers drive its refreshes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::testing::Lambda;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::aws::HOME;
use crate::client::{self, Reply};
use crate::cloud::Cloud;
use crate::process::{LIMIT, directory, free_ports, into_log, start, until_it_listens};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_lambda-cache-extension");
/// The name of its file, by which Lambda knows it: a link, as there may be one in a layer.
pub(crate) const NAME: &str = "the-sidecar";
/// What it takes for the session token.
pub(crate) const TOKEN: &str = "a session token";
/// Is in every value that a test puts into a source, and must be in no log.
pub(crate) const MARK: &str = "hush";

/// How it is to be started.
pub(crate) struct Setup {
    config: String,
    variables: Vec<(String, String)>,
    without: Vec<String>,
    open_files: Option<u32>,
}

/// Ends with the test.
pub(crate) struct Sidecar {
    /// `None` if an environment of Lambda has it.
    process: Option<Child>,
    /// Of what config.yaml declares.
    pub(crate) declared: u16,
    /// Of what clients name.
    pub(crate) on_demand: u16,
    directory: PathBuf,
}

/// It keeps what this config.yaml says.
pub(crate) fn setup(config: &str) -> Setup {
    Setup {
        config: config.to_owned(),
        variables: Vec::new(),
        without: Vec::new(),
        open_files: None,
    }
}

impl Setup {
    pub(crate) fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Without a variable that it has otherwise.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// The most files that it may have open.
    pub(crate) fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(self, cloud: &Cloud) -> Sidecar {
        self.spawn(cloud).await.listening().await
    }

    /// Starts it as an extension of this environment, and waits until it listens.
    pub(crate) async fn start_in(self, lambda: &Lambda, cloud: &Cloud) -> Sidecar {
        let (mut command, sidecar) = self.prepare(cloud).await;
        into_log(&mut command, &sidecar.log_file());
        lambda.spawn_extension(command).await.unwrap();
        sidecar.listening().await
    }

    /// Starts it.
    pub(crate) async fn spawn(self, cloud: &Cloud) -> Sidecar {
        let (mut command, mut sidecar) = self.prepare(cloud).await;
        sidecar.process = Some(start(&mut command, &sidecar.log_file()));
        sidecar
    }

    /// Starts it as an extension of this environment, for which its end is none of its own.
    pub(crate) async fn spawn_beside(mut self, lambda: &Lambda, cloud: &Cloud) -> Sidecar {
        self.variables.extend(lambda.env());
        self.spawn(cloud).await
    }

    async fn prepare(self, cloud: &Cloud) -> (Command, Sidecar) {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = directory(&format!("sidecar-{number}"));
        let config = directory.join("config.yaml");
        fs::write(&config, self.config).unwrap();
        let [declared, on_demand] = free_ports().await;
        let file = directory.join(NAME);
        symlink(BINARY, &file).unwrap();
        let mut command = match self.open_files {
            None => Command::new(file),
            Some(most) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -n {most} && exec {}", file.display())]);
                shell
            }
        };
        command
            // Whatever this machine knows of AWS is none of its business.
            .env_clear()
            .env("LAMBDA_CACHE_CONFIG", &config)
            .env("LAMBDA_CACHE_PORT", declared.to_string())
            .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", on_demand.to_string())
            .env("PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL", "debug")
            .env("AWS_SESSION_TOKEN", TOKEN)
            .env("AWS_REGION", HOME)
            .env("AWS_ENDPOINT_URL", &cloud.endpoint)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .envs(self.variables);
        for name in &self.without {
            command.env_remove(name);
        }
        let sidecar = Sidecar { process: None, declared, on_demand, directory };
        (command, sidecar)
    }
}

impl Sidecar {
    /// Waits until it listens.
    pub(crate) async fn listening(self) -> Self {
        until_it_listens(self.declared, &self.log_file()).await;
        until_it_listens(self.on_demand, &self.log_file()).await;
        self
    }

    /// `GET <path>` of what is declared.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        client::ask(self.declared, client::get(path, &[])).await
    }

    /// `GET <path>` of what clients name, with the token.
    pub(crate) async fn named(&self, path: &str) -> Reply {
        let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
        client::ask(self.on_demand, client::get(path, &[&token])).await
    }

    /// Freezes it.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().and_then(Child::id).expect("a running process")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("a process");
        tokio::time::timeout(LIMIT, process.wait()).await.expect("an end").unwrap()
    }

    /// Memory that it has in use.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        Path::join(&self.directory, "log")
    }
}

/// Whatever a test was about: values are in no log.
impl Drop for Sidecar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let log = self.log();
        assert!(!log.contains(MARK) && !log.contains(TOKEN), "a value was logged:\n{log}");
        fs::remove_dir_all(&self.directory).ok();
    }
}
