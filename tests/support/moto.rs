//! A moto server of a test's own, on loopback, that ends with the test; and what it takes to start
//! programs like it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

pub(crate) const REGION: &str = "eu-central-1";
/// Longer than anything takes unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Moto {
    _process: Child,
    pub(crate) endpoint: String,
    pub(crate) log: PathBuf,
}

impl Moto {
    /// Starts it, with its log in `directory`.
    pub(crate) async fn start(directory: &Path) -> Self {
        let [port] = free_ports().await;
        let log = directory.join("moto.log");
        let mut command = Command::new(program("MOTO_SERVER", "moto_server"));
        let process = start(command.args(["-p", &port.to_string()]), &log);
        until_it_listens(port, &log).await;
        Self { _process: process, endpoint: format!("http://127.0.0.1:{port}"), log }
    }

    pub(crate) fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&self.endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }
}

/// A directory of this name and process, for logs and files.
pub(crate) fn directory(name: &str) -> PathBuf {
    let unique = format!("{name}-{}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// By the path in a variable, or else found in PATH.
pub(crate) fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}

/// Ends with the test.
pub(crate) fn start(command: &mut Command, log: &Path) -> Child {
    let output = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let child = command.kill_on_drop(true).spawn();
    child.unwrap_or_else(|error| panic!("{:?}: {error}", command.as_std().get_program()))
}

pub(crate) async fn free_ports<const N: usize>() -> [u16; N] {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    std::array::from_fn(|n| listeners[n].local_addr().unwrap().port())
}

/// Other programs say in no other way that they are ready.
pub(crate) async fn until_it_listens(port: u16, log: &Path) {
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let listens = tokio::time::timeout(LIMIT, listens).await;
    listens.unwrap_or_else(|_| panic!("it does not start; see {}", log.display()));
}
