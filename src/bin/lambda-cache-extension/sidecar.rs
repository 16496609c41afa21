//! [`Sidecar`]: the cache and what serves it, from start to end.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_types::SdkConfig;
use lambda_cache::{Cache, ExternalExtension, Mode, sources};

use crate::config::{self, Declaration};
use crate::declared::{Declared, Defaults};
use crate::http::{Clients, Guard, Listener, Server};
use crate::on_demand::OnDemand;
use crate::problem::Problem;
use crate::settings::{ConfigFile, Loading, Settings};
use crate::signals::Signals;

/// How long init may take to load what is declared: Lambda gives it ten seconds.
const INIT_DEADLINE: Duration = Duration::from_secs(8);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A cache that is being served.
pub(crate) struct Sidecar {
    declared: Arc<Declared>,
    loading: Loading,
    server: Server,
}

impl Sidecar {
    /// Begins to serve, unless there are `problems`, or more turn up: then it gives all of them.
    pub(crate) async fn start(
        settings: Settings,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let Settings { config, declared, on_demand, max_clients, token, .. } = settings;
        let (path, declarations) = read(config);
        // What is fetched before a snapshot lies in it, maybe for days, and is too old after the restore.
        let loading = match Mode::detect() {
            Mode::SnapStart => Loading::AtFirstRead,
            _ => declared.loading,
        };
        let listeners = [
            listen(declared.port, "LAMBDA_CACHE_PORT").await,
            listen(on_demand.port, "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT").await,
        ];
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let things = match declarations {
            Ok(declarations) => {
                Declared::spawn(
                    Cache::builder(&aws),
                    declarations,
                    Defaults { max_age: declared.max_age, loading },
                    &path.to_string_lossy(),
                )
                .await
            }
            Err(mistakes) => Err(mistakes),
        };
        let mut server = Server::new(Clients::new(max_clients));
        let [first, second] = listeners.map(|it| it.map_err(|problem| problems.push(problem)));
        let things = things.map_err(|mistakes| problems.extend(mistakes));
        let (Ok(first), Ok(second), Ok(things), []) = (first, second, things, &*problems) else {
            return Err(problems);
        };
        if token.is_none() {
            tracing::warn!("AWS_SESSION_TOKEN is not set: whoever has to show it is refused");
        }
        let guard = match declared.requires_token {
            true => Guard::Token(token.clone()),
            false => Guard::Anybody,
        };
        let things = Arc::new(things);
        let named = OnDemand::new(things.cache(), &sources::freeze_safe(&aws), &on_demand);
        server.serve(first, guard, Arc::clone(&things));
        server.serve(second, Guard::Token(token), Arc::new(named));
        tracing::info!(declared = declared.port, on_demand = on_demand.port, "serving");
        Ok(Self { declared: things, loading, server })
    }

    /// Works as an extension, until Lambda or a signal wants it to end.
    pub(crate) async fn run(
        mut self,
        extension: ExternalExtension,
        mut signals: Signals,
    ) -> Result<(), BoxError> {
        let work = async {
            if self.loading == Loading::AtInit {
                self.declared.load(INIT_DEADLINE).await;
            }
            extension.run(self.declared.cache()).await
        };
        tokio::select! {
            result = work => result,
            panic = self.server.failed() => Err(panic.into()),
            () = signals.told() => Ok(()),
        }
    }
}

/// Everything that is wrong with a config.yaml.
pub(crate) async fn check(path: &Path) -> Result<(), Vec<Problem>> {
    let (path, declarations) = read(ConfigFile::Chosen(path.to_owned()));
    // Nothing is asked for, so any region will do.
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .build();
    let (name, builder) = (path.to_string_lossy(), Cache::builder(&aws));
    let defaults = Defaults { max_age: Duration::MAX, loading: Loading::AtFirstRead };
    Declared::spawn(builder, declarations?, defaults, &name).await.map(drop)
}

/// A config.yaml's path, and what it declares.
fn read(config: ConfigFile) -> (PathBuf, Result<Vec<Declaration>, Vec<Problem>>) {
    let (path, may_be_missing) = match config {
        ConfigFile::Default(path) => (path, true),
        ConfigFile::Chosen(path) => (path, false),
    };
    let name = path.to_string_lossy();
    let declarations = match fs::read_to_string(&path) {
        Ok(text) => config::parse(&text, &name),
        Err(error) if error.kind() == ErrorKind::NotFound && may_be_missing => {
            tracing::info!(path = &*name, "there is no such file, so nothing is declared");
            Ok(Vec::new())
        }
        Err(error) => Err(vec![Problem::new(&*name, error.to_string())]),
    };
    (path, declarations)
}

async fn listen(port: u16, variable: &str) -> Result<Listener, Problem> {
    let listener = Listener::bind(port).await;
    listener.map_err(|error| Problem::new(variable, format!("port {port}: {error}")))
}
