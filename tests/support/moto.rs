//! A moto server of a test's own, on loopback, that ends with the test.

use std::path::{Path, PathBuf};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::process::{Child, Command};

use crate::process::{free_ports, program, start, until_it_listens};

pub(crate) const REGION: &str = "eu-central-1";

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
