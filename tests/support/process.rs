//! What it takes to start programs on loopback that end with the test.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Longer than anything takes unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

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

/// Has what it says go to `log`.
pub(crate) fn into_log(command: &mut Command, log: &Path) {
    let output = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
}

/// Ends with the test.
pub(crate) fn start(command: &mut Command, log: &Path) -> Child {
    into_log(command, log);
    let child = command.kill_on_drop(true).spawn();
    child.unwrap_or_else(|error| panic!("{:?}: {error}", command.as_std().get_program()))
}

/// Ports that nobody listens at, and that the system gives nobody unasked: connections of other tests
/// would have them in the next moment.
pub(crate) async fn free_ports<const N: usize>() -> [u16; N] {
    let mut listeners = Vec::new();
    while listeners.len() < N {
        listeners.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(10_000..32_000))).await);
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
