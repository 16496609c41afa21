//! AWS's emulator, with the sidecar as its extension.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::emulator::Emulator;
use crate::moto::Moto;
use crate::process::free_ports;
use crate::{BINARY, TOKEN};

/// Where the emulator looks for extensions. It can be told no other place, and starts whatever is
/// there.
const EXTENSIONS: &str = "/opt/extensions";
/// The sidecar's file there.
const NAME: &str = "lambda-cache-extension-under-test";

/// It ends with the test.
pub(crate) struct Sandbox {
    pub(crate) emulator: Emulator,
    pub(crate) extensions: Extensions,
}

impl Sandbox {
    /// Starts a function in Python with the sidecar beside it, which has this config.yaml, and the
    /// `variables` besides those that every test has.
    pub(crate) async fn start(
        moto: &Moto,
        directory: &Path,
        function: &Path,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let extensions = Extensions::none();
        Self::start_with(extensions, &moto.endpoint, directory, function, config, variables).await
    }

    /// The same, where AWS is at `endpoint`, for a test whose turn it already is.
    pub(crate) async fn start_with(
        extensions: Extensions,
        endpoint: &str,
        directory: &Path,
        function: &Path,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        symlink(BINARY, &extensions.file).unwrap();
        let path = directory.join("config.yaml");
        fs::write(&path, config).unwrap();
        let [declared, on_demand] = free_ports().await;
        let describe = |command: &mut Command| {
            command
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("FUNCTION_FILE", function)
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("AWS_SESSION_TOKEN", TOKEN)
                .env("LAMBDA_CACHE_CONFIG", &path)
                .env("CACHE_EXTENSION_INIT_STARTUP", "true")
                .env("LAMBDA_CACHE_PORT", declared.to_string())
                .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", on_demand.to_string())
                .envs(variables.iter().copied());
        };
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/bootstrap.py");
        let emulator = Emulator::start(&runtime, endpoint, directory, describe).await;
        Self { emulator, extensions }
    }
}

/// The emulator's folder, where the sidecar is or will be.
pub(crate) struct Extensions {
    file: PathBuf,
    /// Tests take turns, those of other processes too.
    _turn: File,
}

impl Extensions {
    /// None is there yet: an emulator that starts now starts a function alone.
    pub(crate) fn none() -> Self {
        fs::create_dir_all(EXTENSIONS).unwrap();
        let turn = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("extension.lock"));
        let turn = turn.unwrap();
        turn.lock().unwrap();
        let file = Path::new(EXTENSIONS).join(NAME);
        // What a test that was killed has left.
        fs::remove_file(&file).ok();
        Self { file, _turn: turn }
    }
}

impl Drop for Extensions {
    fn drop(&mut self) {
        fs::remove_file(&self.file).ok();
    }
}
